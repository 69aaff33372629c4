//! Flows of the unmodified SDK in pods, with a real server.

use central_api_wire::state::StateType;
use kubernetes_bed::{Cluster, FLOWS};
use serde_json::{Map, Value, json};
use worker_core::ids::RunId;
use worker_tests::harness::{GitDaemon, Lab, PATIENT, PrefectServer, Sdk, until, workspace_root};

use super::image::WorkerImage;
use super::{kubernetes_pool, of_run, on_cluster};
use crate::marks::Marks;

/// Flows complete, fail and are cancelled.
pub(crate) async fn flows_in_pods(server: &PrefectServer) {
    let lab = Lab::on_server(server.rest.api_url());
    let (cluster, sdk, marks) = (Cluster::shared().await, Sdk::new(lab.api.api_url()), Marks::new());
    let (client, namespace) = (cluster.client().await, cluster.namespace().await);
    let folder = workspace_root().join("tests/flows");
    let folder = folder.to_str().unwrap();
    let pool = kubernetes_pool(&lab, namespace.name(), &[&marks], |manifest| {
        let pod = &mut manifest["spec"]["template"]["spec"];
        // The server is on this machine's 127.0.0.1.
        pod["hostNetwork"] = true.into();
        let volume = json!({"name": "flows", "hostPath": {"path": folder}});
        pod["volumes"].as_array_mut().unwrap().push(volume);
        let mount = json!({"name": "flows", "mountPath": folder, "readOnly": true});
        pod["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(mount);
    })
    .await;
    let variables = json!({"image": FLOWS, "env": {"NOTES": marks.folder()}});
    let mut variables: Map<String, Value> = variables.as_object().unwrap().clone();
    let deployed = sdk.deploy(folder, &pool.name, variables.clone(), &["succeeds", "fails", "sleeps"]).await;
    let (repository, image) = (tempfile::tempdir().unwrap(), WorkerImage::build());
    let git = GitDaemon::serving(&workspace_root().join("tests/flows"), repository.path()).await;
    variables.insert("native_code".to_owned(), true.into());
    let in_git = sdk.deploy(&git.url(), &pool.name, variables, &["succeeds"]).await;
    let daemon = on_cluster(pool.daemon(), &cluster, &namespace).env("WORKER_KUBERNETES_INIT_IMAGE", image.name());
    let _daemon = daemon.env("PREFECT_WORKER_ENABLE_CANCELLATION", "true").started().await;

    let run = pool.run(deployed["succeeds"]).await;
    lab.reaches(run, StateType::Completed).await;
    lab.executed(run).await;
    let run = pool.run(deployed["fails"]).await;
    lab.reaches(run, StateType::Failed).await;

    // The image of flows has no git.
    let run = pool.run(in_git["succeeds"]).await;
    lab.reaches(run, StateType::Completed).await;

    // The supervisor in the pod ends its flow itself.
    let run: RunId = pool.run(deployed["sleeps"]).await;
    until(PATIENT, "the flow to sleep", async || marks.path("sleeping").exists().then_some(())).await;
    lab.cancel(run).await;
    lab.reaches(run, StateType::Cancelled).await;
    let jobs = kube::Api::<k8s_openapi::api::batch::v1::Job>::namespaced(client, namespace.name());
    until(PATIENT, "the Job to go", async || jobs.list(&of_run(run)).await.unwrap().items.is_empty().then_some(()))
        .await;
}
