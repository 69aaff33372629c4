//! Ports of the container, and the machine's ports that lead there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bollard::models::PortBinding;
use serde_json::Value;

use super::{KwargError, fields::Fields, given::Given, place::Asked};

const HOST_PORT: &str = "a port of the machine, [address, port], or a list of such";

pub(super) fn ports(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let mut bound: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for (port, given) in given.entries()? {
        let port = container_port(port).ok_or_else(|| misnamed(&given))?;
        bound.entry(port).or_default().extend(bindings(&given)?);
    }
    asked.body.exposed_ports.get_or_insert_default().extend(bound.keys().cloned());
    let bindings = bound.into_iter().map(|(port, bindings)| (port, Some(bindings)));
    asked.host().port_bindings.get_or_insert_default().extend(bindings);
    Ok(())
}

fn misnamed(given: &Given<'_>) -> KwargError {
    let expected = "named by a port and a protocol (tcp, udp or sctp), such as 2222/tcp".to_owned();
    KwargError::Wrong { key: given.key.clone(), expected, found: "otherwise" }
}

fn container_port(key: &str) -> Option<String> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let known = ["tcp", "udp", "sctp"].contains(&protocol);
    (known && is_port_or_range(port)).then(|| format!("{port}/{protocol}"))
}

fn is_port_or_range(text: &str) -> bool {
    text.splitn(2, '-').all(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// JSON has no tuples: a list of two is an address and a port if it begins with an address, else it is two ports.
fn bindings(given: &Given<'_>) -> Result<Vec<PortBinding>, KwargError> {
    if let Value::Array(items) = given.value
        && !is_address_and_port(items)
    {
        return given.each(binding);
    }
    Ok(vec![binding(given)?])
}

fn is_address_and_port(items: &[Value]) -> bool {
    matches!(items, [address, _] if address.as_str().is_some_and(is_address))
}

/// The empty one stands for all of the machine's addresses.
fn is_address(text: &str) -> bool {
    text.is_empty() || bare(text).parse::<IpAddr>().is_ok()
}

/// Without the brackets that set an IPv6 address off from a port.
fn bare(address: &str) -> &str {
    address.trim_matches(['[', ']'])
}

fn binding(given: &Given<'_>) -> Result<PortBinding, KwargError> {
    match given.value {
        Value::Null => Ok(PortBinding::default()),
        Value::String(text) if is_address(text) => on_address(given, None),
        Value::Number(_) | Value::String(_) => Ok(PortBinding { host_ip: None, host_port: Some(host_port(given)?) }),
        Value::Array(_) => address_and_port(given),
        Value::Object(_) => {
            let fields = Fields::of(given, &["HostIp", "HostPort"])?;
            Ok(PortBinding {
                host_ip: fields.read("HostIp", Given::text)?,
                host_port: fields.read("HostPort", host_port)?,
            })
        }
        Value::Bool(_) => Err(given.wrong(HOST_PORT)),
    }
}

fn address_and_port(given: &Given<'_>) -> Result<PortBinding, KwargError> {
    match given.items()?.as_slice() {
        [address] => on_address(address, None),
        [address, port] if port.value.is_null() => on_address(address, None),
        [address, port] => on_address(address, Some(host_port(port)?)),
        _ => Err(given.malformed(HOST_PORT)),
    }
}

fn on_address(address: &Given<'_>, host_port: Option<String>) -> Result<PortBinding, KwargError> {
    let text = address.str()?;
    if is_address(text) {
        Ok(PortBinding { host_ip: Some(bare(text).to_owned()), host_port })
    } else {
        Err(address.malformed("an address of the machine"))
    }
}

/// Empty text is a port of the engine's choice.
fn host_port(given: &Given<'_>) -> Result<String, KwargError> {
    let port = given.text_or_number().map_err(|_| given.wrong(HOST_PORT))?;
    if port.is_empty() || is_port_or_range(&port) { Ok(port) } else { Err(given.malformed(HOST_PORT)) }
}
