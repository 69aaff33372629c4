//! Runs from their claim to their report.

use central_api_wire::state::StateType;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::Api;
use kube::api::ListParams;
use kubernetes_bed::BUSYBOX;
use serde_json::json;
use worker_tests::harness::{SOON, run_resource, until};

use super::{Bed, PODS, run_with};

/// A secret that must turn up nowhere but in the run.
const CANARY: &str = "canary-5d2e8";
/// A crash is known to the API so soon after it happened. What is measured is far less.
const CRASH_IS_KNOWN_WITHIN: SignedDuration = SignedDuration::from_secs(10);

#[tokio::test]
async fn c109_a_missing_pool_is_created_and_a_command_runs_in_it() {
    let bed = Bed::new().await;
    let lab = &bed.it.lab;
    let pool = lab.pool_named(&lab.fresh_name("new-pool")).await;
    let daemon = bed.daemon_of(&pool).args(["--type", "kubernetes"]).started().await;
    let made = lab.until("the pool", async || lab.api.pool(&pool.name).await).await;
    assert_eq!(made.pool_type, "kubernetes");
    assert!(made.base_job_template["job_configuration"]["job_manifest"]["spec"]["backoffLimit"].is_string());
    let variables = json!({
        "image": BUSYBOX, "namespace": bed.namespace.name(), "command": "echo to the log", "report_state": "worker",
        "ship_output": true, "cleanup": "keep",
    });
    let run = run_with(&pool, &variables).await;
    lab.reaches(run, StateType::Completed).await;
    lab.executed(run).await;
    daemon.stdout.wait_for("to the log", SOON).await;
    lab.logged(run, "to the log").await;
    lab.logged(run, "Created Job").await;
    let job = bed.jobs_of(run).await.pop().unwrap().metadata.name.unwrap();
    let pid = lab.run(run).await.infrastructure_pid.unwrap();
    assert_eq!(pid, format!("{}:{job}", bed.namespace.name()));
    let labels = lab.run(run).await.labels.unwrap();
    assert_eq!(labels["prefect.worker.type"], "kubernetes");
    let variables = json!({
        "image": BUSYBOX, "namespace": bed.namespace.name(), "command": "sh -c 'exit 3'", "report_state": "worker",
    });
    let failing = run_with(&pool, &variables).await;
    let message = lab.reaches(failing, StateType::Failed).await.message.unwrap();
    assert!(message.contains('3'), "{message}");
}

#[tokio::test]
async fn c116_a_pod_that_fails_before_its_engine_starts_crashes_its_run_and_its_last_lines_are_kept() {
    let bed = Bed::new().await;
    let run = bed.engine("sh -c 'echo what went wrong >&2; exit 3'").await;
    let _daemon = bed.daemon().started().await;
    let message = bed.it.lab.reaches(run, StateType::Crashed).await.message.unwrap();
    assert!(message.starts_with("Flow run infrastructure exited with non-zero status code 3."), "{message}");
    assert!(message.contains("what went wrong"), "{message}");
    let line = bed.it.lab.until("the last line", async || {
        bed.it.lab.api.logs(run).await.into_iter().find(|line| line.message == "what went wrong")
    });
    assert_eq!(line.await.level, 40);
    bed.nothing_is_left(run).await;
}

#[tokio::test]
async fn c113_a_pod_that_waits_is_announced_and_its_run_is_running_only_when_it_runs() {
    let bed = Bed::new().await;
    let node = bed.cluster.fake_node().await;
    let script = json!([{"waiting": {"for_ms": 1500, "reason": "ImagePullBackOff"}}, {"run": {"for_ms": 300}}]);
    let pool = bed.scripted(&node, &script).await;
    let run = run_with(&pool, &json!({"report_state": "worker"})).await;
    let _daemon = bed.daemon_of(&pool).started().await;
    let (lab, resource) = (&bed.it.lab, run_resource(run));
    for phase in ["pending", "running", "succeeded"] {
        let name = format!("prefect.kubernetes.pod.{phase}");
        let event = lab.until(&name, async || lab.api.events(&name, &resource).await.pop()).await;
        let roles: Vec<_> = event.related.iter().map(|entry| entry["prefect.resource.role"].clone()).collect();
        assert!(roles.contains(&"flow-run".to_owned()) && roles.contains(&"worker".to_owned()), "{roles:?}");
    }
    lab.executed(run).await;
    let history = lab.history(run).await;
    assert_eq!(history, ["Scheduled", "Pending", "Submitting", "InfrastructurePending", "Running", "Completed"]);
}

#[tokio::test]
async fn a_crash_is_known_to_the_api_soon() {
    let bed = Bed::new().await;
    let run = bed.engine(&bed.marks.shell("echo failing >> marks; exit 3")).await;
    let _daemon = bed.daemon().started().await;
    let known = bed.it.lab.reaches(run, StateType::Crashed).await.timestamp.unwrap();
    let took = known.duration_since(bed.marks.first_at());
    {
        eprintln!("from the failure of the pod to Crashed: {took:#}");
    }
    assert!(took < CRASH_IS_KNOWN_WITHIN, "{took:#}");
}

#[tokio::test]
async fn c107_no_secret_is_shown_by_the_cluster_or_said_to_the_api() {
    let bed = Bed::new().await;
    let script = "echo $PREFECT_API_KEY >> marks; while ! test -e released; do sleep 0.05; done; exit 3";
    let run = bed.engine(&bed.marks.shell(script)).await;
    let mut daemon = bed.daemon().env("PREFECT_API_KEY", CANARY).started().await;
    bed.marks.count(1).await;
    assert_eq!(bed.marks.made(), [CANARY]);
    let shown = async || {
        let events = Api::<Event>::namespaced(bed.client.clone(), bed.namespace.name());
        format!(
            "{}{}{}",
            serde_json::to_string(&bed.jobs_of(run).await).unwrap(),
            serde_json::to_string(&bed.pods_of(run).await).unwrap(),
            serde_json::to_string(&events.list(&ListParams::default()).await.unwrap().items).unwrap(),
        )
    };
    let before = shown().await;
    assert!(before.contains(&run.to_string()) && !before.contains(CANARY), "{before}");
    bed.marks.release();
    bed.it.lab.reaches(run, StateType::Crashed).await;
    bed.it.lab.executed(run).await;
    assert!(!shown().await.contains(CANARY));
    bed.nothing_is_left(run).await;
    let secrets = Api::<Secret>::namespaced(bed.client.clone(), bed.namespace.name());
    until(PODS, "the run's Secret to go", async || {
        secrets.list(&super::of_run(run)).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    daemon.stop().await;
    let written = [daemon.stderr.lines(), daemon.stdout.lines()].concat().join("\n");
    assert!(!written.contains(CANARY), "{written}");
    let said = bed.it.store().read(|tables| {
        let said = tables.requests().iter().map(|it| format!("{} {} {}", it.path, it.query, it.body));
        said.chain(tables.events().iter().map(|it| format!("{it:?}"))).collect::<String>()
    });
    assert!(!said.contains(CANARY), "{said}");
}
