//! An API that misbehaves: the worker goes on, and running work is not touched.

use std::time::{Duration, Instant};

use central_api_wire::state::StateType;
use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;
use url::Url;
use worker_core::ids::RunId;
use worker_tests::api::store::Tables;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::faults::{Answer, Fault, FaultProxy, Rule, RuleId};
use worker_tests::harness::{Daemon, DaemonSpec, Lab, LabPool, PrefectServer, SOON, is_alive};

use crate::in_memory::{InMemory, channel_path, heartbeat_path, poll_path};
use crate::marks::Marks;

/// A proxy between a worker and its API.
pub(crate) struct Between {
    pub(crate) proxy: FaultProxy,
}

impl Between {
    pub(crate) async fn new(lab: &Lab) -> Self {
        Self { proxy: FaultProxy::start(&Url::parse(lab.api.api_url()).unwrap(), 1).await.unwrap() }
    }

    /// `worker start` for a pool, through the proxy.
    pub(crate) fn daemon(&self, pool: &LabPool) -> DaemonSpec {
        pool.daemon().env("PREFECT_API_URL", self.proxy.url().as_str()).env("PREFECT_API_REQUEST_TIMEOUT", "1")
    }

    pub(crate) fn add(&self, rule: Rule) -> RuleId {
        self.proxy.add(rule)
    }

    pub(crate) async fn acted(&self, rule: RuleId, times: u64) {
        self.proxy.acted(rule, times, SOON).await.unwrap();
    }
}

fn answer(status: u16, body: &str) -> Fault {
    let status = StatusCode::from_u16(status).unwrap();
    Fault::Answer(Answer { status, content_type: "application/json", retry_after: None, body: body.to_owned() })
}

#[tokio::test]
async fn c007_a_500_is_not_repeated_by_the_client_and_the_loop_goes_on() {
    let it = InMemory::start().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let run = pool.run(pool.command("true").await).await;
    let labels = between.add(Rule::on("/api/flow_runs/*/labels", Fault::status(500)));
    let polls = between.add(Rule::on("**/get_scheduled_flow_runs", Fault::status(500)));
    let mut daemon = between.daemon(&pool).started().await;
    between.acted(polls, 3).await;
    assert!(daemon.is_running());
    between.proxy.lift(polls);
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(between.proxy.counts().of(labels), 1, "a call that was answered with 500 was repeated");
}

#[tokio::test]
async fn c016_a_pool_that_somebody_else_created_first_is_used() {
    let it = InMemory::over_rest().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let path = format!("/work_pools/{}", pool.name);
    let not_found = answer(404, &json!({"detail": format!("Work pool \"{}\" not found.", pool.name)}).to_string());
    let missing = between.add(Rule::on(&format!("/api{path}"), not_found).method(Method::GET));
    let _daemon = between.daemon(&pool).args(["--type", "process"]).started().await;
    // The first one is the scenario's own.
    it.requested("POST", "/work_pools/", 2).await;
    between.proxy.lift(missing);
    it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    assert!(it.requests("POST", "/work_pools/")[1..].iter().all(|request| request.status == Some(409)));
}

#[tokio::test]
async fn c020_cloud_is_asked_for_the_workers_id_until_it_is_known() {
    let id = "11111111-2222-4333-8444-555555555555";
    for (refusal, asked) in [(None, 1), (Some(422), 1)] {
        let it = InMemory::over_rest().await;
        let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
        let path = heartbeat_path(&pool.name);
        let first = match refusal {
            None => answer(200, &format!("\"{id}\"")),
            Some(status) => Fault::status(status),
        };
        let first = between.add(Rule::on(&format!("/api{path}"), first).times(asked));
        let _daemon = between.daemon(&pool).env("PREFECT_CLOUD_API_URL", between.proxy.url().as_str()).started().await;
        between.acted(first, asked).await;
        it.requested("POST", &path, 2).await;
        // The first one did not get through; it is the only one that may have asked where the id came with it.
        for later in it.requests("POST", &path).iter().filter(|_| refusal.is_none()) {
            assert_eq!(later.body.get("return_id"), None, "it asked again");
            assert_eq!(later.header("x-prefect-worker-id"), id);
        }
        let retried = &it.requests("POST", &path)[0];
        assert_eq!(retried.body.get("return_id"), None, "the refused question was repeated");
    }
}

#[tokio::test]
async fn a_self_hosted_server_is_never_asked_for_an_id() {
    let it = InMemory::over_rest().await;
    let pool = it.lab.pool().await;
    let _daemon = pool.daemon().started().await;
    it.requested("POST", &heartbeat_path(&pool.name), 2).await;
    assert!(it.requests("POST", &heartbeat_path(&pool.name)).iter().all(|it| it.body.get("return_id").is_none()));
}

#[tokio::test]
async fn c021_an_api_that_is_down_at_the_start_is_waited_for_and_a_refusal_is_final() {
    let mut it = InMemory::start().await;
    let pool = it.lab.pool().await;
    it.api.stop().await;
    let waiting = pool.daemon().arg("--wait-for-api").spawn();
    waiting.stderr.wait_for("waiting for the API", SOON).await;
    it.api.restart().await.unwrap();
    waiting.stdout.wait_for(" started!", SOON).await;

    let between = Between::new(&it.lab).await;
    let busy = between.add(Rule::on("**", Fault::status(503)));
    let waiting = between.daemon(&pool).spawn();
    between.acted(busy, 3).await;
    between.proxy.clear();
    waiting.stdout.wait_for(" started!", SOON).await;

    for status in [401, 403] {
        between.add(Rule::on("**", Fault::status(status)));
        let refused = between.daemon(&pool).finish().await;
        assert!(!refused.status.success(), "{status}");
        assert!(refused.stderr.contains("credentials"), "{}", refused.stderr);
        between.proxy.clear();
    }
}

/// With settings as a user has them: a request may take a minute, but a wrong URL is said within ten seconds.
#[tokio::test]
async fn an_api_that_never_answers_ends_the_first_start_in_time() {
    let it = InMemory::start().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    between.add(Rule::on("**", Fault::BlackHole));
    let daemon = between.daemon(&pool).env("PREFECT_API_REQUEST_TIMEOUT", "60");
    let refused = tokio::time::timeout(Duration::from_secs(10), daemon.finish()).await.expect("it ends in ten seconds");
    assert!(!refused.status.success());
    assert!(refused.stderr.contains("Failed to reach API"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--wait-for-api"), "{}", refused.stderr);
}

#[tokio::test]
async fn c022_nothing_is_polled_before_the_first_complete_sync() {
    let it = InMemory::over_rest().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let beats = between.add(Rule::on(&format!("/api{}", heartbeat_path(&pool.name)), Fault::status(500)));
    let polls = between.add(Rule::on("**/get_scheduled_flow_runs", Fault::Delay(Duration::ZERO)));
    let _daemon = between.daemon(&pool).started().await;
    between.acted(beats, 3).await;
    assert_eq!(between.proxy.counts().of(polls), 0, "it polled before a sync had succeeded");
    between.proxy.lift(beats);
    between.acted(polls, 1).await;
}

/// The documented difference to Prefect's worker, which ends after twelve failures in a row.
#[tokio::test]
async fn c023_no_number_of_failing_polls_and_syncs_ends_the_worker() {
    let it = InMemory::over_rest().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let run = pool.run(pool.command("true").await).await;
    let beats = between.add(Rule::on(&format!("/api{}", heartbeat_path(&pool.name)), Fault::status(500)));
    let polls = between.add(Rule::on("**/get_scheduled_flow_runs", Fault::status(500)));
    let reads = between.add(Rule::on("/api/work_pools/*", Fault::Delay(Duration::ZERO)).method(Method::GET));
    let mut daemon = between.daemon(&pool).started().await;
    between.acted(reads, 3).await;
    between.proxy.lift(beats);
    between.proxy.acted(polls, 13, SOON * 2).await.unwrap();
    assert!(daemon.is_running());
    assert!(daemon.stderr.count("cannot ask the API for due runs") <= 2, "a repeated failure is said once");
    between.proxy.clear();
    it.lab.reaches(run, StateType::Completed).await;
}

#[tokio::test]
async fn c028_a_channel_that_is_not_set_up_in_time_is_replaced_by_rest_and_tried_again() {
    let it = InMemory::start().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let hole = between.add(Rule::on(&format!("/api{}", channel_path(&pool.name)), Fault::BlackHole).times(1));
    // Longer than the time to set the channel up, which is what is to end the attempt.
    let _daemon = between.daemon(&pool).env("PREFECT_API_REQUEST_TIMEOUT", "60").started().await;
    between.acted(hole, 1).await;
    it.requested("POST", &heartbeat_path(&pool.name), 2).await;
    it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    it.channel_is_open(&pool.name).await;
}

#[tokio::test]
async fn c040_a_broken_events_socket_neither_fails_nor_delays_runs() {
    let faults = [Fault::RefuseUpgrade, Fault::Reset, Fault::BlackHole, Fault::status(500)];
    join_all(faults.map(runs_without_events)).await;
}

async fn runs_without_events(fault: Fault) {
    let it = InMemory::start().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let events = between.add(Rule::on("/api/events/in", fault.clone()));
    let mut daemon = between.daemon(&pool).started().await;
    between.acted(events, 1).await;
    let begun = Instant::now();
    for _ in 0..3 {
        it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{fault:?}: {:?}", begun.elapsed());
    assert!(daemon.stop().await.success());
}

#[tokio::test]
async fn c053_a_claim_that_has_to_wait_is_sent_again_after_the_delay() {
    let it = InMemory::start().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let run = pool.run(pool.command("true").await).await;
    let wait = json!({"state": null, "status": "WAIT",
        "details": {"type": "wait_details", "delay_seconds": 1, "reason": "not yet"}});
    let wait = between.add(Rule::on("**/set_state", answer(200, &wait.to_string())).times(2));
    let begun = Instant::now();
    let _daemon = between.daemon(&pool).started().await;
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(between.proxy.counts().of(wait), 2);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(it.lab.history(run).await, ["Scheduled", "Pending", "Submitting", "Running", "Completed"]);
}

#[tokio::test]
async fn an_old_server_without_labels_and_submitting_is_served() {
    let it = InMemory::of_version(3, 0, 11).await;
    let pool = it.lab.pool().await;
    let run = pool.run(pool.command("true").await).await;
    let _daemon = pool.daemon().started().await;
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(it.lab.history(run).await, ["Scheduled", "Pending", "Running", "Completed"]);
    assert_eq!(it.requests("PATCH", &format!("/flow_runs/{run}/labels"))[0].status, Some(404));
}

#[tokio::test]
async fn a_lost_answer_to_a_claim_strands_no_run() {
    let it = InMemory::start().await;
    let (pool, between, marks) = (it.lab.pool().await, Between::new(&it.lab).await, Marks::new());
    let run = pool.run(pool.command(&marks.command("ran")).await).await;
    let lost = between.add(Rule::on("**/set_state", Fault::LoseReply).times(2));
    let _daemon = between.daemon(&pool).started().await;
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(between.proxy.counts().of(lost), 2);
    assert_eq!(it.lab.history(run).await, ["Scheduled", "Pending", "Submitting", "Running", "Completed"]);
    assert_eq!(marks.made(), ["ran"]);
}

/// A run that is cancelled while it is still being submitted has no infrastructure: it is not started any more.
#[tokio::test]
async fn c120_a_pending_run_is_cancelled_without_infrastructure_at_once() {
    let it = InMemory::start().await;
    let (pool, between, marks) = (it.lab.pool().await, Between::new(&it.lab).await, Marks::new());
    let run = pool.run(pool.command(&marks.command("ran")).await).await;
    let slow = between.add(Rule::on("/api/flows/*", Fault::BlackHole).times(1));
    let _daemon = between.daemon(&pool).env("PREFECT_API_REQUEST_TIMEOUT", "30").started().await;
    between.acted(slow, 1).await;
    it.lab.cancel(run).await;
    let state = it.lab.reaches(run, StateType::Cancelled).await;
    let message = state.message.unwrap();
    assert_eq!(message, "Flow run cancelled by worker (no infrastructure found).");
    assert_eq!(marks.made().len(), 0);
    it.lab.reaches(pool.run(pool.command("true").await).await, StateType::Completed).await;
}

#[tokio::test]
async fn c121_without_a_websocket_cancellations_are_asked_for() {
    let it = InMemory::start().await;
    let (pool, between, marks) = (it.lab.pool().await, Between::new(&it.lab).await, Marks::new());
    let refused = between.add(Rule::on("/api/events/out", Fault::RefuseUpgrade));
    let run = pool.run(pool.command(&marks.endless_command()).await).await;
    let _daemon = between.daemon(&pool).started().await;
    it.lab.reaches(run, StateType::Running).await;
    between.acted(refused, 1).await;
    it.lab.cancel(run).await;
    it.lab.reaches(run, StateType::Cancelled).await;
}

/// A websocket that was cut is opened again, and what happened meanwhile is made up for.
#[tokio::test]
async fn a_cancellation_during_a_cut_is_not_lost() {
    let it = InMemory::start().await;
    let (pool, between, marks) = (it.lab.pool().await, Between::new(&it.lab).await, Marks::new());
    let run = pool.run(pool.command(&marks.endless_command()).await).await;
    let _daemon = between.daemon(&pool).env("WORKER_CANCELLATION_POLL_SECONDS", "600").started().await;
    it.lab.reaches(run, StateType::Running).await;
    let listens = |tables: &Tables| tables.sockets().iter().any(|it| it.path == "/events/out" && it.established);
    it.wait("a subscription", |tables| listens(tables).then_some(())).await;
    let away = between.add(Rule::on("/api/events/out", Fault::Reset).times(2));
    between.proxy.cut_websockets();
    it.lab.cancel(run).await;
    between.acted(away, 1).await;
    it.lab.reaches(run, StateType::Cancelled).await;
}

/// A worker with a run in progress.
struct AtWork {
    between: Between,
    pool: LabPool,
    marks: Marks,
    run: RunId,
    process: i32,
    daemon: Daemon,
}

impl AtWork {
    async fn on(lab: &Lab) -> Self {
        let (pool, between, marks) = (lab.pool().await, Between::new(lab).await, Marks::new());
        let run = pool.run(pool.command(&marks.held_command(0)).await).await;
        let daemon = between.daemon(&pool).started().await;
        lab.reaches(run, StateType::Running).await;
        let pid = lab.until("infrastructure_pid", async || lab.run(run).await.infrastructure_pid).await;
        Self { between, pool, marks, run, process: pid.parse().unwrap(), daemon }
    }

    /// Every call goes wrong for a while.
    async fn suffers(&self, fault: &Fault, acts: u64) -> RuleId {
        let rule = self.between.add(Rule::on("**", fault.clone()));
        self.between.proxy.cut_websockets();
        self.between.acted(rule, acts).await;
        assert!(is_alive(self.process), "{fault:?} ended the run's process");
        assert_eq!(self.marks.made(), ["started"], "{fault:?} started the run anew");
        rule
    }

    /// Nothing goes wrong any more: the run and another one end well.
    async fn recovers(mut self, lab: &Lab, fault: &Fault) {
        self.between.proxy.clear();
        lab.reaches(self.run, StateType::Completed).await;
        let history = lab.history(self.run).await;
        assert_eq!(history, ["Scheduled", "Pending", "Submitting", "Running", "Completed"], "{fault:?}");
        lab.reaches(self.pool.run(self.pool.command("true").await).await, StateType::Completed).await;
        assert!(self.daemon.is_running(), "{fault:?} ended the worker");
    }
}

/// The run ends while nothing can be reported.
async fn rides_out(lab: &Lab, fault: &Fault) {
    let work = AtWork::on(lab).await;
    let rule = work.suffers(fault, 4).await;
    work.marks.release();
    work.between.acted(rule, 8).await;
    work.recovers(lab, fault).await;
}

/// What the API refuses for good is not tried again, so the run ends after it has come to its senses.
async fn survives(lab: &Lab, fault: &Fault) {
    let work = AtWork::on(lab).await;
    work.suffers(fault, 8).await;
    work.between.proxy.clear();
    work.marks.release();
    work.recovers(lab, fault).await;
}

macro_rules! ridden_out {
    ($($name:ident: $rides_out:ident $fault:expr),+ $(,)?) => {
        /// Whatever the API does, the worker goes on and its running run ends as it should.
        mod ridden_out {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                let it = InMemory::start().await;
                $rides_out(&it.lab, &$fault).await;
            })+
        }
    };
}

ridden_out![
    bad_request: survives Fault::status(400),
    unauthorized: rides_out Fault::status(401),
    forbidden: rides_out Fault::status(403),
    not_found: rides_out Fault::status(404),
    request_timeout: rides_out Fault::status(408),
    unprocessable: survives Fault::status(422),
    too_many_requests: rides_out Fault::status_retry_after(429, "1"),
    internal_server_error: rides_out Fault::status(500),
    bad_gateway: rides_out Fault::status(502),
    service_unavailable: rides_out Fault::status(503),
    gateway_timeout: rides_out Fault::status(504),
    html: rides_out Fault::html(),
    reset: rides_out Fault::Reset,
    black_hole: rides_out Fault::BlackHole,
    lost_reply: rides_out Fault::LoseReply,
    empty_body: rides_out answer(200, ""),
    empty_object: rides_out answer(200, "{}"),
    other_json: rides_out answer(200, "[1]"),
    null: rides_out answer(200, "null"),
];

/// The same with a real server behind the proxy.
pub(crate) async fn misbehaviour(server: &PrefectServer) {
    let lab = Lab::on_server(server.rest.api_url());
    let mut lane = worker_tests::harness::Lane::default();
    let mut faults = [401, 403, 408, 429, 500, 503].map(Fault::status).to_vec();
    faults.extend([Fault::html(), Fault::Reset, Fault::BlackHole]);
    for fault in faults {
        lane.run(&format!("{fault:?}"), rides_out(&lab, &fault)).await;
    }
    lane.run("404", rides_out(&lab, &Fault::status(404))).await;
    lane.finish();
}

/// With authentication on, everything a worker does is authenticated: REST, events, channel, subscription.
#[tokio::test]
async fn a_server_with_an_auth_string_and_csrf_is_served() {
    let auth = "user:pass word";
    let api = TestApi::start(ApiOptions { auth_string: Some(auth.into()), csrf: true, ..ApiOptions::default() }).await;
    let api = api.unwrap();
    let daemon = DaemonSpec::start(api.url().as_str()).pool("guarded").env("PREFECT_API_AUTH_STRING", auth);
    let daemon = daemon.args(["--type", "process"]).started().await;
    let open = |tables: &Tables, path: &str| tables.sockets().iter().any(|it| it.path == path && it.established);
    for path in ["/events/in", "/events/out", "/work_pools/guarded/workers/connect"] {
        api.store().wait_until(path, SOON, |tables| open(tables, path).then_some(())).await.unwrap();
    }
    let polled = |tables: &Tables| tables.requests_to("POST", &poll_path("guarded")).any(|it| it.status == Some(200));
    api.store().wait_until("a poll", SOON, |tables| polled(tables).then_some(())).await.unwrap();
    let secret = [daemon.stdout.lines(), daemon.stderr.lines()].concat().join("\n");
    assert!(!secret.contains("pass word"), "{secret}");
}
