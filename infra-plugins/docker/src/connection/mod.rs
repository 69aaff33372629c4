//! Where the Docker Engine is, the connection to it, and why there is none.

mod address;
mod client;
mod context;
pub(crate) mod docker_config;
mod endpoint;
mod error;
mod locate;
mod socket_rights;
mod tls;
mod trouble;

pub(crate) use client::connect;
pub(crate) use endpoint::Endpoint;
pub(crate) use error::ConnectionError;
pub(crate) use locate::endpoint;
pub(crate) use trouble::{TroubleKind, explain};

use std::collections::BTreeMap;

/// A variable that is set to something: an empty one means to Docker what an absent one does.
pub(crate) fn set<'e>(env: &'e BTreeMap<String, String>, name: &str) -> Option<&'e str> {
    env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}
