//! Keyword arguments, and the request that docker-py would make of them.

use serde_json::{Value, json};

use super::on_host;

pub(super) fn all() -> Vec<(Value, Value)> {
    let on_host = on_host::all().into_iter().map(|(kwargs, host)| (kwargs, json!({ "HostConfig": host })));
    on_host.chain(process()).chain(endpoints()).chain(ports()).collect()
}

fn process() -> Vec<(Value, Value)> {
    let words = json!({ "Entrypoint": ["sh", "-c", "echo a b"] });
    let full_health = json!({
        "Test": ["CMD", "true"], "Interval": 1_000_000_000, "Timeout": 1_000_000, "Retries": 3,
        "StartPeriod": 5, "StartInterval": 6,
    });
    vec![
        (json!({ "domainname": "example.com" }), json!({ "Domainname": "example.com" })),
        (json!({ "entrypoint": "sh -c 'echo a b'" }), words.clone()),
        (json!({ "entrypoint": ["sh", "-c", "echo a b"] }), words),
        (json!({ "entrypoint": [""] }), json!({ "Entrypoint": [""] })),
        (json!({ "group_add": ["audio", 1000] }), json!({ "HostConfig": { "GroupAdd": ["audio", "1000"] } })),
        (json!({ "healthcheck": { "test": "true" } }), json!({ "Healthcheck": { "Test": ["CMD-SHELL", "true"] } })),
        (json!({ "healthcheck": full_health }), json!({ "Healthcheck": full_health })),
        (
            json!({ "healthcheck": { "test": ["CMD", "true"], "interval": 1_000_000_000, "timeout": "1000000",
                "retries": 3, "start_period": 5, "start_interval": 6 } }),
            json!({ "Healthcheck": full_health }),
        ),
        (
            json!({ "healthcheck": { "test": ["NONE"], "retries": null } }),
            json!({ "Healthcheck": { "Test": ["NONE"] } }),
        ),
        (json!({ "hostname": "h" }), json!({ "Hostname": "h" })),
        (json!({ "init": true }), json!({ "HostConfig": { "Init": true } })),
        (json!({ "stdin_open": true }), json!({ "OpenStdin": true, "AttachStdin": true, "StdinOnce": true })),
        (json!({ "stop_signal": "SIGINT" }), json!({ "StopSignal": "SIGINT" })),
        (json!({ "stop_timeout": 30 }), json!({ "StopTimeout": 30 })),
        (json!({ "tty": "True" }), json!({ "Tty": true })),
        (json!({ "user": 1000 }), json!({ "User": "1000" })),
        (json!({ "user": "app:app" }), json!({ "User": "app:app" })),
        (json!({ "working_dir": "/opt/prefect" }), json!({ "WorkingDir": "/opt/prefect" })),
    ]
}

fn endpoints() -> Vec<(Value, Value)> {
    let full = json!({ "NetworkingConfig": { "EndpointsConfig": { "runs": {
        "Aliases": ["a"], "Links": ["db:database"], "MacAddress": "02:42:ac:11:00:02", "DriverOpts": { "o": "1" },
        "GwPriority": 5,
        "IPAMConfig": { "IPv4Address": "10.0.0.9", "IPv6Address": "fd00::9", "LinkLocalIPs": ["169.254.0.9"] },
    } } } });
    let docker_py = json!({ "runs": {
        "aliases": ["a"], "links": { "db": "database" }, "mac_address": "02:42:ac:11:00:02", "driver_opt": { "o": 1 },
        "gw_priority": 5, "ipv4_address": "10.0.0.9", "ipv6_address": "fd00::9", "link_local_ips": ["169.254.0.9"],
    } });
    vec![
        (json!({ "network_disabled": true }), json!({ "NetworkDisabled": true })),
        (json!({ "networking_config": full["NetworkingConfig"] }), full.clone()),
        (json!({ "networking_config": full["NetworkingConfig"]["EndpointsConfig"] }), full.clone()),
        (json!({ "networking_config": docker_py }), full),
        (
            json!({ "networking_config": { "runs": null } }),
            json!({ "NetworkingConfig": { "EndpointsConfig": { "runs": {} } } }),
        ),
    ]
}

fn ports() -> Vec<(Value, Value)> {
    let port = |port: &str| json!({ "HostPort": port });
    let both = |address: &str, port: &str| json!({ "HostIp": address, "HostPort": port });
    let cases = [
        ("2222/tcp", "2222/tcp", json!(3333), json!([port("3333")])),
        ("2222", "2222/tcp", json!("3333"), json!([port("3333")])),
        ("2222/udp", "2222/udp", json!(null), json!([{}])),
        ("80/sctp", "80/sctp", json!("8000-8010"), json!([port("8000-8010")])),
        ("1111/tcp", "1111/tcp", json!(["127.0.0.1", 1111]), json!([both("127.0.0.1", "1111")])),
        ("1111/tcp", "1111/tcp", json!(["[::1]", "1111"]), json!([both("::1", "1111")])),
        ("1111/tcp", "1111/tcp", json!(["127.0.0.1"]), json!([{ "HostIp": "127.0.0.1" }])),
        ("1111/tcp", "1111/tcp", json!(["127.0.0.1", null]), json!([{ "HostIp": "127.0.0.1" }])),
        ("1111/tcp", "1111/tcp", json!([1234, 4567]), json!([port("1234"), port("4567")])),
        ("1111/tcp", "1111/tcp", json!([1234, ["127.0.0.1", 4567]]), json!([port("1234"), both("127.0.0.1", "4567")])),
        ("53", "53/tcp", json!([{ "HostIp": "127.0.0.1", "HostPort": 53 }]), json!([both("127.0.0.1", "53")])),
    ];
    let request = |name: &str, bindings| json!({ "ExposedPorts": { name: {} }, "HostConfig": { "PortBindings": { name: bindings } } });
    let cases = cases.into_iter();
    cases.map(|(key, name, given, wanted)| (json!({ "ports": { key: given } }), request(name, wanted))).collect()
}
