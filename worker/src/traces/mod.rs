//! OpenTelemetry traces of the way of runs.
//!
//! One trace for each execution, or a part of the one that the run belongs to already: a span `run`, and below it one for each
//! phase that the run machine was in. Where no traces are sent there is nothing of this but an empty handle. Why it is like this:
//! `docs/decisions/0025-spans-are-the-phases-of-a-run.md`.

mod opening;
mod run_trace;
mod written;

use std::sync::Arc;

use central_api_wire::flow_run::FlowRun;
use otlp::SpanSender;
use serde_json::Value;

pub use opening::{TracesPlan, exporter, open};
pub use run_trace::RunTrace;
pub use written::WrittenTrace;

/// The label in which Prefect keeps the `traceparent` of a run.
pub const LABEL: &str = "__OTEL_TRACEPARENT";

/// Where traces go; by default nowhere. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Sending>);

#[derive(Clone, Debug)]
struct Sending {
    spans: SpanSender,
    /// The API that runs are of, if it has a name.
    workspace: Option<Arc<str>>,
}

/// What is known of a run from the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Traced<'r> {
    /// The run.
    pub flow_run: &'r FlowRun,
    /// The pool that offered it.
    pub pool: &'r str,
    /// The kind of infrastructure.
    pub kind: &'r str,
    /// The name of the worker that takes it.
    pub worker: &'r str,
}

impl Traces {
    /// Through this queue.
    pub const fn through(spans: SpanSender) -> Self {
        Self(Some(Sending { spans, workspace: None }))
    }

    /// The same, for runs of an API with this name.
    #[must_use]
    pub fn of_workspace(&self, name: Option<&str>) -> Self {
        Self(self.0.clone().map(|sending| Sending { workspace: name.map(Arc::from), ..sending }))
    }

    /// A run is about to be claimed.
    pub fn begin(&self, run: Traced<'_>) -> RunTrace {
        let Some(sending) = &self.0 else { return RunTrace::default() };
        RunTrace::begin(sending.clone(), run, traceparent(run.flow_run))
    }

    /// Goes on with the trace of a run that an earlier process took, or was about to: `is_ours` is which. If that process made no
    /// trace, it begins here.
    pub fn resume(&self, run: Traced<'_>, written: Option<&WrittenTrace>, is_ours: bool) -> RunTrace {
        let Some(sending) = &self.0 else { return RunTrace::default() };
        match written {
            Some(written) => RunTrace::resume(sending.clone(), run, written, is_ours),
            None => self.begin(run),
        }
    }
}

fn traceparent(run: &FlowRun) -> Option<&str> {
    run.labels.as_ref()?.get(LABEL).and_then(Value::as_str)
}
