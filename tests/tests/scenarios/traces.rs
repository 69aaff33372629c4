//! Traces of runs, as a collector gets them.

use std::collections::BTreeSet;

use central_api_wire::state::StateType;
use http::{Method, StatusCode};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use worker_core::ids::RunId;
use worker_tests::api::store::NewBlock;
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Lab, Monitor, SOON};

use crate::collector::{Collector, Seen, the};
use crate::in_memory::InMemory;
use crate::marks::Marks;

const LABEL: &str = "__OTEL_TRACEPARENT";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const SECRET: &str = "s3cret-of-a-block-0123";
const KEY: &str = "key-of-the-collector-0123";

async fn label(lab: &Lab, run: RunId, labels: Value) {
    let (status, _) = lab.api.call(Method::PATCH, &format!("/flow_runs/{run}/labels"), Some(&labels)).await;
    assert!(status.is_success(), "{status}");
}

async fn label_of(lab: &Lab, run: RunId) -> Option<String> {
    lab.run(run).await.labels?.get(LABEL)?.as_str().map(str::to_owned)
}

fn children<'s>(spans: &'s [Seen], of: &Seen) -> BTreeSet<&'s str> {
    spans.iter().filter(|span| span.parent == of.id).map(|span| span.name.as_str()).collect()
}

#[tokio::test]
async fn the_way_of_a_run_is_a_part_of_the_trace_that_the_run_belongs_to() {
    let (it, collector) = (InMemory::start().await, Collector::start().await);
    let pool = it.lab.pool().await;
    let deployment = pool
        .deployment(DeploymentSpec {
            pull_steps: Some(json!([{"prefect.deployments.steps.run_shell_script": {"script": "touch flow.py"}}])),
            entrypoint: Some("flow.py:main".to_owned()),
            ..DeploymentSpec::default()
        })
        .await;
    let run = pool.run(deployment).await;
    label(&it.lab, run, json!({LABEL: format!("00-{TRACE}-{PARENT}-01")})).await;
    let daemon = pool
        .daemon()
        .name("tracing-worker")
        .monitored()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("x-key=Bearer%20{KEY}"))
        .env("OTEL_SERVICE_NAME", "my-workers")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        // In the place of the engine: what the run's state is stays the engine's business.
        .env("WORKER_PROCESS_PYTHON", "/bin/true")
        .started()
        .await;
    let spans = collector.has("run", 1).await;
    let root = the(&spans, "run");
    assert_eq!((root.trace.as_str(), root.parent.as_str(), root.kind), (TRACE, PARENT, SpanKind::Consumer));
    assert_eq!(root.error, None);
    let flow_run = it.lab.run(run).await;
    for (name, value) in [
        ("prefect.run.id", run.to_string()),
        ("prefect.run.name", flow_run.name.clone()),
        ("prefect.deployment.id", deployment.to_string()),
        ("prefect.work_pool.name", pool.name.clone()),
        ("prefect.work_pool.type", "process".to_owned()),
        ("prefect.worker.name", "tracing-worker".to_owned()),
        ("process.exit.code", "0".to_owned()),
        ("worker.outcome", "settled".to_owned()),
    ] {
        assert_eq!(root.attributes.get(name), Some(&value), "{name} of {root:#?}");
    }
    assert_eq!(root.resource["service.name"], "my-workers");
    assert_eq!(root.resource["deployment.environment.name"], "test");
    assert!(root.attributes.contains_key("prefect.deployment.name"), "{root:#?}");

    let phases = BTreeSet::from(["claim", "prepare", "announce", "launch", "execute", "report", "cleanup"]);
    assert_eq!(children(&spans, root), phases);
    assert_eq!(children(&spans, the(&spans, "prepare")), BTreeSet::from(["pull"]));
    assert_eq!(the(&spans, "pull").attributes["worker.pull_step"], "run_shell_script");
    assert!(the(&spans, "claim").notes.iter().any(|note| note.starts_with("claimed")), "{spans:#?}");
    for span in &spans {
        assert!(span.trace == TRACE && span.start <= span.end, "{span:#?}");
        assert!(root.start <= span.start && span.end <= root.end, "{span:#?} is outside of {root:#?}");
    }
    // What the run belongs to is left as it is.
    assert_eq!(label_of(&it.lab, run).await.unwrap(), format!("00-{TRACE}-{PARENT}-01"));

    let headers = collector.requests();
    assert!(headers.iter().all(|headers| headers["x-key"] == format!("Bearer {KEY}").as_str()), "{headers:?}");
    assert!(headers.iter().all(|headers| headers["content-type"] == "application/x-protobuf"), "{headers:?}");
    assert!(!collector.was_told(KEY));
    assert!(daemon.stderr.lines().iter().all(|line| !line.contains(KEY)));
    let monitor = Monitor::of(&daemon).await;
    let wanted = spans.len().to_string().parse::<f64>().unwrap();
    let exported = |now: &worker_tests::harness::Scrape| now.sum("worker_trace_spans_total", &["result=\"exported\""]);
    monitor.scraped("the spans to be counted", |now| exported(now) >= wanted).await;
}

#[tokio::test]
async fn a_run_without_a_trace_is_given_one_and_what_failed_is_told_without_secrets() {
    let (it, collector) = (InMemory::start().await, Collector::start().await);
    let pool = it.lab.pool().await;
    it.store().create_block(NewBlock::secret("tok", SECRET));
    let directory = json!("/nonexistent/{{ prefect.blocks.secret.tok }}");
    let job_variables = Map::from_iter([("command".to_owned(), json!("true")), ("working_dir".to_owned(), directory)]);
    let run = pool.run(pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await).await;
    let _daemon = pool.daemon().env("WORKER_OTLP_ENDPOINT", collector.url()).started().await;
    it.lab.reaches(run, StateType::Crashed).await;
    let spans = collector.has("run", 1).await;
    let root = the(&spans, "run");
    assert_eq!(root.parent, "");
    assert_eq!(label_of(&it.lab, run).await.unwrap(), format!("00-{}-{}-01", root.trace, root.id));
    assert_eq!(
        (root.attributes["worker.outcome"].as_str(), root.attributes["error.type"].as_str()),
        ("crashed", "submit_failed")
    );
    for failed in [root, the(&spans, "launch")] {
        let error = failed.error.as_ref().unwrap();
        assert!(error.contains("/nonexistent/***"), "{error}");
    }
    assert_eq!(root.resource["service.name"], "prefect-worker");
    assert!(!children(&spans, root).contains("execute"), "{spans:#?}");
    assert!(!collector.was_told(SECRET));
}

/// The first does not listen, the second does not answer, the third refuses.
#[tokio::test]
async fn a_collector_that_is_away_holds_up_no_run_and_no_stop_and_is_said_once() {
    let it = InMemory::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = Collector::start().await;
    refusing.refuse(Some(StatusCode::UNAUTHORIZED));
    let hanging = format!("http://{}", silent.local_addr().unwrap());
    let away = ["http://127.0.0.1:9".to_owned(), hanging, refusing.url().to_owned()];
    for (at, url) in away.iter().enumerate() {
        let pool = it.lab.pool().await;
        let deployment = pool.command("true").await;
        let daemon = pool.daemon().env("WORKER_OTLP_ENDPOINT", url).env("WORKER_OTLP_TIMEOUT_SECONDS", "1").monitored();
        let mut daemon = daemon.started().await;
        for _ in 0..3 {
            it.lab.reaches(pool.run(deployment).await, StateType::Completed).await;
        }
        daemon.stderr.wait_for("traces do not arrive", SOON).await;
        if at == 2 {
            let lost = |now: &worker_tests::harness::Scrape| {
                now.sum("worker_trace_spans_total", &["result=\"rejected\""]) > 0.0
            };
            Monitor::of(&daemon).await.scraped("spans that were rejected", lost).await;
        }
        assert!(daemon.stop().await.success());
        let said: Vec<String> =
            daemon.stderr.lines().into_iter().filter(|line| line.contains("traces do not arrive")).collect();
        assert_eq!(said.len(), 1, "{said:#?}");
    }
}

#[tokio::test]
async fn a_run_that_outlives_a_daemon_stays_in_its_trace() {
    let (it, collector, marks) = (InMemory::start().await, Collector::start().await, Marks::new());
    let pool = it.lab.pool().await;
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let daemon = || pool.daemon().name("same").env("WORKER_OTLP_ENDPOINT", collector.url());
    let first = daemon().started().await;
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    collector.has("launch", 1).await;
    let home = first.kill().await;
    let second = daemon().spawn_in(home);
    second.stderr.wait_for("Taking over 1 runs", SOON).await;
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    let spans = collector.has("run", 1).await;
    let root = the(&spans, "run");
    let expected = BTreeSet::from(["claim", "prepare", "announce", "launch", "execute", "report", "cleanup"]);
    assert_eq!(children(&spans, root), expected);
    assert!(root.start <= the(&spans, "claim").start, "the second process knows when the run began");
    assert!(spans.iter().all(|span| span.trace == root.trace), "{spans:#?}");
    assert_eq!(label_of(&it.lab, run).await.unwrap(), format!("00-{}-{}-01", root.trace, root.id));
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_sent_and_a_run_is_not_labelled() {
    let (it, collector) = (InMemory::start().await, Collector::start().await);
    let pool = it.lab.pool().await;
    let run = pool.run(pool.command("true").await).await;
    let daemon = pool.daemon().env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).env("OTEL_SDK_DISABLED", "true");
    let mut daemon = daemon.monitored().started().await;
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(label_of(&it.lab, run).await, None);
    let scrape = Monitor::of(&daemon).await.scrape().await;
    assert!(scrape.series().iter().all(|series| !series.starts_with("worker_trace_spans_total")));
    assert!(daemon.stop().await.success());
    assert!(collector.requests().is_empty());
}

#[tokio::test]
async fn doctor_says_whether_the_collector_takes_traces() {
    let (it, collector) = (InMemory::start().await, Collector::start().await);
    let look = async |url: &str| {
        let done = DaemonSpec::bare()
            .env("PREFECT_API_URL", it.lab.api.api_url())
            .env("WORKER_OTLP_ENDPOINT", url)
            .args(["doctor", "--json", "--kind", "process"])
            .finish()
            .await;
        let checks: Vec<Value> = serde_json::from_str(&done.stdout).unwrap();
        let check = checks.into_iter().find(|check| check["name"] == "traces").unwrap();
        let finding = check["findings"][0].clone();
        let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        (text("severity"), format!("{} {}", text("message"), text("hint")))
    };
    assert_eq!(look(collector.url()).await.0, "ok");
    assert!(collector.spans().is_empty(), "nothing is given to it");
    let (severity, text) = look(&format!("{}/elsewhere", collector.url())).await;
    assert!(severity == "warning" && text.contains("404") && text.contains("otlp.traces_endpoint"), "{text}");
    collector.refuse(Some(StatusCode::UNAUTHORIZED));
    let (severity, text) = look(collector.url()).await;
    assert!(severity == "warning" && text.contains("401") && text.contains("otlp.headers"), "{text}");
    let (severity, text) = look("http://127.0.0.1:9").await;
    assert!(severity == "warning" && text.contains("does not answer"), "{text}");
}
