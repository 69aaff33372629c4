//! The pods: what they may do, and that no secret is where it can be read.

use serde_json::{Value, json};
use worker_tests::harness::Rendered;

use super::{chart, of_file, text_of, variable, with};

/// These are about values that lower the standard, or containers that the test adds without one.
const LOWERED: [&str; 1] = ["extras"];

/// What keeps a pod from the restricted Pod Security Standard.
fn against_the_restricted_standard(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[key] == true {
            found.push(key.to_owned());
        }
    }
    for volume in pod["volumes"].as_array().unwrap() {
        let kinds = ["configMap", "emptyDir", "secret", "projected", "downwardAPI", "persistentVolumeClaim"];
        if !kinds.iter().any(|kind| volume.get(kind).is_some()) {
            found.push(format!("volume {volume}"));
        }
    }
    let of_pod = &pod["securityContext"];
    for containers in ["containers", "initContainers"] {
        for container in pod[containers].as_array().into_iter().flatten() {
            let own = &container["securityContext"];
            let either = |key: &str| if own[key].is_null() { of_pod[key].clone() } else { own[key].clone() };
            let is_kept = [
                own["allowPrivilegeEscalation"] == false,
                own["readOnlyRootFilesystem"] == true,
                own["capabilities"] == json!({"drop": ["ALL"]}),
                either("runAsNonRoot") == true,
                either("runAsUser") != 0,
                ["RuntimeDefault", "Localhost"].iter().any(|profile| either("seccompProfile")["type"] == *profile),
            ];
            if is_kept.contains(&false) {
                found.push(format!("{}: {is_kept:?} of {own}", container["name"]));
            }
        }
    }
    found
}

#[tokio::test]
async fn pods_keep_to_the_restricted_standard_and_to_read_only_file_systems() {
    for (name, rendered) in chart().render_files().await {
        let found = against_the_restricted_standard(&rendered.workload()["spec"]["template"]["spec"]);
        assert_eq!(found.is_empty(), !LOWERED.contains(&name.as_str()), "{name}: {found:?}");
    }
    let host = with(json!({"worker": {"hostNetwork": true}})).await;
    let found = against_the_restricted_standard(&host.workload()["spec"]["template"]["spec"]);
    assert_eq!(found, ["hostNetwork"]);
}

#[tokio::test]
async fn a_password_in_the_values_is_in_a_secret_and_nowhere_else() {
    let rendered = of_file("basic-auth").await;
    let (canary, mut holders) = ("canary-of-a-password", Vec::new());
    for object in &rendered.objects {
        if object.to_string().contains(canary) {
            holders.push(object["kind"].as_str().unwrap());
        }
    }
    assert_eq!(holders, ["Secret"]);
    assert!(!rendered.notes.contains(canary));
    let from = &variable(rendered.container(), "PREFECT_API_AUTH_STRING").unwrap()["valueFrom"]["secretKeyRef"];
    assert_eq!(from["name"], rendered.of_kind("Secret")[0]["metadata"]["name"]);
}

#[tokio::test]
async fn what_the_api_asks_for_comes_from_secrets() {
    let key = |rendered: &Rendered| variable(rendered.container(), "PREFECT_API_KEY").unwrap()["valueFrom"].clone();
    let cloud = of_file("cloud").await;
    assert_eq!(key(&cloud), json!({"secretKeyRef": {"name": "prefect-api-key", "key": "key"}}));
    let url = "https://api.prefect.cloud/api/accounts/11111111-1111-1111-1111-111111111111/workspaces/\
               22222222-2222-2222-2222-222222222222";
    assert_eq!(text_of(cloud.container(), "PREFECT_API_URL"), url);
    let named = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_NAME";
    assert_eq!(text_of(cloud.container(), named), "prefect-api-key");

    let kept = of_file("cloud-auto-secret").await;
    assert_eq!(key(&kept), json!({"secretKeyRef": {"name": "prefect", "key": "api-key"}}));
    let created = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_SECRET_FOR_API_KEY";
    assert_eq!((text_of(kept.container(), created), variable(kept.container(), named)), ("true", None));

    let own = of_file("customer-managed").await;
    assert!(text_of(own.container(), "PREFECT_API_URL").starts_with("https://prefect.example.com/api/accounts/1111"));
    assert_eq!(text_of(own.container(), "PREFECT_CLOUD_API_URL"), "https://prefect.example.com/api");
    assert_eq!((variable(own.container(), created), variable(own.container(), named)), (None, None));

    let server = of_file("private-server").await;
    assert_eq!(variable(server.container(), "PREFECT_API_KEY"), None);
    let auth = &variable(server.container(), "PREFECT_API_AUTH_STRING").unwrap()["valueFrom"]["secretKeyRef"];
    assert_eq!(*auth, json!({"name": "prefect-auth", "key": "auth-string"}));
    let named = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_NAME";
    assert_eq!(text_of(server.container(), named), "prefect-auth");
}

#[tokio::test]
async fn certificates_are_mounted_where_the_worker_looks_for_them() {
    let rendered = of_file("private-server").await;
    assert_eq!(text_of(rendered.container(), "SSL_CERT_FILE"), "/etc/worker-ca/bundle.pem");
    let told: toml::Table = rendered.worker_toml().parse().unwrap();
    assert_eq!(told["api"]["client_key"].as_str(), Some("/etc/worker-tls/tls.key"));
    let mounts = rendered.container()["volumeMounts"].as_array().unwrap();
    let mounted = |path: &str| mounts.iter().any(|mount| mount["mountPath"] == path);
    assert!(mounted("/etc/worker-ca") && mounted("/etc/worker-tls"));
}

#[tokio::test]
async fn probes_ask_where_health_is_served() {
    let rendered = of_file("metrics").await;
    let container = rendered.container();
    assert_eq!(text_of(container, "PREFECT_WORKER_WEBSERVER_PORT"), "9090");
    assert!(rendered.worker_toml().contains("listen = \"0.0.0.0:9091\""), "{}", rendered.worker_toml());
    assert_eq!(variable(container, "PREFECT_CLIENT_METRICS_ENABLED"), None, "runs are handed it");
    let ports = json!([{"name": "health", "containerPort": 9090}, {"name": "metrics", "containerPort": 9091}]);
    assert_eq!(container["ports"], ports);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "health", "{probe}");
    }
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/livez");

    let off = json!({"enabled": false});
    let probes = json!({"livenessProbe": off, "readinessProbe": off, "startupProbe": off});
    let none = with(json!({"worker": probes})).await;
    assert!(none.container().get("ports").is_none() && none.worker_toml().contains("with_healthcheck = false"));
}

#[tokio::test]
async fn the_state_of_a_worker_is_where_it_looks_for_it() {
    for name in ["minimal", "stateful", "existing-claim"] {
        let rendered = of_file(name).await;
        let told: toml::Table = rendered.worker_toml().parse().unwrap();
        let mounts = rendered.container()["volumeMounts"].as_array().unwrap();
        let state = mounts.iter().find(|mount| mount["name"] == "state").unwrap();
        assert_eq!(told["state"]["dir"].as_str(), state["mountPath"].as_str(), "{name}");
    }
    let stateful = of_file("stateful").await;
    let claim = &stateful.workload()["spec"]["volumeClaimTemplates"][0];
    assert_eq!(
        (claim["metadata"]["name"].as_str(), claim["spec"]["storageClassName"].as_str()),
        (Some("state"), Some("fast"))
    );
    assert_eq!(stateful.workload()["spec"]["serviceName"], stateful.of_kind("Service")[0]["metadata"]["name"]);
    // Two pods cannot have the claim at once.
    let kept = of_file("existing-claim").await;
    assert_eq!(kept.workload()["spec"]["strategy"]["type"], "Recreate");
}

#[tokio::test]
async fn text_of_the_values_may_hold_templates() {
    let rendered = of_file("extras").await;
    let pod = &rendered.workload()["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["example.com/release"], "release");
    assert_eq!(pod["spec"]["containers"][1]["args"], json!(["--pool=my-scripts"]));
    assert_eq!(rendered.container()["args"], json!(["start", "--limit", "7"]));
    assert_eq!(rendered.container()["envFrom"][2]["secretRef"]["name"], "release-secret");
    assert_eq!(rendered.of_kind("ConfigMap")[0]["metadata"]["labels"]["team"], "release-team");
    let extra: Vec<_> = rendered.of_kind("ConfigMap").iter().map(|map| map["metadata"]["name"].clone()).collect();
    assert!(extra.contains(&json!("release-extra")) && extra.contains(&json!("more-extra")), "{extra:?}");
    assert_eq!(pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
}
