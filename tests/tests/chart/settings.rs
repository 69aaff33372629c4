//! What the worker is told: its settings file and its variables.

use futures::future::join_all;
use serde_json::{Value, json};
use worker_tests::harness::{DaemonSpec, Rendered};

use super::{chart, of_file, text_of, variable, with};

fn toml(rendered: &Rendered) -> toml::Table {
    rendered.worker_toml().parse().unwrap()
}

/// The worker refuses what it does not know, so a chart that is behind fails here.
#[tokio::test]
async fn the_worker_takes_what_each_values_file_becomes() {
    join_all(chart().render_files().await.into_iter().map(|(name, rendered)| async move {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker.toml");
        fs_err::write(&file, rendered.worker_toml()).unwrap();
        let mut check = DaemonSpec::bare().arg("--config").arg(&file).args(["config", "check"]);
        for variable in rendered.container()["env"].as_array().unwrap() {
            // The rest comes from Secrets and the pod.
            let value = variable["value"].as_str().unwrap_or("from-elsewhere");
            check = check.env(variable["name"].as_str().unwrap(), value);
        }
        let ended = check.finish().await;
        assert!(ended.status.success(), "{name}: {}{}", ended.stdout, ended.stderr);
    }))
    .await;
}

#[tokio::test]
async fn a_setting_that_the_worker_does_not_know_is_refused_by_it() {
    let rendered = with(json!({"worker": {"settings": {"kubernetes": {"clean_up": "remove"}}}})).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker.toml");
    fs_err::write(&file, rendered.worker_toml()).unwrap();
    let ended = DaemonSpec::bare().arg("--config").arg(&file).args(["config", "check"]).finish().await;
    assert!(!ended.status.success() && ended.stderr.contains("clean_up"), "{}{}", ended.stdout, ended.stderr);
}

#[tokio::test]
async fn each_pool_has_a_table_and_what_holds_for_all_stands_once() {
    let told = toml(&of_file("pools").await);
    assert_eq!(told["start"]["limit"].as_integer(), Some(50));
    assert_eq!(told["start"]["type"].as_str(), Some("kubernetes"));
    let pools = told["pool"].as_array().unwrap();
    let name = |pool: &toml::Value| pool["name"].as_str().unwrap().to_owned();
    assert_eq!(pools.iter().map(name).collect::<Vec<_>>(), ["jobs", "reports \"weekly\"", "imports", "scripts"]);
    let reports = toml::toml! {
        name = "reports \"weekly\""
        limit = 4
        work_queue = ["high", "default"]
        prefetch_seconds = 30
        rerun_on = ["oom", "node_lost"]
        rerun_max = 2
    };
    assert_eq!(pools[1].as_table(), Some(&reports));
    assert_eq!(pools[2]["create_pool_if_not_found"].as_bool(), Some(false));
    assert!(told.get("admission").is_none(), "there are processes, which take memory of this pod");
}

#[tokio::test]
async fn templates_are_where_the_settings_say() {
    let rendered = of_file("pools").await;
    let told = toml(&rendered);
    let pod = &rendered.workload()["spec"]["template"]["spec"];
    let map_at = |path: &str| {
        let folder = path.strip_suffix("/baseJobTemplate.json").unwrap();
        let mount = rendered.container()["volumeMounts"].as_array().unwrap().iter();
        let volume = mount.filter(|mount| mount["mountPath"] == folder).map(|mount| &mount["name"]).next().unwrap();
        let volume = pod["volumes"].as_array().unwrap().iter().find(|it| it["name"] == *volume).unwrap();
        volume["configMap"]["name"].as_str().unwrap().to_owned()
    };
    let path = |value: &toml::Value| value["base_job_template"].as_str().unwrap().to_owned();
    assert_eq!(map_at(&path(&told["start"])), "template-of-jobs");
    assert_eq!(map_at(&path(&told["pool"][2])), "prefect-worker-template-2");
    assert_eq!(map_at(&path(&told["pool"][3])), "template-of-scripts");
    let maps = rendered.of_kind("ConfigMap");
    for name in ["template-of-jobs", "prefect-worker-template-2"] {
        let map = maps.iter().find(|map| map["metadata"]["name"] == name).unwrap();
        let template: Value = serde_json::from_str(map["data"]["baseJobTemplate.json"].as_str().unwrap()).unwrap();
        assert!(template["variables"].is_object() && template["job_configuration"].is_object());
    }
}

/// One value drives both, so that Kubernetes cannot kill what the worker still waits for.
#[tokio::test]
async fn the_grace_period_of_the_pod_follows_from_the_drain() {
    for (drain, grace, period) in [(15, 10, 45), (3600, 10, 3630), (0, 0, 20)] {
        let shutdown = json!({"drainTimeoutSeconds": drain, "graceSeconds": grace});
        let rendered = with(json!({"worker": {"shutdown": shutdown}})).await;
        let told = toml(&rendered);
        assert_eq!(told["shutdown"]["drain_timeout_seconds"].as_integer(), Some(drain));
        assert_eq!(told["shutdown"]["grace_seconds"].as_integer(), Some(grace));
        assert_eq!(rendered.workload()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], period);
    }
}

#[tokio::test]
async fn a_worker_is_called_as_its_pod_unless_it_has_a_name() {
    let rendered = of_file("stateful").await;
    let from = &variable(rendered.container(), "WORKER_START_NAME").unwrap()["valueFrom"];
    assert_eq!(from["fieldRef"]["fieldPath"], "metadata.name");
    let named = of_file("existing-claim").await;
    assert_eq!(variable(named.container(), "WORKER_START_NAME"), None);
    assert_eq!(toml(&named)["start"]["name"].as_str(), Some("the-worker"));
}

#[tokio::test]
async fn a_change_of_settings_replaces_the_pods() {
    let checksum = |rendered: &Rendered| {
        rendered.workload()["spec"]["template"]["metadata"]["annotations"]["checksum/config"].to_string()
    };
    let one = with(json!({"worker": {"config": {"limit": 1}}})).await;
    let other = with(json!({"worker": {"config": {"limit": 2}}})).await;
    assert_ne!(checksum(&one), checksum(&other));
}

#[tokio::test]
async fn only_what_runs_jobs_does_not_look_at_its_machine() {
    let jobs = with(json!({})).await;
    assert_eq!(toml(&jobs)["admission"]["enabled"].as_bool(), Some(false));
    let processes = with(json!({"worker": {"config": {"type": "process"}}})).await;
    assert!(toml(&processes).get("admission").is_none());
    let said = with(json!({"worker": {"settings": {"admission": {"enabled": true}}}})).await;
    assert_eq!(toml(&said)["admission"]["enabled"].as_bool(), Some(true));
}

#[tokio::test]
async fn what_is_watched_is_where_runs_are_started_unless_said_otherwise() {
    const WATCHED: &str = "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES";
    assert_eq!(text_of(with(json!({})).await.container(), WATCHED), "ops");
    assert_eq!(text_of(of_file("namespaces").await.container(), WATCHED), "flows,more-flows");
    assert_eq!(text_of(of_file("prefect-worker").await.container(), WATCHED), "default,flows");
    assert_eq!(variable(of_file("cluster-wide").await.container(), WATCHED), None);
}
