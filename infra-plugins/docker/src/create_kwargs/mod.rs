//! The keyword arguments of docker-py's `containers.create`, put into what the engine is asked for.
//!
//! Each area has a table of the arguments it knows and where their values go. A value is taken as docker-py or the engine
//! would take it; numbers may also be text. What neither would understand is an error, which names the argument and never
//! the value, since that may be a secret.

mod devices;
mod error;
mod fields;
mod given;
mod health;
mod isolation;
mod lifecycle;
mod memory;
mod mounts;
mod network;
mod place;
mod ports;
mod process;
mod resources;

#[cfg(test)]
mod tests;

use bollard::models::ContainerCreateBody;
use serde_json::{Map, Value};

pub(crate) use self::error::KwargError;
pub(crate) use self::memory::bytes_of;
use self::{
    error::closest,
    given::Given,
    place::{Asked, Keys, Place},
};

const AREAS: &[Keys] =
    &[devices::KEYS, isolation::KEYS, lifecycle::KEYS, mounts::KEYS, network::KEYS, process::KEYS, resources::KEYS];

/// Keyword arguments that are variables of the job configuration, or about how docker-py itself behaves.
const DROPPED: &[&str] = &[
    "auto_remove",
    "command",
    "detach",
    "env",
    "environment",
    "image",
    "image_pull_policy",
    "labels",
    "mem_limit",
    "memswap_limit",
    "name",
    "network",
    "network_mode",
    "networks",
    "privileged",
    "registry",
    "registry_credentials",
    "remove",
    "stderr",
    "stdout",
    "stream",
    "stream_output",
    "use_config_proxy",
    "version",
    "volumes",
];

/// What became of the keyword arguments that have no place in the body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Arguments that were dropped, since the job configuration has variables for them.
    pub(crate) ignored: Vec<String>,
    /// `host:address` each; the job configuration has its own, so the caller merges them.
    pub(crate) extra_hosts: Vec<String>,
    /// The engine takes it as a parameter of the request.
    pub(crate) platform: Option<String>,
    /// The engine takes it from the endpoint of a network, and the caller knows which network that is.
    pub(crate) mac_address: Option<String>,
}

/// Puts docker-py's keyword arguments into what the engine is asked for. After an error the body is of no use.
pub(crate) fn apply(kwargs: &Map<String, Value>, body: &mut ContainerCreateBody) -> Result<Applied, KwargError> {
    let mut asked = Asked { body, applied: Applied::default() };
    for (key, value) in kwargs {
        let place = place_of(key)?;
        if !value.is_null() {
            place.put(&Given::new(key.clone(), value), &mut asked)?;
        }
    }
    Ok(asked.applied)
}

fn place_of(key: &str) -> Result<&'static Place, KwargError> {
    if DROPPED.contains(&key) {
        return Ok(&Place::Dropped);
    }
    places()
        .find(|(name, _)| *name == key)
        .map(|(_, place)| place)
        .ok_or_else(|| KwargError::Unknown { key: key.to_owned(), suggestion: closest(key, known_keys()) })
}

fn places() -> impl Iterator<Item = &'static (&'static str, Place)> {
    AREAS.iter().copied().flatten()
}

fn known_keys() -> impl Iterator<Item = &'static str> {
    DROPPED.iter().copied().chain(places().map(|(key, _)| *key))
}
