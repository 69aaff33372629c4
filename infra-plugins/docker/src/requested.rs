//! What a container asks for, as far as a policy may restrict it. Read from what the engine is asked for, so that no job variable
//! and no keyword argument is a way around it.

use std::collections::BTreeSet;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use infra_contract::masking;
use worker_core::policy::Requested;
use worker_core::spec::RunSpec;

/// The processors of a quota are counted in parts of this many microseconds where nothing else is said.
const DEFAULT_PERIOD: i64 = 100_000;

/// What a run asks for. `body` has what the run's configuration says and nothing that the worker adds.
pub(crate) fn of(spec: &RunSpec, image: &str, body: &ContainerCreateBody) -> Requested {
    let mut requested = Requested {
        images: [image.to_owned()].into(),
        commands: commands(spec, body),
        environment: spec.configured_env.clone(),
        ..Requested::default()
    };
    if let Some(user) = body.user.as_ref().filter(|user| !user.is_empty()) {
        requested.privileges.insert(format!("user:{user}"));
    }
    if let Some(host) = &body.host_config {
        mounts(host, &mut requested);
        namespaces(host, &mut requested.privileges);
        privileges(host, &mut requested.privileges);
        requested.cpu_millis = cpu_millis(host);
        requested.memory_bytes = host.memory.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    }
    requested
}

/// The run's own, that of the image's own entrypoint if there is another, and what the engine executes to look after it.
fn commands(spec: &RunSpec, body: &ContainerCreateBody) -> BTreeSet<String> {
    let entrypoint = body.entrypoint.as_ref().map(shell_words::join);
    let own = entrypoint.into_iter().chain(spec.command.clone()).collect::<Vec<_>>().join(" ");
    let health = body.healthcheck.as_ref().and_then(|check| check.test.clone()).unwrap_or_default();
    let health = match health.split_first() {
        Some((how, words)) if how.starts_with("CMD") => words.join(" "),
        _ => String::new(),
    };
    let texts = [own, health].into_iter().filter(|text| !text.is_empty());
    texts.map(|text| masking::without(&text, spec.block_texts.iter().map(String::as_str))).collect()
}

fn mounts(host: &HostConfig, requested: &mut Requested) {
    for bind in host.binds.iter().flatten() {
        source(bind.split(':').next().unwrap_or_default(), requested);
    }
    for mount in host.mounts.iter().flatten() {
        self::mount(mount, requested);
    }
    let containers = host.volumes_from.iter().flatten().map(|from| format!("container:{from}"));
    requested.mounts.extend(containers);
    requested.mounts.extend(host.volume_driver.as_ref().map(|driver| format!("driver:{driver}")));
}

/// A name is that of a volume; everything else is a path.
fn source(source: &str, requested: &mut Requested) {
    if source.starts_with(['/', '.', '~']) {
        requested.sees_host(source);
    } else {
        requested.mounts.insert(format!("volume:{source}"));
    }
}

fn mount(mount: &Mount, requested: &mut Requested) {
    let from = mount.source.as_deref().unwrap_or_default();
    match mount.typ {
        Some(MountType::BIND) => requested.sees_host(from),
        Some(MountType::IMAGE) => drop(requested.images.insert(from.to_owned())),
        // Memory of the container's own.
        Some(MountType::TMPFS) => {}
        Some(MountType::NPIPE) => drop(requested.mounts.insert(format!("npipe:{from}"))),
        Some(MountType::CLUSTER) => drop(requested.mounts.insert(format!("cluster:{from}"))),
        Some(MountType::VOLUME) | None if from.is_empty() => {}
        Some(MountType::VOLUME) | None => source(from, requested),
    }
    let Some(driver) = mount.volume_options.as_ref().and_then(|options| options.driver_config.as_ref()) else { return };
    let name = driver.name.as_deref().unwrap_or("local");
    requested.mounts.insert(format!("driver:{name}"));
    // By these the driver of plain volumes mounts whatever it is told, directories of the host among them.
    if let Some(device) = driver.options.as_ref().and_then(|options| options.get("device")) {
        requested.sees_host(device);
    }
}

/// What the container shares with the host or with another container.
fn namespaces(host: &HostConfig, privileges: &mut BTreeSet<String>) {
    let cgroups = host.cgroupns_mode.as_ref().map(ToString::to_string);
    for (name, mode) in [
        ("network", host.network_mode.as_deref()),
        ("pid", host.pid_mode.as_deref()),
        ("ipc", host.ipc_mode.as_deref()),
        ("uts", host.uts_mode.as_deref()),
        ("users", host.userns_mode.as_deref()),
        ("cgroups", cgroups.as_deref()),
    ] {
        match mode {
            Some("host") => drop(privileges.insert(format!("host_{name}"))),
            Some(mode) if mode.starts_with("container:") || mode.starts_with("ns:") => {
                privileges.insert(format!("{name}:{mode}"));
            }
            Some(_) | None => {}
        }
    }
}

fn privileges(host: &HostConfig, privileges: &mut BTreeSet<String>) {
    let mut add = |has: bool, name: &str| {
        if has {
            privileges.insert(name.to_owned());
        }
    };
    add(host.privileged == Some(true), "privileged");
    add(host.oom_kill_disable == Some(true), "oom_kill_disable");
    add(host.oom_score_adj.is_some_and(|score| score < 0), "oom_score_adj");
    add(host.publish_all_ports == Some(true), "host_port:*");
    let texts = |what: &str, texts: &Option<Vec<String>>| -> Vec<String> {
        texts.iter().flatten().map(|text| format!("{what}:{text}")).collect()
    };
    privileges.extend(host.cap_add.iter().flatten().map(|name| format!("capability:{}", capability(name))));
    privileges.extend(texts("group", &host.group_add));
    privileges.extend(texts("device_rule", &host.device_cgroup_rules));
    privileges.extend(texts("link", &host.links));
    privileges.extend(texts("security", &host.security_opt).into_iter().filter(|option| !hardens(option)));
    for device in host.devices.iter().flatten() {
        privileges.insert(format!("device:{}", device.path_on_host.as_deref().unwrap_or("*")));
    }
    for request in host.device_requests.iter().flatten() {
        privileges.insert(format!(
            "device_request:{}",
            request.driver.as_deref().filter(|name| !name.is_empty()).unwrap_or("gpu")
        ));
    }
    privileges.extend(host.sysctls.iter().flatten().map(|(name, _)| format!("sysctl:{name}")));
    privileges.extend(host.runtime.iter().map(|runtime| format!("runtime:{runtime}")));
    privileges.extend(host.cgroup_parent.iter().map(|parent| format!("cgroup_parent:{parent}")));
    let bindings = host.port_bindings.iter().flatten().flat_map(|(_, bindings)| bindings.iter().flatten());
    privileges.extend(bindings.map(|binding| {
        format!("host_port:{}", binding.host_port.as_deref().filter(|port| !port.is_empty()).unwrap_or("*"))
    }));
}

fn capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

fn hardens(option: &str) -> bool {
    matches!(
        option,
        "security:no-new-privileges" | "security:no-new-privileges:true" | "security:no-new-privileges=true"
    )
}

fn cpu_millis(host: &HostConfig) -> Option<u64> {
    let above_zero = |number: Option<i64>| number.filter(|number| *number > 0);
    let by_count = above_zero(host.nano_cpus).map(|nanos| nanos / 1_000_000);
    let period = above_zero(host.cpu_period).unwrap_or(DEFAULT_PERIOD);
    let by_quota = above_zero(host.cpu_quota).map(|quota| quota.saturating_mul(1000) / period);
    by_count.or(by_quota).and_then(|millis| u64::try_from(millis).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, Value, json};
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};
    use worker_core::spec::ReportState;

    use super::*;
    use crate::create_kwargs;

    fn spec(command: Option<&str>) -> RunSpec {
        RunSpec {
            key: LaunchKey { run: RunId(Uuid::nil()), claim: TransitionId(Uuid::nil()) },
            flow_run_name: "r".to_owned(),
            name: "r".to_owned(),
            command: command.map(str::to_owned),
            env: BTreeMap::from([("OWN".to_owned(), "1".to_owned()), ("PREFECT_API_URL".to_owned(), "u".to_owned())]),
            env_from: Vec::new(),
            configured_env: ["OWN".to_owned()].into(),
            worker_settings: BTreeMap::new(),
            labels: BTreeMap::new(),
            fields: Map::new(),
            block_texts: ["hunter2-hunter2".to_owned()].into(),
            code: None,
            entrypoint: None,
            report_state: ReportState::Engine,
        }
    }

    fn of_kwargs(kwargs: &Value) -> Requested {
        let mut body = ContainerCreateBody::default();
        create_kwargs::apply(kwargs.as_object().unwrap(), &mut body).unwrap();
        of(&spec(None), "r.test/a", &body)
    }

    fn texts(set: &BTreeSet<String>) -> Vec<&str> {
        set.iter().map(String::as_str).collect()
    }

    #[test]
    fn only_what_the_run_sets_itself_counts_and_commands_hold_no_secret() {
        let requested = of(&spec(Some("sh -c hunter2-hunter2")), "r.test/a", &ContainerCreateBody::default());
        assert_eq!(texts(&requested.environment), ["OWN"]);
        assert_eq!(texts(&requested.commands), ["sh -c ***"]);
        assert_eq!((requested.cpu_millis, requested.memory_bytes), (None, None));
        assert!(of_kwargs(&json!({})).commands.is_empty());
    }

    #[test]
    fn keyword_arguments_are_no_way_around() {
        let requested = of_kwargs(&json!({
            "entrypoint": ["/bin/sh", "-c", "id"], "healthcheck": {"test": ["CMD", "curl", "x"]},
            "cap_add": ["CAP_SYS_ADMIN", "net_raw"], "pid_mode": "host", "ipc_mode": "container:x", "userns_mode": "host",
            "uts_mode": "host", "security_opt": ["seccomp=unconfined", "no-new-privileges"], "devices": ["/dev/kvm:/dev/kvm:rwm"],
            "runtime": "nvidia", "user": 0, "sysctls": {"net.ipv4.ip_forward": "1"}, "group_add": ["docker"],
            "ports": {"80/tcp": 8080}, "cgroup_parent": "/", "oom_kill_disable": true,
        }));
        assert_eq!(texts(&requested.commands), ["/bin/sh -c id", "curl x"]);
        assert_eq!(
            texts(&requested.privileges),
            [
                "capability:NET_RAW",
                "capability:SYS_ADMIN",
                "cgroup_parent:/",
                "device:/dev/kvm",
                "group:docker",
                "host_pid",
                "host_port:8080",
                "host_users",
                "host_uts",
                "ipc:container:x",
                "oom_kill_disable",
                "runtime:nvidia",
                "security:seccomp=unconfined",
                "sysctl:net.ipv4.ip_forward",
                "user:0"
            ]
        );
    }

    #[test]
    fn every_kind_of_mount_is_seen() {
        let binds = vec!["/srv/../etc:/e".to_owned(), "data:/d:ro".to_owned()];
        let host_config = Some(HostConfig { binds: Some(binds), ..HostConfig::default() });
        let mut body = ContainerCreateBody { host_config, ..ContainerCreateBody::default() };
        let kwargs = json!({
            "mounts": [
                {"Target": "/s", "Source": "/var/run/docker.sock", "Type": "bind"},
                {"Target": "/t", "Type": "tmpfs"},
                {"Target": "/i", "Source": "evil.test/i", "Type": "image"},
                {"Target": "/v", "Source": "v", "Type": "volume",
                    "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/root"}}}},
            ],
            "volumes_from": ["other"],
        });
        create_kwargs::apply(kwargs.as_object().unwrap(), &mut body).unwrap();
        let requested = of(&spec(None), "r.test/a", &body);
        assert_eq!(
            texts(&requested.mounts),
            [
                "container:other",
                "driver:local",
                "host:/etc",
                "host:/root",
                "host:/var/run/docker.sock",
                "volume:data",
                "volume:v"
            ]
        );
        assert_eq!(texts(&requested.images), ["evil.test/i", "r.test/a"]);
    }

    #[test]
    fn limits_are_read_in_both_of_their_forms() {
        assert_eq!(of_kwargs(&json!({"nano_cpus": 1_500_000_000})).cpu_millis, Some(1500));
        assert_eq!(of_kwargs(&json!({"cpu_quota": 50_000, "cpu_period": 100_000})).cpu_millis, Some(500));
        assert_eq!(of_kwargs(&json!({"cpu_quota": -1})).cpu_millis, None);
    }
}
