//! What neither docker-py nor the engine would understand.

use serde_json::{Value, json};

use super::applied;
use crate::create_kwargs::KwargError;

fn refusal(kwargs: &Value) -> KwargError {
    applied(kwargs).map(|_| ()).expect_err(&kwargs.to_string())
}

#[test]
fn an_unknown_argument_is_named_with_the_one_that_was_meant() {
    let cases = [
        (json!({ "cpu_share": 1 }), "cpu_share", Some("cpu_shares")),
        (json!({ "cpu_share": null }), "cpu_share", Some("cpu_shares")),
        (json!({ "netwrok": "x" }), "netwrok", Some("network")),
        (json!({ "zzz": 1 }), "zzz", None),
        (json!({ "ulimits": [{ "Nane": "x" }] }), "ulimits[0].Nane", Some("Name")),
        (json!({ "mounts": [{ "Target": "/a", "read_only": true, "x": 1 }] }), "mounts[0].x", None),
        (json!({ "networking_config": { "n": { "IPAddress": "x" } } }), "networking_config.n.IPAddress", None),
    ];
    for (kwargs, key, suggestion) in cases {
        let KwargError::Unknown { key: named, suggestion: suggested } = refusal(&kwargs) else { panic!("{kwargs}") };
        assert_eq!(named, key);
        if suggestion.is_some() {
            assert_eq!(suggested.as_deref(), suggestion, "{kwargs}");
        }
    }
}

#[test]
fn a_wrong_value_is_named_by_its_path() {
    let cases = [
        (json!({ "cpu_shares": "many" }), "cpu_shares", "another string"),
        (json!({ "cpu_shares": 1.5 }), "cpu_shares", "another number"),
        (json!({ "cpu_shares": true }), "cpu_shares", "a boolean"),
        (json!({ "blkio_weight": 70_000 }), "blkio_weight", "another number"),
        (json!({ "tty": "maybe" }), "tty", "another string"),
        (json!({ "init": 1 }), "init", "another number"),
        (json!({ "hostname": 1 }), "hostname", "a number"),
        (json!({ "user": ["a"] }), "user", "a list"),
        (json!({ "dns": "8.8.8.8" }), "dns", "a string"),
        (json!({ "dns": [1] }), "dns[0]", "a number"),
        (json!({ "cap_add": {} }), "cap_add", "an object"),
        (json!({ "cap_add": [null] }), "cap_add[0]", "null"),
        (json!({ "sysctls": [] }), "sysctls", "a list"),
        (json!({ "sysctls": { "net.core.somaxconn": null } }), "sysctls.net.core.somaxconn", "null"),
        (json!({ "shm_size": "1x" }), "shm_size", "another string"),
        (json!({ "cgroupns": "shared" }), "cgroupns", "another string"),
        (json!({ "isolation": 1 }), "isolation", "another number"),
        (json!({ "entrypoint": "sh 'x" }), "entrypoint", "another string"),
        (json!({ "entrypoint": 1 }), "entrypoint", "a number"),
        (json!({ "healthcheck": "true" }), "healthcheck", "a string"),
        (json!({ "healthcheck": { "test": 1 } }), "healthcheck.test", "a number"),
        (json!({ "healthcheck": { "interval": "30s" } }), "healthcheck.interval", "another string"),
        (
            json!({ "device_read_iops": [{ "Path": "/dev/sda", "Rate": "1m" }] }),
            "device_read_iops[0].Rate",
            "another string",
        ),
        (json!({ "devices": ["/dev/a:/dev/b:r:w"] }), "devices[0]", "another string"),
        (json!({ "devices": [""] }), "devices[0]", "another string"),
        (json!({ "devices": [1] }), "devices[0]", "a number"),
        (json!({ "device_requests": [{ "Capabilities": ["gpu"] }] }), "device_requests[0].Capabilities[0]", "a string"),
        (json!({ "gpus": "some" }), "gpus", "another string"),
        (json!({ "gpus": "device=" }), "gpus", "another string"),
        (json!({ "gpus": 0 }), "gpus", "another number"),
        (json!({ "gpus": true }), "gpus", "a boolean"),
        (json!({ "restart_policy": { "Name": "sometimes" } }), "restart_policy.Name", "another string"),
        (json!({ "mounts": ["/a:/b"] }), "mounts[0]", "a string"),
        (json!({ "mounts": [{ "Target": "/a", "Type": "nfs" }] }), "mounts[0].Type", "another string"),
        (json!({ "mounts": [{ "Target": "/a", "tmpfs_mode": "1777" }] }), "mounts[0].tmpfs_mode", "a string"),
        (json!({ "mounts": [{ "Target": "/a", "propagation": "x" }] }), "mounts[0].propagation", "another string"),
        (json!({ "tmpfs": "/run" }), "tmpfs", "a string"),
        (json!({ "tmpfs": { "/run": 1 } }), "tmpfs./run", "a number"),
        (json!({ "volumes_from": 1 }), "volumes_from", "a number"),
        (json!({ "extra_hosts": "a:b" }), "extra_hosts", "a string"),
        (json!({ "extra_hosts": { "a": 1 } }), "extra_hosts.a", "a number"),
        (json!({ "links": [["a"]] }), "links[0]", "a list"),
        (json!({ "links": "a:b" }), "links", "a string"),
        (json!({ "networking_config": "n" }), "networking_config", "a string"),
        (json!({ "ports": ["80"] }), "ports", "a list"),
        (json!({ "ports": { "http": 80 } }), "ports.http", "otherwise"),
        (json!({ "ports": { "80/icmp": 80 } }), "ports.80/icmp", "otherwise"),
        (json!({ "ports": { "80": 70_000 } }), "ports.80", "another number"),
        (json!({ "ports": { "80": true } }), "ports.80", "a boolean"),
        (json!({ "ports": { "80": [["localhost", 80]] } }), "ports.80[0][0]", "another string"),
        (json!({ "ports": { "80": [[8080, 80]] } }), "ports.80[0][0]", "a number"),
        (json!({ "ports": { "80": ["127.0.0.1", "x"] } }), "ports.80[1]", "another string"),
        (json!({ "ports": { "80": [["127.0.0.1", 1, 2]] } }), "ports.80[0]", "a list"),
    ];
    for (kwargs, key, found) in cases {
        let KwargError::Wrong { key: named, found: kind, .. } = refusal(&kwargs) else { panic!("{kwargs}") };
        assert_eq!((named.as_str(), kind), (key, found), "{kwargs}");
    }
}

#[test]
fn a_field_without_which_the_rest_is_nothing_is_missed() {
    let cases = [
        (json!({ "ulimits": [{ "Soft": 1 }] }), "ulimits[0].Name"),
        (json!({ "mounts": [{ "Source": "a", "Target": null }] }), "mounts[0].Target"),
        (json!({ "blkio_weight_device": [{ "Path": "/dev/sda" }] }), "blkio_weight_device[0].Weight"),
        (json!({ "device_write_bps": [{ "Rate": 1 }] }), "device_write_bps[0].Path"),
        (json!({ "devices": [{ "PathInContainer": "/dev/a" }] }), "devices[0].PathOnHost"),
    ];
    for (kwargs, key) in cases {
        assert_eq!(refusal(&kwargs), KwargError::Missing { key: key.to_owned() });
    }
}

#[test]
fn what_the_engine_no_longer_has_is_said() {
    for kwargs in [json!({ "init_path": "/x" }), json!({ "kernel_memory": "1g" }), json!({ "lxc_conf": {} })] {
        assert!(matches!(refusal(&kwargs), KwargError::Unsupported { .. }), "{kwargs}");
    }
}

#[test]
fn refusals_name_arguments_and_never_values() {
    let cases = [
        (json!({ "cpu_share": "s3cret" }), "`cpu_share` is not a known argument, did you mean `cpu_shares`?"),
        (json!({ "zzz": "s3cret" }), "`zzz` is not a known argument"),
        (json!({ "tty": "s3cret" }), "`tty` must be a boolean (true or false), not another string"),
        (json!({ "ulimits": [{ "Soft": 1 }] }), "`ulimits[0].Name` is missing"),
        (json!({ "lxc_conf": "s3cret" }), "`lxc_conf` is not supported: the engine no longer runs containers with LXC"),
        (
            json!({ "ports": { "http": 80 } }),
            "`ports.http` must be named by a port and a protocol (tcp, udp or sctp), such as 2222/tcp, not otherwise",
        ),
    ];
    for (kwargs, text) in cases {
        assert_eq!(refusal(&kwargs).to_string(), text);
    }
}
