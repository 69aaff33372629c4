//! What thousands of pods cost the worker: `cargo run --release -p worker-tests --example kubernetes_churn [RUNS] [SECONDS]`, after
//! `cargo build --release -p worker`.
//!
//! Both APIs are in memory and in this program: Prefect's and that of a cluster whose pods run SECONDS each. Every run is a Job
//! with a Secret. Prints what the worker weighed and used while they were launched, ran and ended, how often it called the API
//! server of the cluster, and how soon a pod that fails is Crashed at the API.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::fs;
use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use kubernetes_api::{Api, PodState, Verb};
use serde_json::{Map, Value, json};
use tokio::time::sleep;
use worker_core::ids::RunId;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::harness::{Daemon, Lab, LabPool};

/// So long may anything here take.
const BOUND: Duration = Duration::from_mins(15);
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Runs whose failure is timed.
const FAILING: usize = 20;

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let runs = usize::try_from(words.next().unwrap_or(10_000)).unwrap_or(10_000);
    let lifetime = Duration::from_secs(words.next().unwrap_or(60));
    let cluster = Api::start().await;
    let api = TestApi::start(ApiOptions::default()).await.expect("the API in memory starts");
    let lab = Lab::new(api.url().as_str());
    let pool = pool(&lab).await;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, cluster.kubeconfig()).expect("a file");
    let spec = pool.daemon().name("measured").args(["--limit", "20000"]);
    let spec = spec.env("WORKER_KUBERNETES_KUBECONFIG", &kubeconfig).env("WORKER_ADMISSION_ENABLED", "false");
    let spec = spec.env("PREFECT_WORKER_QUERY_SECONDS", "0.2").env("PREFECT_API_KEY", "a-key-that-goes-into-a-secret");
    let daemon = spec.started().await;
    println!("idle: {} MiB", daemon.resident_kib() / 1024);

    failures(&cluster, &lab, &pool).await;
    churn(&cluster, &pool, &daemon, runs, lifetime).await;
}

async fn pool(lab: &Lab) -> LabPool {
    let configuration = json!({
        "command": "{{ command }}", "env": "{{ env }}", "labels": "{{ labels }}", "name": "{{ name }}",
        "namespace": "flows", "stream_output": false,
        "job_manifest": {
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"labels": "{{ labels }}", "namespace": "flows", "generateName": "{{ name }}-"},
            "spec": {"backoffLimit": 0, "template": {"spec": {
                "parallelism": 1, "completions": 1, "restartPolicy": "Never",
                "containers": [{"name": "prefect-job", "image": "busybox:1", "args": "{{ command }}", "env": "{{ env }}"}],
            }}},
        },
    });
    let variables = json!({"type": "object", "properties": {
        "command": {"type": "string"}, "env": {"type": "object"}, "labels": {"type": "object"}, "name": {"type": "string"},
    }});
    let template =
        Map::from_iter([("job_configuration".to_owned(), configuration), ("variables".to_owned(), variables)]);
    let name = lab.fresh_name("pool");
    lab.api.create_pool(&name, "kubernetes", template).await;
    lab.pool_named(&name).await
}

/// How soon a pod that failed is Crashed at the API.
async fn failures(cluster: &Api, lab: &Lab, pool: &LabPool) {
    let deployment = pool.engine("sleep 1").await;
    let (mut launched, mut reported) = (Vec::new(), Vec::new());
    for _ in 0..FAILING {
        let jobs = cluster.list("jobs").len();
        let begun = Instant::now();
        let run = pool.run(deployment).await;
        cluster.until("its Job", |cluster| (cluster.list("jobs").len() > jobs).then_some(())).await;
        launched.push(begun.elapsed());
        let job = job_of(cluster, run);
        let pod = cluster.pod_of(&job).await;
        cluster.set_pod(&pod, &PodState::Running);
        lab.until("the Job's name at the API", async || lab.run(run).await.infrastructure_pid).await;
        cluster.set_pod(&pod, &PodState::failed(3));
        let failed = Instant::now();
        lab.reaches_within(run, StateType::Crashed, BOUND).await;
        reported.push(failed.elapsed());
    }
    println!("from the run's creation until its Job is there (polls every 0.2 s): {}", spread(&mut launched));
    println!("from the pod's failure until the run is Crashed at the API: {}", spread(&mut reported));
}

async fn churn(cluster: &Api, pool: &LabPool, daemon: &Daemon, runs: usize, lifetime: Duration) {
    cluster.auto_kubelet(Some(lifetime));
    cluster.forget_requests();
    let deployment = pool.engine("sleep 1").await;
    let (begun, used) = (Instant::now(), processor_time(daemon.pid));
    let mut made = 0;
    let (mut most_live, mut most_kib) = (0, 0);
    let creating = async {
        for _ in 0..runs {
            pool.run(deployment).await;
            made += 1;
        }
    };
    tokio::pin!(creating);
    let mut is_created = false;
    loop {
        tokio::select! {
            () = &mut creating, if !is_created => is_created = true,
            () = sleep(LOOK_AGAIN) => {}
        }
        let created = cluster.count(Verb::Create, "jobs");
        let live = created.saturating_sub(ended(cluster));
        most_live = most_live.max(live);
        most_kib = most_kib.max(daemon.resident_kib());
        if created >= runs && live == 0 {
            break;
        }
        assert!(begun.elapsed() < BOUND, "{created} Jobs were made and {live} have not ended");
    }
    let (took, used) = (begun.elapsed(), processor_time(daemon.pid).saturating_sub(used));
    println!(
        "{runs} runs of {} s in {:.1} s; at most {most_live} pods at once",
        lifetime.as_secs(),
        took.as_secs_f64()
    );
    println!("worker: at most {} MiB resident, {} MiB in the end", most_kib / 1024, daemon.resident_kib() / 1024);
    let cores = used.as_secs_f64() / took.as_secs_f64();
    let each = used.as_secs_f64() * 1000.0 / f64::from(u32::try_from(runs).unwrap_or(u32::MAX));
    println!("worker: {:.1} s of processor time, {cores:.2} of a core, {each:.2} ms for a run", used.as_secs_f64());
    print_calls(cluster, runs);
}

fn print_calls(cluster: &Api, runs: usize) {
    let mut calls: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for request in cluster.requests() {
        *calls.entry(format!("{:?} {}", request.verb, request.rule_name())).or_default() += 1;
    }
    for (call, count) in calls {
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        println!("  {call}: {count}, {:.2} for a run", count / f64::from(u32::try_from(runs).unwrap_or(u32::MAX)));
    }
}

fn ended(cluster: &Api) -> usize {
    cluster.list("jobs").iter().filter(|job| job.pointer("/status/conditions").is_some()).count()
}

fn job_of(cluster: &Api, run: RunId) -> String {
    let label = |job: &Value| job.pointer("/metadata/labels/prefect.io~1flow-run-id").cloned();
    let jobs = cluster.list("jobs");
    let job = jobs.iter().find(|job| label(job) == Some(run.to_string().into())).expect("its Job is there");
    job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Median, smallest and largest.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default().as_millis();
    format!("{} ms ({} – {})", at(times.len() / 2), at(0), at(times.len().saturating_sub(1)))
}

/// Of a process and what it waited for, in user and system mode.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // A hundred in a second on every Linux.
    Duration::from_millis(ticks * 10)
}
