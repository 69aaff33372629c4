//! Jobs of other workers: what becomes of their runs.

use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use kube::api::DeleteParams;
use kubernetes_bed::{BUSYBOX, SCRIPT};
use serde_json::{Value, json};
use worker_core::ids::RunId;
use worker_tests::harness::run_resource;

use super::{Bed, PODS};

const FAILED: &str = "No active or succeeded pods found for any job";

/// A Job with the labels that Prefect's own worker gives it, whose pod goes through a script on a simulated node.
pub(super) fn job_of_prefect(run: RunId, name: &str, node: &str, script: &Value) -> Value {
    let labels = json!({
        "prefect.io/flow-run-id": run, "prefect.io/flow-run-name": "cute-crab", "prefect.io/version": "3.8.0",
        "prefect.io/worker-name": "of-prefect",
    });
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {"labels": labels, "annotations": {SCRIPT: script.to_string()}},
            "spec": {
                "nodeName": node, "restartPolicy": "Never",
                "containers": [{"name": "prefect-job", "image": BUSYBOX}],
            },
        }},
    })
}

impl Bed {
    /// A run that is in a state though no worker of ours has seen it.
    async fn run_in(&self, state: Value) -> RunId {
        let run = self.command("true").await;
        // Past Scheduled, so that it is not taken.
        self.puts(run, json!({"type": "PENDING"})).await;
        self.puts(run, state).await;
        run
    }

    /// Events of a run's pods, as the API has them.
    fn pod_events(&self, run: RunId) -> Vec<(uuid::Uuid, String)> {
        let resource = run_resource(run);
        self.it.store().read(|tables| {
            let of_run = tables.events().iter().map(|stored| &stored.event).filter(|event| {
                event.event.starts_with("prefect.kubernetes.pod.")
                    && event.related.iter().any(|related| related["prefect.resource.id"] == resource)
            });
            of_run.map(|event| (event.id, event.event.clone())).collect()
        })
    }

    fn was_proposed(&self, run: RunId, state: &str) -> bool {
        let proposals = self.it.requests("POST", &format!("/flow_runs/{run}/set_state"));
        proposals.iter().any(|proposal| proposal.body["state"]["type"] == state)
    }
}

#[tokio::test]
async fn c114_a_foreign_job_that_fails_crashes_its_run_and_one_that_settled_is_left_alone() {
    let bed = Bed::new().await;
    let node = bed.cluster.fake_node().await;
    let failing = json!([{"run": {"for_ms": 300, "exit_code": 1}}]);
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let mut settled = Vec::new();
    for state in [
        json!({"type": "SCHEDULED", "state_details": {"scheduled_time": later}}),
        json!({"type": "PAUSED"}),
        json!({"type": "CANCELLING"}),
        json!({"type": "CANCELLED"}),
        json!({"type": "COMPLETED"}),
        json!({"type": "FAILED"}),
    ] {
        let run = bed.run_in(state).await;
        settled.push((run, bed.it.lab.history(run).await));
    }
    let _daemon = bed.daemon().started().await;
    for (number, (run, _)) in settled.iter().enumerate() {
        bed.create(job_of_prefect(*run, &format!("settled-{number}"), node.name(), &failing)).await;
    }
    for (run, _) in &settled {
        bed.job_is(*run, "Failed").await;
    }
    let run = bed.run_in(json!({"type": "RUNNING"})).await;
    bed.create(job_of_prefect(run, "fails", node.name(), &failing)).await;
    let state = bed.it.lab.reaches(run, StateType::Crashed).await;
    assert_eq!(state.message.as_deref(), Some(FAILED));
    for (run, before) in settled {
        assert_eq!(bed.it.lab.history(run).await, before);
        assert!(!bed.was_proposed(run, "CRASHED"), "{before:?}");
    }
}

#[tokio::test]
async fn c114_a_foreign_job_that_is_deleted_crashes_its_run() {
    let bed = Bed::new().await;
    let node = bed.cluster.fake_node().await;
    let run = bed.run_in(json!({"type": "RUNNING"})).await;
    let _daemon = bed.daemon().started().await;
    bed.create(job_of_prefect(run, "deleted", node.name(), &json!([{"hang": {}}]))).await;
    let running = "prefect.kubernetes.pod.running";
    bed.it.wait_longer(running, || bed.pod_events(run).iter().any(|(_, name)| name == running)).await;
    bed.jobs().delete("deleted", &DeleteParams::background()).await.unwrap();
    let state = bed.it.lab.reaches(run, StateType::Crashed).await;
    assert_eq!(state.message.as_deref(), Some("Kubernetes job was deleted"));
}

/// Somebody may be about to start it again, so it is waited for half a minute.
#[tokio::test]
async fn c114_a_foreign_job_of_a_run_that_has_not_started_is_given_time_for_a_replacement() {
    let bed = Bed::new().await;
    let node = bed.cluster.fake_node().await;
    let failing = json!([{"run": {"for_ms": 300, "exit_code": 1}}]);
    let (lost, replaced) = (bed.run_in(json!({"type": "PENDING"})).await, bed.run_in(json!({"type": "PENDING"})).await);
    let _daemon = bed.daemon().started().await;
    bed.create(job_of_prefect(lost, "lost", node.name(), &failing)).await;
    bed.create(job_of_prefect(replaced, "replaced", node.name(), &failing)).await;
    bed.job_is(replaced, "Failed").await;
    bed.create(job_of_prefect(replaced, "replacement", node.name(), &json!([{"hang": {}}]))).await;
    let state = bed.it.lab.reaches(lost, StateType::Crashed).await;
    assert_eq!(state.message.as_deref(), Some(FAILED));
    assert!(!bed.was_proposed(replaced, "CRASHED"));
}

#[tokio::test]
async fn c112_events_of_a_foreign_pod_are_told_once_also_after_a_restart() {
    let bed = Bed::new().await;
    let node = bed.cluster.fake_node().await;
    let script = json!([{"waiting": {"for_ms": 700}}, {"run": {"for_ms": 700}}]);
    let run = bed.run_in(json!({"type": "RUNNING"})).await;
    let first = bed.daemon().name("steady").started().await;
    bed.create(job_of_prefect(run, "told", node.name(), &script)).await;
    bed.it.wait_longer("three events", || bed.pod_events(run).len() == 3).await;
    let told = bed.pod_events(run);
    let names: Vec<&str> = told.iter().map(|(_, name)| name.rsplit('.').next().unwrap()).collect();
    assert_eq!(names, ["pending", "running", "succeeded"]);
    let pod = bed.pods_of(run).await.pop().unwrap().metadata.uid.unwrap();
    let upstream = |phase: &str| {
        let text = format!(r#"{{"diagnosis": null, "phase": "{phase}", "restart_count": 0, "uid": "{pod}"}}"#);
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, text.as_bytes())
    };
    assert_eq!(told[1].0, upstream("Running"));
    assert_eq!(told[2].0, upstream("Succeeded"));

    let home = first.kill().await;
    let asked = || bed.it.requests("POST", "/events/filter").len();
    let before = asked();
    let _second = bed.daemon().name("steady").spawn_in(home);
    bed.it.wait_longer("the question whether it was told", || asked() > before).await;
    let other = bed.run_in(json!({"type": "RUNNING"})).await;
    bed.create(job_of_prefect(other, "other", node.name(), &script)).await;
    bed.it.wait_longer("three events", || bed.pod_events(other).len() == 3).await;
    assert_eq!(bed.pod_events(run), told);
}

impl crate::in_memory::InMemory {
    /// Waits for something that a cluster takes part in.
    async fn wait_longer(&self, what: &str, look: impl Fn() -> bool) {
        worker_tests::harness::until(PODS, what, async || look().then_some(())).await;
    }
}
