//! What is counted when it happens.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use central_api_client::Traffic;
use otlp::Tally;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use worker_config::place;
use worker_core::handle::PluginKind;

use super::catalogue;
use super::causes::{ApiStream, CRASH_CAUSES, End, Refusal, Repaired, crash_cause};
use super::series::{Series, counters, histograms};

/// The counters of one daemon, with a method for each thing that happens. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    counted: Arc<Counted>,
    /// The API that pools are of, if it has a name: two APIs may have pools of the same name.
    workspace: Option<Arc<str>>,
}

#[derive(Debug)]
struct Counted {
    claims: Series<Counter>,
    claims_refused: Series<Counter>,
    runs_ended: Series<Counter>,
    crashes: Series<Counter>,
    reruns: Series<Counter>,
    submission: Series<Histogram>,
    start_delay: Series<Histogram>,
    pull_step: Series<Histogram>,
    api_requests: Series<Counter>,
    api_seconds: Series<Histogram>,
    stream_restarts: Series<Counter>,
    watch_restarts: Series<Counter>,
    repairs: Series<Counter>,
    cleanups: Series<Counter>,
    trace_spans: Series<Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let counted = Arc::new(Counted {
            claims: counters(&catalogue::CLAIMS),
            claims_refused: counters(&catalogue::CLAIMS_REFUSED),
            runs_ended: counters(&catalogue::RUNS_ENDED),
            crashes: counters(&catalogue::CRASHES),
            reruns: counters(&catalogue::RERUNS),
            submission: histograms(&catalogue::SUBMISSION),
            start_delay: histograms(&catalogue::START_DELAY),
            pull_step: histograms(&catalogue::PULL_STEP),
            api_requests: counters(&catalogue::API_REQUESTS),
            api_seconds: histograms(&catalogue::API_SECONDS),
            stream_restarts: counters(&catalogue::STREAM_RESTARTS),
            watch_restarts: counters(&catalogue::WATCH_RESTARTS),
            repairs: counters(&catalogue::REPAIRS),
            cleanups: counters(&catalogue::CLEANUPS),
            trace_spans: counters(&catalogue::TRACE_SPANS),
        });
        let metrics = Self { counted, workspace: None };
        for what in Repaired::ALL {
            metrics.counted.repairs.of([what.as_str()]);
        }
        for result in ["acknowledged", "released"] {
            metrics.counted.cleanups.of([result]);
        }
        metrics
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Counted {
            claims,
            claims_refused,
            runs_ended,
            crashes,
            reruns,
            submission,
            start_delay,
            pull_step,
            api_requests,
            api_seconds,
            stream_restarts,
            // Written with what the plugins count.
            watch_restarts: _,
            repairs,
            cleanups,
            trace_spans,
        } = &*self.counted;
        let counters =
            [claims, claims_refused, runs_ended, crashes, reruns, api_requests, stream_restarts, repairs, cleanups];
        for series in counters.into_iter().chain([trace_spans]) {
            series.register(registry);
        }
        for series in [submission, start_delay, pull_step, api_seconds] {
            series.register(registry);
        }
    }

    /// The same counters, for what happens to pools of an API with this name.
    #[must_use]
    pub fn of_workspace(&self, name: Option<&str>) -> Self {
        Self { counted: Arc::clone(&self.counted), workspace: name.map(Arc::from) }
    }

    fn label<'m>(&self, pool: &'m str) -> Cow<'m, str> {
        self.workspace.as_ref().map_or(Cow::Borrowed(pool), |workspace| place(Some(workspace), pool).into())
    }

    /// A pool is served from now on. What can be counted of it is there from the beginning: a rate knows nothing of a first
    /// crash that comes with its counter.
    pub fn pool_served(&self, pool: &str, kind: &PluginKind) {
        let (counted, kind, pool) = (&*self.counted, kind.as_str(), &*self.label(pool));
        counted.claims.of([pool, kind]);
        counted.submission.of([pool, kind]);
        counted.start_delay.of([pool, kind]);
        counted.watch_restarts.of([kind]);
        for cause in Refusal::ALL {
            counted.claims_refused.of([pool, kind, cause.as_str()]);
        }
        for outcome in End::OUTCOMES {
            counted.runs_ended.of([pool, kind, outcome]);
        }
        for cause in CRASH_CAUSES {
            counted.crashes.of([pool, kind, cause]);
            counted.reruns.of([pool, kind, cause]);
        }
        for stream in ApiStream::ALL {
            counted.stream_restarts.of([pool, stream.as_str()]);
        }
    }

    /// What happens to runs of a pool.
    pub fn runs<'m>(&'m self, pool: &'m str, kind: &'m PluginKind) -> RunMetrics<'m> {
        RunMetrics { counted: &self.counted, pool: self.label(pool), kind }
    }

    /// A websocket to the API broke, or could not be opened.
    pub fn stream_restarted(&self, pool: &str, stream: ApiStream) {
        self.counted.stream_restarts.of([&*self.label(pool), stream.as_str()]).inc();
    }

    /// Something was found wrong and put right.
    pub fn repaired(&self, what: Repaired) {
        self.counted.repairs.of([what.as_str()]).inc();
    }

    /// A clean-up that the API asked for is over, or was given to somebody else.
    pub fn cleanup_concluded(&self, is_done: bool) {
        self.counted.cleanups.of([if is_done { "acknowledged" } else { "released" }]).inc();
    }

    /// Traces are sent from now on. A rate knows nothing of a first span that comes with its counter.
    pub fn traces_are_sent(&self) {
        for result in ["exported", "rejected", "dropped"] {
            self.counted.trace_spans.of([result]);
        }
    }

    /// How often the watch of a single run of a kind was begun again.
    pub(super) fn watch_restarts(&self, kind: &PluginKind) -> u64 {
        self.counted.watch_restarts.of([kind.as_str()]).get()
    }
}

impl Traffic for Metrics {
    fn tried(&self, call: &'static str, status: Option<u16>, took: Duration) {
        let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.counted.api_requests.of([call, &code]).inc();
        self.counted.api_seconds.of([]).observe(took.as_secs_f64());
    }
}

impl Tally for Metrics {
    fn exported(&self, spans: u64) {
        self.counted.trace_spans.of(["exported"]).inc_by(spans);
    }

    fn rejected(&self, spans: u64) {
        self.counted.trace_spans.of(["rejected"]).inc_by(spans);
    }

    fn dropped(&self, spans: u64) {
        self.counted.trace_spans.of(["dropped"]).inc_by(spans);
    }
}

/// The counters of the runs of a pool.
#[derive(Clone, Debug)]
pub struct RunMetrics<'m> {
    counted: &'m Counted,
    pool: Cow<'m, str>,
    kind: &'m PluginKind,
}

impl RunMetrics<'_> {
    fn of_pool(&self) -> [&str; 2] {
        [&self.pool, self.kind.as_str()]
    }

    fn with<'s>(&'s self, word: &'s str) -> [&'s str; 3] {
        [&self.pool, self.kind.as_str(), word]
    }

    /// The API gave it to this worker.
    pub fn claimed(&self) {
        self.counted.claims.of(self.of_pool()).inc();
    }

    /// It was not taken.
    pub fn refused(&self, cause: Refusal) {
        self.counted.claims_refused.of(self.with(cause.as_str())).inc();
    }

    /// Its infrastructure was started, so long after the claim, and so long after it was due if that is known.
    pub fn launched(&self, after_claim: Duration, after_due: Option<Duration>) {
        self.counted.submission.of(self.of_pool()).observe(after_claim.as_secs_f64());
        if let Some(delay) = after_due {
            self.counted.start_delay.of(self.of_pool()).observe(delay.as_secs_f64());
        }
    }

    /// A pull step that the worker ran is over.
    pub fn pulled(&self, step: &str, took: Duration, is_done: bool) {
        let result = if is_done { "done" } else { "failed" };
        self.counted.pull_step.of([step, result]).observe(took.as_secs_f64());
    }

    /// The watch of its infrastructure broke.
    pub fn watch_restarted(&self) {
        self.counted.watch_restarts.of([self.kind.as_str()]).inc();
    }

    /// It is over, and that is known to the API.
    pub fn ended(&self, end: End<'_>) {
        self.counted.runs_ended.of(self.with(end.outcome())).inc();
        match end {
            End::Crashed(cause) => {
                self.counted.crashes.of(self.with(crash_cause(cause))).inc();
            }
            End::PutBack(cause) => {
                self.counted.reruns.of(self.with(crash_cause(cause))).inc();
            }
            End::Settled | End::Completed | End::Failed | End::Cancelled | End::Released | End::LeftAlone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;
    use worker_core::exit::{Exit, ExitReport};
    use worker_core::machine::CrashCause;

    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        text
    }

    fn assert_shows(metrics: &Metrics, sample: &str) {
        let text = text(metrics);
        assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
    }

    #[test]
    fn what_can_happen_in_a_pool_is_there_before_it_happens() {
        let (metrics, kind) = (Metrics::default(), PluginKind::new("docker"));
        metrics.pool_served("a \"b\"", &kind);
        assert_shows(&metrics, r#"worker_crashes_total{pool="a \"b\"",kind="docker",cause="out_of_memory"} 0"#);
        assert_shows(&metrics, r#"worker_submission_seconds_count{pool="a \"b\"",kind="docker"} 0"#);
        let before = text(&metrics).lines().count();
        let exited = |exit| CrashCause::Exited(ExitReport::bare(exit));
        for exit in [Exit::Code(1), Exit::Signal(9), Exit::OutOfMemory, Exit::Evicted, Exit::NodeLost, Exit::Vanished] {
            metrics.runs("a \"b\"", &kind).ended(End::Crashed(&exited(exit)));
            metrics.runs("a \"b\"", &kind).ended(End::PutBack(&exited(exit)));
        }
        for cause in Refusal::ALL {
            metrics.runs("a \"b\"", &kind).refused(cause);
        }
        assert_eq!(text(&metrics).lines().count(), before, "a series came with its first event");
    }

    #[test]
    fn a_crash_that_is_no_end_counts_as_a_rerun_only() {
        let (metrics, kind) = (Metrics::default(), PluginKind::new("process"));
        metrics.pool_served("p", &kind);
        metrics.runs("p", &kind).ended(End::PutBack(&CrashCause::Exited(ExitReport::bare(Exit::Evicted))));
        assert_shows(&metrics, r#"worker_reruns_total{pool="p",kind="process",cause="evicted"} 1"#);
        assert_shows(&metrics, r#"worker_crashes_total{pool="p",kind="process",cause="evicted"} 0"#);
        assert_shows(&metrics, r#"worker_runs_ended_total{pool="p",kind="process",outcome="put_back"} 1"#);
    }

    #[test]
    fn steps_and_requests_are_counted_by_what_came_of_them() {
        let (metrics, kind) = (Metrics::default(), PluginKind::new("process"));
        metrics.runs("p", &kind).pulled("git_clone", Duration::from_secs(2), true);
        metrics.tried("poll", None, Duration::from_secs(1));
        metrics.tried("poll", Some(429), Duration::from_millis(20));
        metrics.repaired(Repaired::StrayRemoved);
        metrics.cleanup_concluded(true);
        for sample in [
            r#"worker_pull_step_seconds_bucket{step="git_clone",result="done",le="2.5"} 1"#,
            r#"worker_api_requests_total{call="poll",code="none"} 1"#,
            r#"worker_api_requests_total{call="poll",code="429"} 1"#,
            r#"worker_repairs_total{what="stray_removed"} 1"#,
            r#"worker_cleanup_messages_total{result="acknowledged"} 1"#,
        ] {
            assert_shows(&metrics, sample);
        }
    }
}
