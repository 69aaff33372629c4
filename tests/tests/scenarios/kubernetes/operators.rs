//! What those who run a worker in a cluster have to set up: `worker doctor` and `worker kubernetes rbac`.

use central_api_wire::state::StateType;
use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use worker_tests::harness::{DaemonSpec, Finished, until};

use super::{Bed, PODS};

async fn doctor(bed: &Bed, kubeconfig: &str) -> Finished {
    let doctor = DaemonSpec::bare().args(["doctor", "--local", "--kind", "kubernetes"]);
    super::on_cluster(doctor, &bed.cluster, &bed.namespace)
        .env("WORKER_KUBERNETES_KUBECONFIG", kubeconfig)
        .finish()
        .await
}

/// Creates what a command printed, as `kubectl apply` does, in the place of what has its name.
async fn apply(bed: &Bed, printed: &str) {
    for document in printed.split("\n---\n") {
        let text_of = |key: &str| {
            let line = document.lines().find_map(|line| line.trim_start().strip_prefix(key));
            line.unwrap().trim_matches('"').to_owned()
        };
        let group = "/apis/rbac.authorization.k8s.io/v1";
        let path = format!("{group}/namespaces/{}/{}s", bed.namespace.name(), text_of("kind: ").to_lowercase());
        let request = Request::put(format!("{path}/{}", text_of("name: "))).header("content-type", "application/yaml");
        bed.client.request_text(request.body(document.as_bytes().to_vec()).unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn what_doctor_misses_is_what_rbac_prints_and_with_it_runs_work() {
    let bed = Bed::new().await;
    let kubeconfig = bed.marks.path("kubeconfig");
    fs_err::write(&kubeconfig, bed.cluster.account(&bed.namespace, Vec::new()).await).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(bed.client.clone(), bed.namespace.name());
    let accounts = accounts.list(&ListParams::default()).await.unwrap().items;
    let account = accounts.into_iter().filter_map(|account| account.metadata.name);
    let account = account.into_iter().find(|name| name.starts_with("account-")).unwrap();

    let found = doctor(&bed, kubeconfig).await;
    assert_eq!(found.status.code(), Some(1), "{}", found.stdout);
    for missing in ["create, get, list, watch, delete jobs", "pods/log", "secrets", "worker kubernetes rbac"] {
        assert!(found.stdout.contains(missing), "{missing}: {}", found.stdout);
    }

    let rbac =
        DaemonSpec::bare().args(["kubernetes", "rbac", "-n", bed.namespace.name(), "--service-account", &account]);
    let printed = rbac.finish().await;
    assert!(printed.status.success(), "{}", printed.stderr);
    apply(&bed, &printed.stdout).await;
    let what = "the new role to count";
    until(PODS, what, async || doctor(&bed, kubeconfig).await.status.success().then_some(())).await;

    let run = bed.command(&bed.marks.shell("test $PREFECT_API_KEY = a-key && echo ran >> marks")).await;
    let daemon = bed.daemon().env("WORKER_KUBERNETES_KUBECONFIG", kubeconfig).env("PREFECT_API_KEY", "a-key");
    let daemon = daemon.started().await;
    bed.it.lab.reaches(run, StateType::Completed).await;
    bed.nothing_is_left(run).await;
    assert_eq!(bed.marks.made(), ["ran"]);
    let cancelled = bed.command(&bed.marks.endless_command()).await;
    bed.marks.count(2).await;
    bed.it.lab.reaches(cancelled, StateType::Running).await;
    bed.it.lab.cancel(cancelled).await;
    bed.it.lab.reaches(cancelled, StateType::Cancelled).await;
    bed.nothing_is_left(cancelled).await;
    assert!(!daemon.stderr.lines().join("\n").contains("forbidden"));
}

#[tokio::test]
async fn doctor_says_whether_there_is_a_cluster() {
    let bed = Bed::new().await;
    let well = doctor(&bed, bed.cluster.kubeconfig().to_str().unwrap()).await;
    assert!(well.status.success(), "{}{}", well.stdout, well.stderr);
    assert!(well.stdout.contains("Kubernetes v1.20"), "{}", well.stdout);
    let missing = doctor(&bed, "/nonexistent/kubeconfig").await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(missing.stdout.contains("/nonexistent/kubeconfig"), "{}", missing.stdout);
    assert!(missing.stdout.contains("WORKER_KUBERNETES_KUBECONFIG"), "{}", missing.stdout);
    let wrong = bed.marks.path("wrong");
    let text = bed.cluster.kubeconfig_text();
    let port = text.split("https://127.0.0.1:").nth(1).unwrap().split('"').next().unwrap();
    fs_err::write(&wrong, text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:1")).unwrap();
    let silent = doctor(&bed, wrong.to_str().unwrap()).await;
    assert_eq!(silent.status.code(), Some(1));
    assert!(silent.stdout.contains("cannot be reached"), "{}", silent.stdout);
}

#[tokio::test]
async fn a_job_that_runs_is_compared_with_what_would_be_launched_now() {
    let bed = Bed::new().await;
    let run = bed.command(&bed.marks.endless_command()).await;
    let worker = bed.daemon().started().await;
    bed.it.lab.reaches(run, StateType::Running).await;
    let diff = || {
        let spec = bed.daemon().instead(["render", "--diff", "--flow-run", &run.to_string()]);
        // A setting that runs are handed.
        spec.env("PREFECT_HOME", worker.home().join("prefect"))
    };
    let same = diff().finish().await;
    assert_eq!((same.status.code(), same.stdout.as_str()), (Some(0), "nothing differs"), "{}", same.stderr);
    let mut template = Value::Object(bed.it.lab.api.pool(&bed.pool.name).await.unwrap().base_job_template);
    template["variables"]["properties"]["env"]["default"] = json!({"B": "2"});
    bed.it.lab.api.update_pool(&bed.pool.name, json!({"base_job_template": template})).await;
    let changed = diff().finish().await;
    assert_eq!(changed.status.code(), Some(1), "{}", changed.stderr);
    assert!(changed.stdout.contains("containers.0.env.B\n- null\n+ \"2\""), "{}", changed.stdout);
    bed.it.lab.cancel(run).await;
    bed.it.lab.reaches(run, StateType::Cancelled).await;
    bed.nothing_is_left(run).await;
}
