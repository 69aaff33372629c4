//! Several clusters, and several kinds, at once.

use central_api_wire::state::StateType;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use worker_tests::harness::PATIENT;

use super::{Bed, PODS, kubernetes_pool, run_with};

/// A block that describes the cluster of these tests under another name.
fn block(bed: &Bed) -> Value {
    let mut config = serde_json::to_value(Kubeconfig::from_yaml(&bed.cluster.kubeconfig_text()).unwrap()).unwrap();
    let mut other = config["contexts"][0].clone();
    other["name"] = "other".into();
    config["contexts"].as_array_mut().unwrap().push(other);
    json!({"config": config, "context_name": "other"})
}

#[tokio::test]
async fn two_pools_on_two_clusters_are_served_at_once_and_after_a_restart() {
    let bed = Bed::new().await;
    let other = kubernetes_pool(&bed.it.lab, bed.namespace.name(), &[&bed.marks], |_| {}).await;
    let one = bed.command(&bed.marks.held_command(0)).await;
    let more = json!({
        "command": bed.marks.held_command(0), "report_state": "worker", "cluster_config": block(&bed),
    });
    let two = run_with(&other, &more).await;
    let daemon = || bed.daemon().pool(&other.name).name("steady");
    let first = daemon().started().await;
    bed.marks.count(2).await;
    for run in [one, two] {
        bed.it.lab.reaches(run, StateType::Running).await;
    }
    let _second = daemon().spawn_in(first.kill().await);
    bed.marks.release();
    for run in [one, two] {
        bed.it.lab.reaches(run, StateType::Completed).await;
        bed.nothing_is_left(run).await;
    }
    assert_eq!(bed.marks.made().len(), 2);
}

#[tokio::test]
async fn without_a_cluster_runs_crash_with_what_to_do_and_other_pools_are_served() {
    let bed = Bed::new().await;
    let process = bed.it.lab.pool().await;
    let crashed = bed.command("true").await;
    let well = process.run(process.command(&bed.marks.command("ran")).await).await;
    let daemon = bed.daemon().pool(&process.name);
    let _daemon = daemon.env("WORKER_KUBERNETES_KUBECONFIG", "/nonexistent/kubeconfig").started().await;
    bed.it.lab.reaches(well, StateType::Completed).await;
    let message = bed.it.lab.reaches_within(crashed, StateType::Crashed, PATIENT.min(PODS)).await.message.unwrap();
    assert!(message.contains("/nonexistent/kubeconfig"), "{message}");
    bed.it.lab.logged(crashed, "WORKER_KUBERNETES_KUBECONFIG").await;
}
