//! Clean-ups that the server hands over on the worker channel: infrastructure whose cancellation nobody finished in time.
//!
//! A message is lent for some seconds. Whoever handles it prolongs that, and in the end says that it is done or gives it
//! back with a reason. States are never set here: the server has decided on them before.

mod desk;
mod judgement;
mod line;
mod wording;

use std::collections::HashSet;

use central_api_wire::channel::{CLEANUP_CANCELLING_TIMEOUT, CleanupMessage, Frame};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::mpsc;

pub use desk::TeardownDesk;
use judgement::{Conclusion, Reason};
use line::Line;
use wording::Target;
pub(super) use wording::{CAPACITY, KINDS, OperationResult};

/// The clean-ups of one connection. With the connection they end: the server hands them out again.
pub(super) struct Teardowns<'d> {
    desk: &'d TeardownDesk,
    line: Line,
    outgoing: mpsc::Receiver<Frame>,
    handlers: FuturesUnordered<BoxFuture<'d, Handled>>,
    /// Tokens of what is being handled or given back.
    known: HashSet<String>,
    /// How many are being handled.
    busy: u32,
}

/// What a handler yields in the end.
struct Handled {
    token: String,
    was_work: bool,
}

impl<'d> Teardowns<'d> {
    pub(super) fn new(desk: &'d TeardownDesk) -> Self {
        let (line, outgoing) = Line::new(desk.metrics.clone());
        let (handlers, known) = (FuturesUnordered::new(), HashSet::new());
        Self { desk, line, outgoing, handlers, known, busy: 0 }
    }

    /// The server handed over a message. One that is known already, or whose time is over, is not looked at.
    pub(super) fn delivered(&mut self, message: CleanupMessage) {
        let token = message.reservation_token.clone();
        if message.lease_expires_at <= Timestamp::now() || !self.known.insert(token.clone()) {
            return;
        }
        let (desk, line) = (self.desk, self.line.clone());
        match self.accepted(&message) {
            Ok(target) => {
                self.busy += 1;
                tracing::debug!(run = %target.flow_run_id, "the server asks for a clean-up");
                self.handlers.push(Box::pin(async move {
                    line.handle(&message, desk.tear_down(&target)).await;
                    Handled { token, was_work: true }
                }));
            }
            Err(reason) => self.handlers.push(Box::pin(async move {
                line.conclude(&message, Conclusion::Release(reason)).await;
                Handled { token, was_work: false }
            })),
        }
    }

    fn accepted(&self, message: &CleanupMessage) -> Result<Target, Reason> {
        if message.kind != CLEANUP_CANCELLING_TIMEOUT {
            return Err(Reason::UnsupportedCleanupKind);
        }
        let target = Target::read(&message.target).ok_or(Reason::UnexpectedPayloadKind)?;
        if self.busy >= CAPACITY { Err(Reason::ConcurrencyLimitReached) } else { Ok(target) }
    }

    /// The server answered what was said about a message.
    pub(super) fn answered(&self, result: OperationResult) {
        self.line.answered(result);
    }

    /// Carries the handlers on until there is something to send. Cancel safe.
    pub(super) async fn next_frame(&mut self) -> Frame {
        loop {
            tokio::select! {
                Some(frame) = self.outgoing.recv() => return frame,
                Some(handled) = self.handlers.next() => {
                    self.known.remove(&handled.token);
                    self.busy -= u32::from(handled.was_work);
                }
            }
        }
    }
}
