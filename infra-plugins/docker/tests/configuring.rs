//! What the engine is asked for, as it says itself.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use docker_bed::BUSYBOX;
use infra_contract::InfraPlugin as _;
use infra_docker::{DockerSettings, Secrets};
use serde_json::{Value, json};
use uuid::Uuid;
use worker_core::exit::Exit;
use worker_core::spec::{CodeInPlace, RunSpec};

use support::{Bench, Seen, container, script_run, text_of, with_env, with_fields};

/// A canary that must not turn up anywhere.
const CANARY: &str = "canary-7f3a9";

async fn inspected(bench: &Bench, spec: &RunSpec) -> Value {
    let handle = bench.launch(spec).await.unwrap();
    let found = bench.inspect(&handle);
    bench.plugin.cleanup(&handle).await.unwrap();
    found
}

#[tokio::test]
async fn c090_a_container_has_the_name_of_its_run_with_a_number_if_it_is_taken() {
    let bench = Bench::new();
    let base = format!("My Run {}!", Uuid::new_v4().simple());
    let slug = base.replace(' ', "-").replace('!', "");
    for expected in [slug.clone(), format!("{slug}-1"), format!("{slug}-2")] {
        let spec = RunSpec { name: base.clone(), ..script_run("exit 0") };
        let handle = bench.launch(&spec).await.unwrap();
        assert_eq!(bench.inspect(&handle)["Name"], format!("/{expected}"));
    }
}

#[tokio::test]
async fn c093_labels_are_written_as_docker_writes_them_and_tell_whose_container_it_is() {
    let bench = Bench::new();
    let labels =
        [("prefect.io/flow-run-id", "x"), ("prefect.io/version", "3.8.0"), ("team/cost", "42"), ("mine", "yes")];
    let labels: BTreeMap<_, _> = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let found = inspected(&bench, &RunSpec { labels, ..script_run("exit 0") }).await;
    let found = &found["Config"]["Labels"];
    assert_eq!(found["io.prefect.flow-run-id"], "x");
    assert_eq!(found["io.prefect.version"], "3.8.0");
    assert_eq!(found["team.cost"], "42");
    assert_eq!(found["mine"], "yes");
    assert_eq!(found["io.prefect.worker.owner"], bench.settings.owner.mark());
}

#[tokio::test]
async fn c091_an_api_on_this_host_is_reached_over_the_hosts_network_or_by_its_docker_name() {
    let bench = Bench::new();
    let local = |network_mode: Value| {
        let mut spec = with_fields(script_run("exit 0"), json!({"network_mode": network_mode}));
        spec.env.insert("PREFECT_API_URL".to_owned(), "http://127.0.0.1:4200/api".to_owned());
        spec
    };
    let api_url = |found: &Value| {
        let env = found["Config"]["Env"].as_array().unwrap().clone();
        env.iter().find_map(|entry| entry.as_str()?.strip_prefix("PREFECT_API_URL=").map(str::to_owned)).unwrap()
    };
    let found = inspected(&bench, &local(Value::Null)).await;
    assert_eq!(found["HostConfig"]["NetworkMode"], "host");
    assert_eq!(api_url(&found), "http://127.0.0.1:4200/api");
    let found = inspected(&bench, &local(json!("bridge"))).await;
    assert_eq!(found["HostConfig"]["NetworkMode"], "bridge");
    assert_eq!(api_url(&found), "http://host.docker.internal:4200/api");
    let mut users = local(json!("bridge"));
    users.configured_env = BTreeSet::from(["PREFECT_API_URL".to_owned()]);
    assert_eq!(api_url(&inspected(&bench, &users).await), "http://127.0.0.1:4200/api", "the user's own is untouched");
}

#[tokio::test]
async fn c092_the_host_has_an_entry_beside_the_users() {
    let bench = Bench::new();
    for (kwarg, expected) in [
        (json!(["db:10.0.0.2"]), vec!["host.docker.internal:host-gateway", "db:10.0.0.2"]),
        (json!({"db": "10.0.0.2"}), vec!["host.docker.internal:host-gateway", "db:10.0.0.2"]),
        (json!(["host.docker.internal:10.0.0.1"]), vec!["host.docker.internal:10.0.0.1"]),
    ] {
        let spec = with_fields(
            script_run("exit 0"),
            json!({"network_mode": "bridge", "container_create_kwargs": {"extra_hosts": kwarg}}),
        );
        assert_eq!(inspected(&bench, &spec).await["HostConfig"]["ExtraHosts"], json!(expected));
    }
}

#[tokio::test]
async fn c094_the_first_network_is_joined_when_the_container_is_made_and_the_others_before_it_starts() {
    let bench = Bench::new();
    let networks: Vec<String> = (0..3).map(|number| format!("bed-{number}-{}", Uuid::new_v4().simple())).collect();
    for network in &networks {
        bench.docker(&["network", "create", network]);
    }
    let mut spec = with_fields(script_run("exit 0"), json!({"networks": networks}));
    spec.fields.remove("network_mode");
    let found = inspected(&bench, &spec).await;
    for network in &networks {
        assert!(found["NetworkSettings"]["Networks"].get(network).is_some(), "{network}");
        bench.docker(&["network", "rm", network]);
    }
    assert_eq!(found["HostConfig"]["NetworkMode"], networks[0]);
}

#[tokio::test]
async fn c095_volumes_limits_privileges_and_docker_py_arguments_reach_the_engine() {
    let bench = Bench::new();
    let spec = with_fields(
        script_run("exit 0"),
        json!({
            "volumes": ["/tmp:/x:ro", "/anonymous"],
            "mem_limit": "64m",
            "memswap_limit": 134_217_728,
            "privileged": true,
            "container_create_kwargs": {
                "user": "1000", "shm_size": "8m", "tmpfs": {"/scratch": "size=1m"}, "hostname": "here",
                "ulimits": [{"name": "nofile", "soft": 100, "hard": 200}], "cap_drop": ["NET_RAW"],
                "mem_limit": "1g", "image": "no-such-image", "volumes": ["/y:/y"],
            },
        }),
    );
    let handle = bench.launch(&spec).await.unwrap();
    let found = bench.inspect(&handle);
    let host = &found["HostConfig"];
    assert_eq!(host["Binds"], json!(["/tmp:/x:ro"]));
    assert!(found["Config"]["Volumes"].get("/anonymous").is_some());
    assert_eq!((&host["Memory"], &host["MemorySwap"]), (&json!(67_108_864), &json!(134_217_728)));
    assert_eq!(host["Privileged"], true);
    assert_eq!(host["ShmSize"], 8_388_608);
    assert_eq!(host["Tmpfs"]["/scratch"], "size=1m");
    assert_eq!(host["Ulimits"][0], json!({"Name": "nofile", "Soft": 100, "Hard": 200}));
    assert_eq!(host["CapDrop"], json!(["NET_RAW"]));
    assert_eq!((&found["Config"]["User"], &found["Config"]["Hostname"]), (&json!("1000"), &json!("here")));
    assert_eq!(found["Config"]["Image"], BUSYBOX);
    for ignored in ["mem_limit", "image", "volumes"] {
        assert!(bench.log.text().contains(&format!("`{ignored}`")), "{}", bench.log.text());
    }
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn a_key_that_docker_py_does_not_know_is_refused_by_name() {
    let bench = Bench::new();
    let spec = with_fields(script_run("exit 0"), json!({"container_create_kwargs": {"shm_sise": "8m"}}));
    let error = text_of(&bench.launch(&spec).await.unwrap_err());
    assert!(error.contains("shm_sise") && error.contains("shm_size"), "{error}");
}

#[tokio::test]
async fn c096_the_infrastructure_id_is_the_engines_address_and_the_container() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exit 0")).await.unwrap();
    assert_eq!(handle.infra_id.0, format!("http+docker://localhost:{}", container(&handle)));
    assert_eq!(container(&handle).len(), 64);
    bench.plugin.cleanup(&handle).await.unwrap();
}

fn secret_run(script: &str) -> RunSpec {
    let spec = with_env(script_run(script), &[("PREFECT_API_KEY", CANARY), ("DSN", "postgres://me:canary-7f3a9@db/x")]);
    let mut spec = with_env(spec, &[("GREETING", "hello"), ("FROM_BLOCK", "a canary-block b"), ("QUOTED", "x")]);
    spec.env.insert("MY_TOKEN".to_owned(), "it's $HOME `id`\n\"two\" lines".to_owned());
    spec.block_texts.insert("canary-block".to_owned());
    spec
}

#[tokio::test]
async fn the_engine_records_no_secret_and_the_run_has_them_all() {
    let bench = Bench::new();
    let script = r#"echo "$PREFECT_API_KEY|$DSN|$FROM_BLOCK|$GREETING"; printf '%s' "$MY_TOKEN"; cat /proc/1/cmdline | tr '\0' ' '; ls -ln /run/prefect-worker"#;
    let spec = with_fields(secret_run(script), json!({"cleanup": "keep"}));
    let handle = bench.launch(&spec).await.unwrap();
    let found = bench.inspect(&handle).to_string();
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(0));
    assert!(
        seen.output.starts_with("canary-7f3a9|postgres://me:canary-7f3a9@db/x|a canary-block b|hello\n"),
        "{}",
        seen.output
    );
    assert!(seen.output.contains("it's $HOME `id`\n\"two\" lines"), "{}", seen.output);
    assert!(seen.output.contains("-rw-------    1 0        0"), "{}", seen.output);
    assert!(!found.contains("canary"), "docker inspect shows a secret: {found}");
    assert!(found.contains("GREETING=hello"));
    let events = bench.docker(&[
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--filter",
        &format!("container={}", container(&handle)),
    ]);
    assert!(!events.contains("canary"), "{events}");
    let image = format!("bed-commit-{}", Uuid::new_v4().simple());
    bench.docker(&["commit", container(&handle), &image]);
    let committed = bench.docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "sh",
        &image,
        "-c",
        "grep -rs canary /run /etc /tmp; true",
    ]);
    bench.docker(&["rmi", "-f", &image]);
    assert_eq!(committed, "", "an image of the container holds a secret");

    bench.plugin.cleanup(&handle).await.unwrap();
    let script = bench.docker(&["cp", &format!("{}:/run/prefect-worker/start", container(&handle)), "-"]);
    assert!(!script.contains("canary"), "a container that is only kept still holds its secrets");
}

#[tokio::test]
async fn secrets_are_readable_for_the_user_of_the_container_by_number_and_by_name() {
    let bench = Bench::new();
    for (user, expected) in [("65534", "65534"), ("nobody", "65534"), ("nobody:root", "65534")] {
        let spec = secret_run(r#"id -u; echo "$PREFECT_API_KEY""#);
        let seen = bench.run(&with_fields(spec, json!({"container_create_kwargs": {"user": user}}))).await;
        assert_eq!(seen.output, format!("{expected}\n{CANARY}\n"), "{user}");
    }
}

#[tokio::test]
async fn secrets_reach_a_container_whose_file_system_is_read_only_and_one_with_an_entrypoint() {
    let bench = Bench::new();
    let kwargs = json!({"container_create_kwargs": {"read_only": true, "entrypoint": ["env", "MORE=yes"]}});
    let seen = bench.run(&with_fields(secret_run(r#"echo "$PREFECT_API_KEY $MORE""#), kwargs)).await;
    assert_eq!(seen.output, format!("{CANARY} yes\n"));
}

#[tokio::test]
async fn secrets_are_plain_variables_where_the_settings_say_so() {
    let bench = Bench::with(|settings| DockerSettings { secrets: Secrets::Environment, ..settings });
    let found = inspected(&bench, &secret_run("exit 0")).await;
    assert!(found["Config"]["Env"].to_string().contains(CANARY));
    assert_eq!(found["Config"]["Entrypoint"], Value::Null);
}

#[tokio::test]
async fn secrets_come_as_private_files_where_they_are_asked_for() {
    let bench = Bench::new();
    let files =
        json!({"secret_files": {"/etc/app/db": CANARY, "/token": "t"}, "container_create_kwargs": {"user": "65534"}});
    let spec = with_fields(script_run("cat /etc/app/db /token; ls -ln /token"), files);
    let handle = bench.launch(&spec).await.unwrap();
    assert!(!bench.inspect(&handle).to_string().contains(CANARY));
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert!(seen.output.starts_with(&format!("{CANARY}t-rw-------    1 65534")), "{}", seen.output);
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn the_workers_checkout_is_mounted_read_only_where_it_is_asked_for() {
    let bench = Bench::new();
    let root = bench.folder().join("code");
    fs_err::create_dir_all(root.join("repo/flows")).unwrap();
    fs_err::write(root.join("repo/flows/a.py"), "flow").unwrap();
    let code = CodeInPlace {
        directory: root.join("repo").into_string(),
        entrypoint: Some(root.join("repo/flows/a.py:main").into_string()),
        importable: Some(root.into_string()),
    };
    let script = r#"pwd; echo "$PREFECT__FLOW_ENTRYPOINT"; cat "${PREFECT__FLOW_ENTRYPOINT%:*}"; echo " $PYTHONPATH"; touch x 2>/dev/null || echo read-only"#;
    let spec = RunSpec { code: Some(code), ..with_fields(script_run(script), json!({"mount_code": true})) };
    let spec = with_fields(spec, json!({"container_create_kwargs": {"user": "65534"}}));
    let folder = "/opt/prefect-worker/code";
    let expected = format!("{folder}/repo\n{folder}/repo/flows/a.py:main\nflow {folder}\nread-only\n");
    assert_eq!(bench.run(&spec).await.output, expected);
    let unmounted = RunSpec { fields: script_run("").fields, ..spec };
    let seen = bench.run(&unmounted).await;
    assert!(seen.output.lines().any(|line| line == "/opt/prefect"), "nobody asked for it: {}", seen.output);
}
