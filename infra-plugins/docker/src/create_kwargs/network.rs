//! How the container is reached, and what it reaches.

use bollard::models::{EndpointIpamConfig, EndpointSettings};
use serde_json::Value;

use super::{
    KwargError,
    fields::Fields,
    given::Given,
    place::{Asked, Keys, Place},
    ports::ports,
};

pub(super) const KEYS: Keys = &[
    ("dns", Place::Texts(|to| &mut to.host().dns)),
    ("dns_opt", Place::Texts(|to| &mut to.host().dns_options)),
    ("dns_search", Place::Texts(|to| &mut to.host().dns_search)),
    ("extra_hosts", Place::Own(extra_hosts)),
    ("links", Place::Own(links)),
    ("mac_address", Place::Text(|to| &mut to.applied.mac_address)),
    ("network_disabled", Place::Flag(|to| &mut to.body.network_disabled)),
    ("networking_config", Place::Own(networking_config)),
    ("ports", Place::Own(ports)),
    ("publish_all_ports", Place::Flag(|to| &mut to.host().publish_all_ports)),
];

/// The engine's fields that are configuration, then the keyword arguments of docker-py's `EndpointConfig`.
const ENDPOINT: &[&str] = &[
    "IPAMConfig",
    "Links",
    "MacAddress",
    "Aliases",
    "DriverOpts",
    "GwPriority",
    "driver_opt",
    "ipv4_address",
    "ipv6_address",
    "link_local_ips",
];

fn extra_hosts(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.applied.extra_hosts = match given.value {
        Value::Array(_) => given.texts()?,
        Value::Object(_) => sorted(given, |host, address| Ok(format!("{host}:{}", address.str()?)))?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(given.wrong("an object or a list of host:address"));
        }
    };
    Ok(())
}

fn links(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().links = Some(links_of(given)?);
    Ok(())
}

fn links_of(given: &Given<'_>) -> Result<Vec<String>, KwargError> {
    match given.value {
        Value::Object(_) => sorted(given, link),
        Value::Array(_) => given.each(listed_link),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(given.wrong("an object or a list of pairs"))
        }
    }
}

fn listed_link(given: &Given<'_>) -> Result<String, KwargError> {
    if let Value::String(link) = given.value {
        return Ok(link.clone());
    }
    match given.items()?.as_slice() {
        [container, alias] => link(container.str()?, alias),
        _ => Err(given.malformed("a pair of a container and its alias")),
    }
}

/// A container without an alias is linked under its own name.
fn link(container: &str, alias: &Given<'_>) -> Result<String, KwargError> {
    let alias = if alias.value.is_null() { "" } else { alias.str()? };
    Ok(if alias.is_empty() { container.to_owned() } else { format!("{container}:{alias}") })
}

fn sorted<'v>(
    given: &Given<'v>,
    read: impl Fn(&'v str, &Given<'v>) -> Result<String, KwargError>,
) -> Result<Vec<String>, KwargError> {
    let mut entries = given.entries()?;
    entries.sort_by_key(|(name, _)| *name);
    entries.iter().map(|(name, value)| read(name, value)).collect()
}

fn networking_config(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let engine_form = given.object()?.contains_key("EndpointsConfig");
    let endpoints = if engine_form {
        Fields::of(given, &["EndpointsConfig"])?.read("EndpointsConfig", Given::entries)?.unwrap_or_default()
    } else {
        given.entries()?
    };
    let wanted = asked.body.networking_config.get_or_insert_default().endpoints_config.get_or_insert_default();
    for (network, given) in endpoints {
        wanted.insert(network.to_owned(), endpoint(&given)?);
    }
    Ok(())
}

fn endpoint(given: &Given<'_>) -> Result<EndpointSettings, KwargError> {
    if given.value.is_null() {
        return Ok(EndpointSettings::default());
    }
    let fields = Fields::of(given, ENDPOINT)?;
    let driver_opts = fields.read("DriverOpts", Given::text_map)?;
    Ok(EndpointSettings {
        ipam_config: ipam_config(&fields)?,
        links: fields.read("Links", links_of)?,
        mac_address: fields.read("MacAddress", Given::text)?,
        aliases: fields.read("Aliases", Given::texts)?,
        driver_opts: fields.read("driver_opt", Given::text_map)?.or(driver_opts),
        gw_priority: fields.read("GwPriority", Given::whole)?,
        ..EndpointSettings::default()
    })
}

fn ipam_config(endpoint: &Fields<'_>) -> Result<Option<EndpointIpamConfig>, KwargError> {
    let nested = endpoint.read("IPAMConfig", |given| {
        let fields = Fields::of(given, &["IPv4Address", "IPv6Address", "LinkLocalIPs"])?;
        ipam_config_of(&fields, ["IPv4Address", "IPv6Address", "LinkLocalIPs"])
    })?;
    let flat = ipam_config_of(endpoint, ["ipv4_address", "ipv6_address", "link_local_ips"])?;
    Ok(if flat == EndpointIpamConfig::default() { nested } else { Some(flat) })
}

fn ipam_config_of(fields: &Fields<'_>, names: [&str; 3]) -> Result<EndpointIpamConfig, KwargError> {
    let [ipv4_address, ipv6_address, link_local_ips] = names;
    Ok(EndpointIpamConfig {
        ipv4_address: fields.read(ipv4_address, Given::text)?,
        ipv6_address: fields.read(ipv6_address, Given::text)?,
        link_local_ips: fields.read(link_local_ips, Given::texts)?,
    })
}
