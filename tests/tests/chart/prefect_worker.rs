//! What was written for the chart prefect-worker works with this one.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use worker_tests::harness::Chart;

use super::{of_file, text_of, with};

fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    into.insert(path.to_owned());
    for (key, value) in value.as_object().into_iter().flatten() {
        paths(value, format!("{path}.{key}").trim_start_matches('.'), into);
    }
}

/// The file of the test below has every key of that chart, and values.yaml marks every one of them.
#[tokio::test]
async fn each_key_of_it_is_known_and_marked() {
    let mut used = BTreeSet::new();
    paths(&Chart::values("prefect-worker").await, "", &mut used);
    let keys = Chart::keys().await;
    let marked = keys.iter().filter(|key| key["text"].as_str().unwrap().starts_with("(prefect-worker)"));
    let marked: BTreeSet<String> = marked.map(|key| key["key"].as_str().unwrap().to_owned()).collect();
    let missing: Vec<_> =
        marked.iter().filter(|key| !used.contains(*key) && !key.ends_with("capabilities.drop")).collect();
    assert!(missing.is_empty(), "not in the file: {missing:?}");
    let unmarked: Vec<_> = keys
        .iter()
        .map(|key| key["key"].as_str().unwrap())
        .filter(|key| used.contains(*key) && !marked.contains(*key))
        .collect();
    assert!(unmarked.is_empty(), "not marked in values.yaml: {unmarked:?}");
    assert!(marked.len() > 90, "{}", marked.len());
}

#[tokio::test]
async fn its_values_have_the_effect_that_they_have_there() {
    let rendered = of_file("prefect-worker").await;
    let (container, spec) = (rendered.container(), &rendered.workload()["spec"]);
    assert_eq!(
        (&container["command"], &container["args"]),
        (&json!(["worker"]), &json!(["start", "--pool", "kubernetes-pool"]))
    );
    for (name, value) in [
        ("PREFECT_WORKER_QUERY_SECONDS", "5"),
        ("PREFECT_WORKER_PREFETCH_SECONDS", "10"),
        ("PREFECT_API_ENABLE_HTTP2", "true"),
        ("PREFECT_DEBUG_MODE", "true"),
        ("PREFECT_KUBERNETES_CLUSTER_UID", "44444444-4444-4444-4444-444444444444"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_KEY", "key"),
        ("FOO", "bar"),
        ("HOME", "/home/prefect"),
    ] {
        assert_eq!(text_of(container, name), value, "{name}");
    }
    let told: toml::Table = rendered.worker_toml().parse().unwrap();
    let start = toml::toml! {
        base_job_template = "/etc/worker-templates/default/baseJobTemplate.json"
        create_pool_if_not_found = true
        install_policy = "if-not-present"
        limit = 10
        name = "in-cluster"
        type = "kubernetes"
        with_healthcheck = true
        work_queue = ["default"]
    };
    assert_eq!(told["start"].as_table(), Some(&start));
    assert!(container.get("livenessProbe").is_none(), "it is switched off");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["dnsConfig"]["options"], json!([{"name": "ndots", "value": "2"}]));
    assert_eq!(pod["securityContext"]["seccompProfile"]["localhostProfile"], "profiles/worker.json");
    assert_eq!(pod["securityContext"].get("runAsUser"), None);
    assert_eq!(container["resources"]["limits"]["ephemeral-storage"], "1Gi");
    let template = rendered.of_kind("ConfigMap").into_iter().find(|map| map["metadata"]["name"] == "my-template");
    assert!(template.is_some());
    assert_eq!(rendered.of_kind("PodDisruptionBudget")[0]["spec"]["maxUnavailable"], 1);
}

/// Selectors and bindings cannot be changed: `helm upgrade` over a release of that chart needs the same.
#[tokio::test]
async fn a_release_of_it_can_be_upgraded() {
    let rendered = of_file("prefect-worker").await;
    let selector = json!({
        "app.kubernetes.io/name": "prefect-worker",
        "app.kubernetes.io/instance": "release",
        "app.kubernetes.io/component": "worker",
    });
    assert_eq!(rendered.workload()["spec"]["selector"]["matchLabels"], selector);
    for kind in ["Deployment", "ServiceAccount", "Role", "RoleBinding"] {
        assert_eq!(rendered.of_kind(kind)[0]["metadata"]["name"], "prefect-worker", "{kind}");
    }
    assert_eq!(rendered.of_kind("RoleBinding")[0]["roleRef"]["name"], "prefect-worker");
    assert_eq!(rendered.container()["name"], "prefect-worker");
}

/// It has no `worker` in it.
#[tokio::test]
async fn its_image_is_not_used_and_the_notes_say_so() {
    for repository in ["prefecthq/prefect", "docker.io/prefecthq/prefect", "mirror.internal/prefecthq/prefect"] {
        let rendered = with(json!({"worker": {"image": {"repository": repository, "prefectTag": "3-latest"}}})).await;
        let image = rendered.container()["image"].as_str().unwrap();
        assert_eq!(image, format!("registry.example.com/prefect-worker:{}", env!("CARGO_PKG_VERSION")));
        assert!(rendered.notes.contains("WARNING: worker.image.repository"), "{}", rendered.notes);
    }
    let own = with(json!({"worker": {"image": {"repository": "mirror.internal/worker", "tag": "2"}}})).await;
    assert_eq!(own.container()["image"], "mirror.internal/worker:2");
    assert!(!own.notes.contains("WARNING"), "{}", own.notes);
}

/// Null takes a section out of the values, defaults included.
#[tokio::test]
async fn a_section_may_be_null() {
    let rendered = with(json!({"worker": {"dnsConfig": null, "resources": null, "podSecurityContext": null}})).await;
    let pod = &rendered.workload()["spec"]["template"]["spec"];
    assert_eq!((pod.get("dnsConfig"), pod.get("securityContext")), (None, None));
    assert_eq!(rendered.container().get("resources"), None);
}
