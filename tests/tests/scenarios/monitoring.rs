//! What probes and Prometheus see of a worker.

#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::collections::BTreeSet;

use central_api_wire::state::StateType;
use futures::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use url::Url;
use worker_tests::faults::{Fault, FaultProxy, Rule};
use worker_tests::harness::{
    Daemon, DaemonSpec, Monitor, SOON, Scrape, process_template, promtool, until, workspace_root,
};

use crate::in_memory::InMemory;
use crate::marks::Marks;

async fn typed(daemon: &Daemon, args: &[&str]) {
    let ended = DaemonSpec::bare().args(args).env("WORKER_STATE_DIR", daemon.path("state")).finish().await;
    assert!(ended.status.success(), "{args:?}: {}", ended.stderr);
}

fn reasons(body: &Value) -> String {
    body["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// One worker for each loop; `WORKER_STALL` has that loop hang.
#[tokio::test]
async fn each_loop_that_hangs_is_named_by_livez_and_by_the_metrics() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let of_pool = ["poller", "sync", "worker channel", "stream of cancellations", "questions for cancellations"];
    let mut loops: Vec<String> = of_pool.iter().map(|name| format!("{name} of '{}'", pool.name)).collect();
    let of_daemon = [
        "repair",
        "delivery of logs",
        "delivery of events",
        "delivery of traces",
        "reading of settings",
        "messages to systemd",
    ];
    loops.extend(of_daemon.map(str::to_owned));
    let daemon = || {
        let spec = pool.daemon().monitored().env("WORKER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        // Nobody listens there, which is nothing to complain about.
        spec.env("NOTIFY_SOCKET", "/nonexistent/notify")
    };
    let well = daemon().started().await;
    let known = Monitor::of(&well).await.scrape().await;
    let shown = known.series().into_iter().filter(|series| series.starts_with("worker_loop_stalled{"));
    let expected = loops.iter().map(|name| format!("worker_loop_stalled{{loop=\"{name}\"}}"));
    assert_eq!(shown.collect::<BTreeSet<_>>(), expected.collect(), "a loop is not in this test");
    join_all(loops.iter().map(async |name| {
        let daemon = daemon().env("WORKER_STALL", name).spawn();
        let monitor = Monitor::of(&daemon).await;
        let body = monitor.until("/livez", StatusCode::SERVICE_UNAVAILABLE).await;
        assert_eq!(body["stalled"], json!([name]));
        assert_eq!(monitor.scrape().await.sum("worker_loop_stalled", &[&format!("loop=\"{name}\"")]), 1.0);
        let not_ready = monitor.until("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(reasons(&not_ready).contains(name.as_str()), "{not_ready}");
    }))
    .await;
    assert_eq!(Monitor::of(&well).await.get("/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_worker_that_is_cordoned_or_drained_is_alive_and_not_ready() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let mut daemon = pool.daemon().monitored().started().await;
    let monitor = Monitor::of(&daemon).await;
    it.lab.reaches(run, StateType::Running).await;
    assert_eq!(reasons(&monitor.until("/readyz", StatusCode::OK).await), "");
    typed(&daemon, &["cordon"]).await;
    let body = monitor.until("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(reasons(&body).contains("cordoned"), "{body}");
    assert_eq!(monitor.scrape().await.sum("worker_state", &["state=\"cordoned\""]), 1.0);
    typed(&daemon, &["uncordon"]).await;
    monitor.until("/readyz", StatusCode::OK).await;

    typed(&daemon, &["drain", "--no-wait"]).await;
    let body = monitor.until("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(reasons(&body).contains("stopping"), "{body}");
    for path in ["/livez", "/health"] {
        assert_eq!(monitor.get(path).await.0, StatusCode::OK, "{path} while it drains");
    }
    let scrape = monitor.scrape().await;
    assert_eq!((scrape.sum("worker_state", &["state=\"draining\""]), scrape.sum("worker_state", &[])), (1.0, 1.0));
    marks.release();
    assert!(daemon.exited(SOON).await.success());
    it.lab.reaches(run, StateType::Completed).await;
}

#[tokio::test]
async fn readiness_says_which_backend_or_api_does_not_answer() {
    let it = InMemory::start().await;
    let proxy = FaultProxy::start(&Url::parse(it.lab.api.api_url()).unwrap(), 1).await.unwrap();
    let away = proxy.add(Rule::on("**", Fault::Reset));
    let pool = it.lab.fresh_name("docker-pool");
    it.lab.api.create_pool(&pool, "docker", process_template()).await;
    let daemon = it.lab.daemon().pool(&pool).env("PREFECT_API_URL", proxy.url().as_str()).arg("--wait-for-api");
    let socket = tempfile::tempdir().unwrap();
    let host = format!("unix://{}/docker.sock", socket.path().display());
    let daemon = daemon.env("WORKER_DOCKER_HOST", &host).monitored().spawn();
    let monitor = Monitor::of(&daemon).await;
    let body = monitor.until("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(reasons(&body).contains("the API has not said yet"), "{body}");
    assert_eq!(monitor.scrape().await.sum("worker_pool_up", &[]), 0.0);
    proxy.lift(away);
    until(SOON, "the reason to be the engine", async || {
        let body = monitor.until("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
        reasons(&body).contains(&format!("work pool '{pool}': docker cannot be used")).then_some(())
    })
    .await;
    assert_eq!(monitor.get("/livez").await.0, StatusCode::OK);
    assert_eq!(monitor.scrape().await.sum("worker_pool_up", &[]), 1.0);
}

/// The names of `docs/metrics.md`, each with its labels.
pub(crate) fn reference() -> Vec<(String, BTreeSet<String>)> {
    let text = fs_err::read_to_string(workspace_root().join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).filter(|row| row.split('|').count() == 5);
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split(", ").map(|label| label.trim_matches('`').to_owned());
        (cells[0].trim_end_matches('`').to_owned(), labels.filter(|label| !label.is_empty()).collect())
    })
    .collect()
}

pub(crate) fn assert_documented(scrape: &Scrape) {
    let reference = reference();
    for series in scrape.series() {
        let (name, labels) = series.split_once('{').unwrap_or((&series, ""));
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let documented = reference.iter().find(|(known, _)| known == stem || known == name);
        assert!(documented.is_some(), "{name} is not in docs/metrics.md");
        let (_, known) = documented.unwrap();
        let labels: BTreeSet<String> = labels
            .split("\",")
            .filter_map(|pair| Some(pair.split_once("=\"")?.0.to_owned()))
            .filter(|label| label != "le")
            .collect();
        assert_eq!(labels, *known, "{series}");
    }
}

#[tokio::test]
async fn what_happens_to_runs_is_counted_once_and_prometheus_can_read_it() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let daemon = pool.daemon().arg("--limit").arg("3").monitored().started().await;
    let monitor = Monitor::of(&daemon).await;
    it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    it.lab.reaches(pool.run(pool.command(&marks.shell("exit 3")).await).await, StateType::Failed).await;
    let crashed = pool.run(pool.command(&marks.shell("kill -9 $$")).await).await;
    it.lab.reaches(crashed, StateType::Crashed).await;
    let held = pool.run(pool.command(&marks.held_command(0)).await).await;
    it.lab.reaches(held, StateType::Running).await;
    let ended = |scrape: &Scrape| scrape.sum("worker_runs_ended_total", &[]) >= 3.0;
    let running = |scrape: &Scrape| scrape.sum("worker_runs", &["state=\"running\""]) == 1.0;
    let scrape = monitor.scraped("three runs that ended and one that runs", |now| ended(now) && running(now)).await;

    let outcome = |outcome: &str| scrape.sum("worker_runs_ended_total", &[&format!("outcome=\"{outcome}\"")]);
    assert_eq!(["completed", "failed", "crashed"].map(outcome), [1.0, 1.0, 1.0]);
    assert_eq!(scrape.sum("worker_crashes_total", &["cause=\"signal\""]), 1.0);
    assert_eq!(scrape.sum("worker_crashes_total", &[]), 1.0);
    let of_pool = format!("pool=\"{}\"", pool.name);
    assert_eq!(scrape.sum("worker_claims_total", &[&of_pool, "kind=\"process\""]), 4.0);
    assert_eq!(scrape.sum("worker_submission_seconds_count", &[&of_pool]), 4.0);
    assert_eq!(scrape.sum("worker_start_delay_seconds_count", &[&of_pool]), 4.0);
    assert_eq!(scrape.sum("worker_slots_used", &[&of_pool]), 1.0);
    assert_eq!(scrape.sum("worker_slots_limit", &[&of_pool]), 3.0);
    assert_eq!(scrape.sum("worker_runs", &[]), 1.0);
    assert!(scrape.sum("worker_poll_age_seconds", &[&of_pool]) < 10.0);
    assert!(scrape.sum("worker_api_requests_total", &["code=\"200\""]) > 0.0);
    assert!(scrape.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.sum("worker_journal_bytes", &[]) > 0.0);

    let (is_content, said) = promtool(&["check", "metrics"], &scrape.0);
    assert!(is_content && said.is_empty(), "{said}");
    assert_documented(&scrape);
    marks.release();
    it.lab.reaches(held, StateType::Completed).await;
}

#[tokio::test]
async fn runs_that_have_to_wait_are_late_and_slots_are_full() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let deployment = pool.command(&marks.held_command(0)).await;
    let (first, second) = (pool.run(deployment).await, pool.run(deployment).await);
    let daemon = pool.daemon().arg("--limit").arg("1").monitored().started().await;
    let monitor = Monitor::of(&daemon).await;
    marks.count(1).await;
    let late = monitor.scraped("a late run", |now| now.sum("worker_late_run_age_seconds", &[]) > 0.5).await;
    assert_eq!((late.sum("worker_slots_used", &[]), late.sum("worker_slots_limit", &[])), (1.0, 1.0));
    marks.release();
    for run in [first, second] {
        it.lab.reaches(run, StateType::Completed).await;
    }
    monitor.scraped("nothing late", |now| now.sum("worker_late_run_age_seconds", &[]) == 0.0).await;
}

#[tokio::test]
async fn a_worker_that_has_executed_hundreds_of_runs_shows_as_many_series_as_before() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let deployment = pool.command("true").await;
    let daemon = pool.daemon().monitored().started().await;
    let monitor = Monitor::of(&daemon).await;
    let ended = async |wanted: u32| {
        let begun = monitor.scrape().await.sum("worker_runs_ended_total", &[]);
        for _ in 0..wanted {
            pool.run(deployment).await;
        }
        let wanted = begun + f64::from(wanted);
        let all =
            |now: &Scrape| now.sum("worker_runs_ended_total", &[]) >= wanted && now.sum("worker_runs", &[]) == 0.0;
        until(SOON * 3, "all runs to end", async || Some(monitor.scrape().await).filter(all)).await.series()
    };
    let few = ended(10).await;
    let many = ended(120).await;
    // Which calls were made and how they were answered is bounded by the program; a rare one may come late.
    let is_of_requests = |series: &&String| series.starts_with("worker_api_requests_total{");
    assert!(many.iter().filter(is_of_requests).count() < 60, "{many:?}");
    let new: Vec<&String> = many.difference(&few).filter(|series| !is_of_requests(series)).collect();
    assert_eq!(new, Vec::<&String>::new());
}

/// The variables of Prefect's own worker go on to work.
#[tokio::test]
async fn the_ports_of_prefects_settings_serve_what_they_always_did() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let daemon = pool.daemon().arg("--with-healthcheck").env("PREFECT_WORKER_WEBSERVER_HOST", "127.0.0.1");
    let daemon = daemon.env("PREFECT_WORKER_WEBSERVER_PORT", "0").env("PREFECT_CLIENT_METRICS_ENABLED", "true");
    let daemon = daemon.env("PREFECT_CLIENT_METRICS_PORT", "0").started().await;
    let of = async |what: &str| {
        let line = daemon.stderr.wait_for(&format!("{what} is served on http://"), SOON).await;
        line.rsplit_once(':').unwrap().1.trim().to_owned()
    };
    let (health, metrics) = (of("health").await, of("metrics").await);
    let get = async |port: &str, path: &str| {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    assert_eq!(get(&health, "/health").await, (StatusCode::OK, json!({"message": "OK"}).to_string()));
    for path in ["/livez", "/metrics"] {
        assert_eq!(get(&health, path).await.0, StatusCode::OK, "{path}");
    }
    // It has started before it has read its pool.
    it.lab.until("readiness", async || (get(&health, "/readyz").await.0 == StatusCode::OK).then_some(())).await;
    for path in ["/metrics", "/", "/any/path"] {
        assert!(get(&metrics, path).await.1.contains("worker_build_info{"), "{path}");
    }
}
