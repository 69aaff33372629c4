//! The trace of one execution.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use otlp::{Span, SpanContext, SpanEvent, SpanId, SpanKind, Value};
use worker_core::exit::Exit;
use worker_core::machine::{Input, Phase};

use super::written::WrittenTrace;
use super::{Sending, Traced};

/// A run that waits for hours is looked for again and again: so many events of a span are kept.
const MOST_EVENTS: usize = 64;

/// The trace of one execution, or nothing where none is made. Clones share it.
#[derive(Clone, Default)]
pub struct RunTrace(Option<Arc<Mutex<Live>>>);

struct Live {
    sending: Sending,
    /// The whole execution.
    run: Span,
    /// The phase that it is in.
    phase: Option<Span>,
    /// Spans that are told only if the run turns out to be ours.
    withheld: Vec<Span>,
    is_ours: bool,
    /// The run belongs to a trace that somebody else began.
    has_traceparent: bool,
}

impl fmt::Debug for RunTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunTrace").field(&self.0.is_some()).finish()
    }
}

impl RunTrace {
    pub(super) fn begin(sending: Sending, run: Traced<'_>, traceparent: Option<&str>) -> Self {
        let above = traceparent.and_then(|text| text.parse::<SpanContext>().ok());
        let context = above.map_or_else(SpanContext::new_trace, SpanContext::child);
        let span = run_span(context, above.map(|above| above.span), SystemTime::now(), run, &sending);
        Self::of(sending, span, false, above.is_some())
    }

    pub(super) fn resume(sending: Sending, run: Traced<'_>, written: &WrittenTrace, is_ours: bool) -> Self {
        let Ok((context, parent, since)) = written.read() else { return Self::begin(sending, run, None) };
        let span = run_span(context, parent, since.into(), run, &sending);
        // Its label was set by whoever wrote this down.
        Self::of(sending, span, is_ours, true)
    }

    fn of(sending: Sending, run: Span, is_ours: bool, has_traceparent: bool) -> Self {
        let live = Live { sending, run, phase: None, withheld: Vec::new(), is_ours, has_traceparent };
        Self(Some(Arc::new(Mutex::new(live))))
    }

    fn live(&self) -> Option<MutexGuard<'_, Live>> {
        self.0.as_ref().map(|live| live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The `traceparent` that the run is to be given, so that what its engine does is part of the trace; none if it has one.
    pub fn to_hand_on(&self) -> Option<String> {
        let live = self.live()?;
        (!live.has_traceparent).then(|| live.run.context.to_string())
    }

    /// What the journal is to keep.
    pub fn written(&self) -> Option<WrittenTrace> {
        let live = self.live()?;
        let since = Timestamp::try_from(live.run.start).ok()?;
        Some(WrittenTrace::of(live.run.context, live.run.parent, since))
    }

    /// The run is of this deployment.
    pub fn is_of_deployment(&self, name: &str) {
        if let Some(mut live) = self.live() {
            live.run.attributes.push(("prefect.deployment.name", name.into()));
        }
    }

    /// A decision about the run was noted.
    pub fn noted(&self, text: &str) {
        if let Some(mut live) = self.live() {
            let span = live.now();
            if span.events.len() < MOST_EVENTS {
                let attributes = vec![("message", text.into())];
                span.events.push(SpanEvent { at: SystemTime::now(), name: "note", attributes });
            } else {
                span.events_left_out += 1;
            }
        }
    }

    /// What the run machine is about to take in. What it says of the phase so far belongs there.
    pub fn heard(&self, input: &Input) {
        let Some(mut live) = self.live() else { return };
        match input {
            Input::SubmitFailed(why) | Input::PolicyRefused(why) | Input::LaunchUnclear(why) => {
                live.now().error = Some(why.clone());
            }
            Input::Gone => live.now().error = Some("the infrastructure is gone".to_owned()),
            Input::Exited(report) => {
                live.now().attributes.extend(exit(report.exit));
                live.run.attributes.extend(exit(report.exit));
                if !report.exit.is_success() && report.concluded.is_none() {
                    let detail = report.detail.clone();
                    live.now().error = Some(detail.unwrap_or_else(|| format!("ended with {:?}", report.exit)));
                }
            }
            Input::Launched(handle) | Input::Located(Some(handle)) => {
                live.run.attributes.push(("worker.infrastructure.id", handle.infra_id.0.as_str().into()));
            }
            Input::Claimed => live.is_ours = true,
            Input::Refused
            | Input::FoundCancelled
            | Input::Prepared(_)
            | Input::Announced
            | Input::Located(None)
            | Input::FoundRunning
            | Input::Killed
            | Input::KillUnsupported
            | Input::Stop(_)
            | Input::StopNow
            | Input::Withdraw
            | Input::Detach
            | Input::ReportSettled
            | Input::CleanedUp => {}
        }
    }

    /// The run is in this phase now.
    pub fn is_at(&self, phase: &Phase) {
        let Some(mut live) = self.live() else { return };
        let Some(name) = name(phase) else { return live.end() };
        if live.phase.as_ref().is_some_and(|span| span.name == name) {
            return;
        }
        live.end_phase(SystemTime::now());
        live.phase = Some(live.child(name, SystemTime::now()));
    }

    /// A pull step that the worker ran has ended.
    pub fn pulled(&self, step: &str, took: Duration, is_done: bool) {
        let Some(mut live) = self.live() else { return };
        let now = SystemTime::now();
        let mut span = live.child("pull", now.checked_sub(took).unwrap_or(now));
        span.parent = Some(live.now().context.span);
        span.end = now;
        span.attributes.push(("worker.pull_step", step.into()));
        span.error = (!is_done).then(|| "the step failed".to_owned());
        live.tell(span);
    }

    /// What the whole came to, in the words of the metrics.
    pub fn came_to(&self, outcome: &'static str, cause: Option<&'static str>) {
        if let Some(mut live) = self.live() {
            live.run.attributes.push(("worker.outcome", outcome.into()));
            live.run.attributes.extend(cause.map(|cause| ("error.type", cause.into())));
        }
    }

    /// The run did not succeed, and this is what its state says of it.
    pub fn failed(&self, message: &str) {
        if let Some(mut live) = self.live() {
            live.run.error = Some(message.to_owned());
        }
    }

    /// The run goes on without this process. The next one ends the span of the run.
    pub fn left(&self) {
        if let Some(mut live) = self.live() {
            if let Some(phase) = &mut live.phase {
                phase.attributes.push(("worker.left", true.into()));
            }
            live.end_phase(SystemTime::now());
        }
    }
}

impl Live {
    /// The span that what happens now belongs to.
    fn now(&mut self) -> &mut Span {
        self.phase.as_mut().unwrap_or(&mut self.run)
    }

    fn child(&self, name: &'static str, start: SystemTime) -> Span {
        Span {
            context: self.run.context.child(),
            parent: Some(self.run.context.span),
            has_remote_parent: false,
            name,
            kind: SpanKind::Internal,
            start,
            end: start,
            attributes: Vec::new(),
            events: Vec::new(),
            events_left_out: 0,
            error: None,
        }
    }

    fn end_phase(&mut self, at: SystemTime) {
        if let Some(mut span) = self.phase.take() {
            span.end = at;
            self.tell(span);
        }
    }

    /// Of a run that another worker got there is nothing to tell.
    fn tell(&mut self, span: Span) {
        self.withheld.push(span);
        if self.is_ours {
            self.withheld.drain(..).for_each(|span| self.sending.spans.send(span));
        }
    }

    fn end(&mut self) {
        let now = SystemTime::now();
        self.end_phase(now);
        self.run.end = now;
        self.tell(self.run.clone());
    }
}

/// One word for each phase. None when there is nothing left to do.
const fn name(phase: &Phase) -> Option<&'static str> {
    Some(match phase {
        Phase::Claiming => "claim",
        Phase::Preparing => "prepare",
        Phase::Announcing => "announce",
        Phase::Launching => "launch",
        Phase::Running(_) => "execute",
        Phase::Stopping(_) => "stop",
        Phase::Reporting(..) => "report",
        Phase::CleaningUp(_) => "cleanup",
        Phase::Done => return None,
    })
}

/// The names of OpenTelemetry and of Prefect's own spans where there are such, else ours.
fn run_span(
    context: SpanContext,
    parent: Option<SpanId>,
    start: SystemTime,
    run: Traced<'_>,
    sending: &Sending,
) -> Span {
    let Traced { flow_run, pool, kind, worker } = run;
    let mut attributes = vec![
        ("prefect.run.id", flow_run.id.to_string().into()),
        ("prefect.run.name", flow_run.name.as_str().into()),
        ("prefect.run.type", "flow".into()),
        ("prefect.flow.id", flow_run.flow_id.to_string().into()),
        ("prefect.work_pool.name", pool.into()),
        ("prefect.work_pool.type", kind.into()),
        ("prefect.worker.name", worker.into()),
    ];
    attributes.extend(flow_run.deployment_id.map(|id| ("prefect.deployment.id", id.to_string().into())));
    attributes.extend(sending.workspace.as_deref().map(|name| ("worker.workspace", name.into())));
    Span {
        context,
        parent,
        has_remote_parent: parent.is_some(),
        name: "run",
        kind: SpanKind::Consumer,
        start,
        end: start,
        attributes,
        events: Vec::new(),
        events_left_out: 0,
        error: None,
    }
}

fn exit(exit: Exit) -> [(&'static str, Value); 1] {
    match exit {
        Exit::Code(code) => [("process.exit.code", i64::from(code).into())],
        Exit::Signal(signal) => [("worker.exit.signal", i64::from(signal).into())],
        Exit::OutOfMemory => [("worker.exit", "out_of_memory".into())],
        Exit::Evicted => [("worker.exit", "evicted".into())],
        Exit::NodeLost => [("worker.exit", "node_lost".into())],
        Exit::NeverStarted => [("worker.exit", "never_started".into())],
        Exit::Vanished => [("worker.exit", "vanished".into())],
    }
}
