//! What the cluster refuses, and what is said about it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use infra_contract::{ErrorClass, Finding, InfraPlugin as _, Severity};
use infra_kubernetes::{Grant, KubernetesPlugin, KubernetesSettings, rules};
use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::PostParams;
use kubernetes_bed::{BUSYBOX, until};
use serde_json::{Value, json};
use worker_core::exit::Exit;

use support::{Bench, SOON, Seen, VERSION, has_ended, text_of, with_env, with_fields, with_manifest, with_pod};

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    serde_json::from_value(json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})).unwrap()
}

/// The same daemon with an account that may do what these rules say.
async fn as_account(bench: &Bench, rules: Vec<PolicyRule>) -> KubernetesPlugin {
    let kubeconfig = bench.server.account(&bench.namespace, rules).await;
    let path = bench.folder().join("account.kubeconfig");
    fs_err::write(&path, kubeconfig).unwrap();
    let settings = KubernetesSettings { kubeconfig: Some(path.to_string()), ..bench.settings.clone() };
    KubernetesPlugin::new(settings, BUSYBOX, VERSION)
}

async fn secrets_left(bench: &Bench) -> Vec<String> {
    let api: Api<Secret> = Api::namespaced(bench.client.clone(), bench.namespace.name());
    let secrets = api.list(&kube::api::ListParams::default()).await.unwrap();
    let names = secrets.items.into_iter().filter_map(|secret| secret.metadata.name);
    names.filter(|name| name.starts_with("prefect-env-")).collect()
}

#[tokio::test]
async fn c108_a_quota_is_told_with_what_to_do_and_nothing_is_left() {
    let bench = Bench::new().await;
    let quotas: Api<ResourceQuota> = Api::namespaced(bench.client.clone(), bench.namespace.name());
    let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}});
    let quota: ResourceQuota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    until(SOON, "the quota to count", async || {
        quotas.get("few").await.unwrap().status.and_then(|status| status.hard).map(drop)
    })
    .await;
    let spec = with_env(bench.script("exit 0"), &[("DB_PASSWORD", "hunter2-long")]);
    let error = bench.launch(&spec).await.unwrap_err();
    let text = text_of(&error);
    assert!(
        text.contains("Unable to create Kubernetes job: Forbidden: ") && text.contains("exceeded quota: few"),
        "{text}"
    );
    assert!(text.contains("raise its ResourceQuota"), "{text}");
    assert_eq!(secrets_left(&bench).await, Vec::<String>::new());
    assert_eq!(bench.plugin.find(&spec.key).await.unwrap(), None);
}

#[tokio::test]
async fn c108_what_the_cluster_refuses_is_said_in_its_words() {
    let bench = Bench::new().await;
    let elsewhere =
        with_manifest(bench.script("exit 0"), |manifest| manifest["metadata"]["namespace"] = "no-such".into());
    let elsewhere = with_fields(elsewhere, &json!({"namespace": "no-such"}));
    let policy = with_pod(bench.script("exit 0"), |pod| pod["restartPolicy"] = "Sometimes".into());
    let mount = with_pod(bench.script("exit 0"), |pod| {
        pod["containers"][0]["volumeMounts"] = json!([{"name": "nowhere", "mountPath": "/x"}]);
    });
    for (spec, said, hint) in [
        (elsewhere, "namespaces \"no-such\" not found", "Create the namespace"),
        (policy, "restartPolicy", ""),
        (mount, "nowhere", "job manifest"),
    ] {
        let error = bench.launch(&spec).await.unwrap_err();
        let text = text_of(&error);
        assert!(text.contains(said) && text.contains(hint), "{text}");
        assert_eq!(error.class, ErrorClass::BadSpec, "{text}");
    }
}

#[tokio::test]
async fn c108_an_account_without_rights_is_told_what_it_lacks() {
    let bench = Bench::new().await;
    let plugin = as_account(&bench, vec![rule("", "configmaps", &["get"])]).await;
    let plan = plugin.prepare(&bench.script("exit 0")).await.unwrap();
    let error = plugin.launch(&plan, &bench.log).await.unwrap_err();
    let text = text_of(&error);
    assert_eq!(error.class, ErrorClass::Denied, "{text}");
    assert!(text.contains("cannot create resource") && text.contains("worker kubernetes rbac"), "{text}");
    let found = plugin.check().await;
    let missing = |finding: &Finding| finding.severity != Severity::Ok;
    let resources: Vec<&str> = rules(true).iter().map(|rule| rule.resource).collect();
    assert_eq!(found.iter().filter(|finding| missing(finding)).count(), resources.len(), "{found:#?}");
    for resource in resources {
        assert!(found.iter().any(|finding| missing(finding) && finding.message.contains(&format!(" {resource} in "))));
    }
}

#[tokio::test]
async fn check_names_exactly_what_is_missing() {
    let bench = Bench::new().await;
    let granted = vec![
        rule("batch", "jobs", &["create", "get", "list", "watch"]),
        rule("", "pods", &["list", "watch", "delete"]),
        rule("", "events", &["list", "watch"]),
        rule("", "secrets", &["create", "get", "patch", "delete"]),
    ];
    let plugin = as_account(&bench, granted).await;
    let found: Vec<(Severity, String)> = until(SOON, "all rules to count", async || {
        let found = plugin.check().await;
        let missing = found.into_iter().filter(|finding| finding.severity != Severity::Ok);
        let missing: Vec<_> = missing.map(|finding| (finding.severity, finding.message)).collect();
        (missing.len() == 2).then_some(missing)
    })
    .await;
    let place = format!("in namespace '{}'", bench.namespace.name());
    assert_eq!(found[0].0, Severity::Error);
    assert!(found[0].1.starts_with(&format!("the worker may not delete jobs {place}")), "{found:?}");
    assert_eq!(found[1].0, Severity::Warning);
    assert!(found[1].1.starts_with(&format!("the worker may not get pods/log {place}")), "{found:?}");
    let found = bench.plugin.check().await;
    assert!(found.iter().all(|finding| finding.severity == Severity::Ok), "{found:#?}");
    assert!(found[0].message.starts_with("Kubernetes v1.20."), "{found:#?}");
}

/// The rules of the role in a text that `kubectl apply` takes.
fn printed_rules(text: &str) -> Vec<PolicyRule> {
    let role = text.split("---\n").find(|document| document.contains("kind: Role\n")).unwrap();
    let lines: Vec<&str> = role.split_once("rules:\n").unwrap().1.lines().map(str::trim).collect();
    let lines = lines.into_iter().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let list = |line: &str| serde_json::from_str::<Value>(line.split_once(": ").unwrap().1).unwrap();
    let rules = lines
        .chunks(3)
        .map(|rule| json!({"apiGroups": list(rule[0]), "resources": list(rule[1]), "verbs": list(rule[2])}));
    rules.map(|rule| serde_json::from_value(rule).unwrap()).collect()
}

#[tokio::test]
async fn the_role_that_is_printed_is_enough_for_all_that_is_done_with_a_run() {
    let bench = Bench::new().await;
    let grant = Grant {
        namespaces: vec![bench.namespace.name().to_owned()],
        cluster_wide: false,
        service_account: "worker".to_owned(),
        account_namespace: bench.namespace.name().to_owned(),
        needs_secrets: true,
    };
    let plugin = as_account(&bench, printed_rules(&grant.manifests())).await;
    until(SOON, "all rules to count", async || {
        plugin.check().await.iter().all(|finding| finding.severity == Severity::Ok).then_some(())
    })
    .await;
    let launch = async |script: &str| {
        let spec = with_env(bench.script(script), &[("DB_PASSWORD", "hunter2-long")]);
        let plan = plugin.prepare(&spec).await.unwrap();
        plugin.launch(&plan, &bench.log).await.unwrap()
    };
    let failing = launch(r#"echo "with $DB_PASSWORD" ; exit 3"#).await;
    assert_eq!(plugin.find(&failing.key).await.unwrap().as_ref(), Some(&failing));
    let seen = Seen::all(plugin.watch(&failing).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(3));
    assert!(seen.output.contains("with hunter2-long"), "{seen:#?}");
    assert!(seen.report().detail.as_deref().unwrap().contains("with ***"), "{seen:#?}");
    assert!(!seen.events().is_empty(), "{seen:#?}");
    bench.job_once(&failing, has_ended).await;
    assert_eq!(plugin.owned().await.unwrap(), []);
    plugin.cleanup(&failing).await.unwrap();
    bench.gone(&failing).await;

    let stopped = launch("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done").await;
    Seen::until(plugin.watch(&stopped).await.unwrap(), |seen| seen.output.contains("ready")).await;
    assert_eq!(plugin.owned().await.unwrap(), std::slice::from_ref(&stopped));
    let grace = std::time::Duration::from_secs(20);
    let killed = plugin.kill(&stopped, worker_core::machine::KillIntent::Cancel, grace).await.unwrap();
    assert_eq!(killed, infra_contract::Killed::Gracefully);
    plugin.cleanup(&stopped).await.unwrap();
    bench.gone(&stopped).await;
}
