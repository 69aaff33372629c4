//! Every metric that there is: name, labels and meaning. What is exposed and `docs/metrics.md` both come from here.
//!
//! A label has as few values as there are pools, kinds or words in the program. None is ever a run, a deployment or a text of
//! somebody else's, so a worker that has executed a million runs shows as many series as a new one.

use prometheus_client::metrics::MetricType;

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as scraped; a histogram's without `_bucket` and the like.
    pub name: &'static str,
    /// How its value moves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, without the full stop.
    pub help: &'static str,
}

/// How a value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is as it is now.
    Gauge,
    /// It only grows.
    Counter,
    /// How often something took how long.
    Histogram,
}

impl Kind {
    /// Its name in the exposition format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Gauge => Self::Gauge,
            Kind::Counter => Self::Counter,
            Kind::Histogram => Self::Histogram,
        }
    }
}

impl Metric {
    /// The name as the library wants it, which puts `_total` behind those of counters itself.
    pub(super) fn stem(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

pub(super) const RUNS: Metric =
    gauge("worker_runs", &["pool", "kind", "state"], "Runs that this worker executes, by where they are");
pub(super) const SLOTS_USED: Metric =
    gauge("worker_slots_used", &["pool"], "Runs of the pool that count for its limit here");
pub(super) const SLOTS_LIMIT: Metric =
    gauge("worker_slots_limit", &["pool"], "Most runs of the pool at a time here; absent without a limit");
pub(super) const LATE_AGE: Metric = gauge(
    "worker_late_run_age_seconds",
    &["pool"],
    "How long the oldest run of the last poll that could not be taken has been due; 0 if all were taken",
);
pub(super) const POLL_AGE: Metric =
    gauge("worker_poll_age_seconds", &["pool"], "How long ago the API last answered a poll of the pool");
pub(super) const POOL_UP: Metric = gauge(
    "worker_pool_up",
    &["pool"],
    "1 while the pool is served: it exists and the API answers its polls; paused counts as served",
);
pub(super) const STATE: Metric =
    gauge("worker_state", &["state"], "1 for what the worker is doing: serving, cordoned or draining");
pub(super) const LOOP_STALLED: Metric =
    gauge("worker_loop_stalled", &["loop"], "1 for a loop of the worker that hangs, as told by /livez");
pub(super) const ADMISSION_HELD: Metric = gauge(
    "worker_admission_held",
    &["reason"],
    "1 for the reason for which due runs are left alone because this machine could not bear more",
);
pub(super) const JOURNAL_BYTES: Metric =
    gauge("worker_journal_bytes", &[], "Size of the file with the records of live runs");
pub(super) const BUILD_INFO: Metric = gauge("worker_build_info", &["version"], "Always 1; the label is the version");

pub(super) const CLAIMS: Metric =
    counter("worker_claims_total", &["pool", "kind"], "Runs that the API gave to this worker");
pub(super) const CLAIMS_REFUSED: Metric = counter(
    "worker_claims_refused_total",
    &["pool", "kind", "cause"],
    "Runs that were offered and not taken; a run that is offered again counts again",
);
pub(super) const RUNS_ENDED: Metric = counter(
    "worker_runs_ended_total",
    &["pool", "kind", "outcome"],
    "Executions that are over and reported, by what this worker had to report; settled: the run's engine reported itself",
);
pub(super) const CRASHES: Metric =
    counter("worker_crashes_total", &["pool", "kind", "cause"], "Runs that this worker reported as crashed");
pub(super) const RERUNS: Metric = counter(
    "worker_reruns_total",
    &["pool", "kind", "cause"],
    "Runs that were put back to be executed again instead of being reported as crashed",
);
pub(super) const SUBMISSION: Metric = histogram(
    "worker_submission_seconds",
    &["pool", "kind"],
    "Time from the claim of a run to its infrastructure having been started, with its code if that is brought before",
);
pub(super) const START_DELAY: Metric = histogram(
    "worker_start_delay_seconds",
    &["pool", "kind"],
    "Time from when a run was due to its infrastructure having been started",
);
pub(super) const PULL_STEP: Metric = histogram(
    "worker_pull_step_seconds",
    &["step", "result"],
    "Time that a pull step took which the worker ran itself",
);
pub(super) const API_REQUESTS: Metric = counter(
    "worker_api_requests_total",
    &["call", "code"],
    "Requests to the Prefect API by HTTP status; code none: there was no answer",
);
pub(super) const API_SECONDS: Metric =
    histogram("worker_api_request_seconds", &[], "Time that a request to the Prefect API took");
pub(super) const STREAM_RESTARTS: Metric = counter(
    "worker_api_stream_restarts_total",
    &["pool", "stream"],
    "Websockets to the Prefect API that broke or could not be opened: the worker channel, and the events of cancellations",
);
pub(super) const WATCH_RESTARTS: Metric =
    counter("worker_watch_restarts_total", &["kind"], "Watches of infrastructure that broke and were begun again");
pub(super) const TRACE_SPANS: Metric = counter(
    "worker_trace_spans_total",
    &["result"],
    "Spans of traces, where traces are sent: exported, rejected by the collector, or dropped because it was away for too long",
);
pub(super) const REPAIRS: Metric = counter(
    "worker_repairs_total",
    &["what"],
    "What the comparison of journal, infrastructure and API every minute found and put right",
);
pub(super) const CLEANUPS: Metric = counter(
    "worker_cleanup_messages_total",
    &["result"],
    "Clean-ups that the API asked for on the worker channel: acknowledged, or released to somebody else",
);

pub(super) const CPU: Metric = counter("process_cpu_seconds_total", &[], "User and system CPU time spent in seconds");
pub(super) const RESIDENT: Metric = gauge("process_resident_memory_bytes", &[], "Resident memory size in bytes");
pub(super) const VIRTUAL: Metric = gauge("process_virtual_memory_bytes", &[], "Virtual memory size in bytes");
pub(super) const OPEN_FDS: Metric = gauge("process_open_fds", &[], "Number of open file descriptors");
pub(super) const MAX_FDS: Metric = gauge("process_max_fds", &[], "Maximum number of open file descriptors");
pub(super) const THREADS: Metric = gauge("process_threads", &[], "Number of OS threads");
pub(super) const START_TIME: Metric =
    gauge("process_start_time_seconds", &[], "Start time of the process since unix epoch in seconds");

/// All of them, in the order of the reference.
pub const METRICS: &[&Metric] = &[
    &RUNS,
    &SLOTS_USED,
    &SLOTS_LIMIT,
    &LATE_AGE,
    &POLL_AGE,
    &POOL_UP,
    &CLAIMS,
    &CLAIMS_REFUSED,
    &RUNS_ENDED,
    &CRASHES,
    &RERUNS,
    &SUBMISSION,
    &START_DELAY,
    &PULL_STEP,
    &API_REQUESTS,
    &API_SECONDS,
    &STREAM_RESTARTS,
    &WATCH_RESTARTS,
    &REPAIRS,
    &CLEANUPS,
    &TRACE_SPANS,
    &STATE,
    &LOOP_STALLED,
    &ADMISSION_HELD,
    &JOURNAL_BYTES,
    &BUILD_INFO,
    &CPU,
    &RESIDENT,
    &VIRTUAL,
    &OPEN_FDS,
    &MAX_FDS,
    &THREADS,
    &START_TIME,
];
