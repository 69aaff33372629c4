//! Each argument as docker-py's users write it, and what the engine is then asked for.

mod examples;
mod on_host;
mod refusals;

use std::collections::BTreeSet;

use bollard::models::{ContainerCreateBody, HostConfig};
use serde_json::{Value, json};

use super::*;

fn applied(kwargs: &Value) -> Result<(ContainerCreateBody, Applied), KwargError> {
    let mut body = ContainerCreateBody::default();
    let applied = apply(kwargs.as_object().unwrap(), &mut body)?;
    Ok((body, applied))
}

#[test]
fn every_argument_reaches_the_engine() {
    for (kwargs, expected) in examples::all() {
        let (body, _) = applied(&kwargs).unwrap_or_else(|error| panic!("{kwargs}: {error}"));
        assert_eq!(serde_json::to_value(body).unwrap(), expected, "{kwargs}");
    }
}

#[test]
fn every_argument_has_an_example() {
    let examples: BTreeSet<String> =
        examples::all().iter().flat_map(|(kwargs, _)| kwargs.as_object().unwrap().keys().cloned()).collect();
    let supported = places().filter(|(_, place)| !matches!(place, Place::Unsupported(_)));
    let elsewhere = ["extra_hosts", "platform", "mac_address"];
    let missing: Vec<&str> =
        supported.map(|(key, _)| *key).filter(|key| !examples.contains(*key) && !elsewhere.contains(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_argument_is_known_twice() {
    let mut seen = BTreeSet::new();
    assert!(known_keys().all(|key| seen.insert(key)));
}

#[test]
fn variables_of_the_job_are_dropped_and_named() {
    let kwargs: Map<String, Value> = DROPPED.iter().map(|key| ((*key).to_owned(), json!("x"))).collect();
    let (body, applied) = applied(&Value::Object(kwargs)).unwrap();
    assert_eq!(applied.ignored, DROPPED);
    assert_eq!(body, ContainerCreateBody::default());
}

#[test]
fn null_is_not_given() {
    let kwargs: Map<String, Value> = known_keys().map(|key| (key.to_owned(), Value::Null)).collect();
    assert_eq!(applied(&Value::Object(kwargs)).unwrap(), (ContainerCreateBody::default(), Applied::default()));
}

#[test]
fn what_has_no_place_in_the_body_is_handed_back() {
    let cases = [
        (json!({ "extra_hosts": { "b": "10.0.0.2", "a": "::1" } }), vec!["a:::1", "b:10.0.0.2"], None, None),
        (
            json!({ "extra_hosts": ["host.docker.internal:host-gateway"] }),
            vec!["host.docker.internal:host-gateway"],
            None,
            None,
        ),
        (json!({ "platform": "linux/arm64" }), vec![], Some("linux/arm64"), None),
        (json!({ "mac_address": "02:42:ac:11:00:02" }), vec![], None, Some("02:42:ac:11:00:02")),
    ];
    for (kwargs, extra_hosts, platform, mac_address) in cases {
        let (body, applied) = applied(&kwargs).unwrap();
        assert_eq!(body, ContainerCreateBody::default(), "{kwargs}");
        assert_eq!(applied.extra_hosts, extra_hosts);
        assert_eq!(applied.platform.as_deref(), platform);
        assert_eq!(applied.mac_address.as_deref(), mac_address);
    }
}

#[test]
fn what_was_asked_for_before_stays() {
    let host_config = Some(HostConfig { memory: Some(1024), ..HostConfig::default() });
    let mut body = ContainerCreateBody { image: Some("i".to_owned()), host_config, ..ContainerCreateBody::default() };
    apply(json!({ "init": true, "tty": true }).as_object().unwrap(), &mut body).unwrap();
    let host = json!({ "Memory": 1024, "Init": true });
    assert_eq!(serde_json::to_value(body).unwrap(), json!({ "Image": "i", "Tty": true, "HostConfig": host }));
}
