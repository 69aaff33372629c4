//! Infrastructure of runs that somebody else launched: another worker, or this one before its records were lost.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use worker_core::ids::RunId;

use crate::{InfraError, Occurrence, Severity};

/// Watches infrastructure by what it is labelled with. It decides nothing: who hears it reads the run first.
#[async_trait]
pub trait InfraObserver: fmt::Debug + Send + Sync + 'static {
    /// What happens, from now on and with what is there already. Does not end; begins anew when it is asked for again.
    fn observations(&self) -> BoxStream<'static, Observed>;

    /// How many events that may have been told before are asked about at a time.
    fn asked_at_once(&self) -> usize;

    /// Whether anything of a run runs, waits or has succeeded, read from the backend itself.
    async fn has_other(&self, run: RunId) -> Result<bool, InfraError>;

    /// The last lines that ended infrastructure wrote, oldest first, as far as the backend still has them.
    async fn last_output(&self, infrastructure: &str) -> Result<Vec<OutputLine>, InfraError>;
}

/// Something that was seen of a run's infrastructure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The run, as the infrastructure is labelled.
    pub run: RunId,
    /// What was seen.
    pub observation: Observation,
}

/// What can be seen of infrastructure from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Something that the world is told by an event.
    Occurred {
        /// The event.
        occurrence: Occurrence,
        /// It was there when watching began, so somebody may have told it already.
        is_old: bool,
    },
    /// It exists and cannot run yet: the words for the run's own state.
    Waiting(String),
    /// Something the flow's author should know.
    Diagnosis {
        /// Whether the run may still get over it.
        severity: Severity,
        /// What is wrong and what to do about it.
        text: String,
    },
    /// It failed for good or was deleted.
    Ended {
        /// The backend's name for it.
        infrastructure: String,
        /// What happened, for the state of the run.
        message: String,
        /// Somebody may be about to report it who knows more: so long is waited for that.
        patience: Duration,
    },
}

/// A line that a run's infrastructure wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The line, without its end.
    pub text: String,
    /// When it was written.
    pub written: Timestamp,
}
