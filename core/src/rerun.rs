//! Whether a run that its infrastructure failed is executed once more.
//!
//! Opt-in, and only for ends that say nothing about the flow's own code.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::machine::CrashCause;

/// What took a run's infrastructure away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RerunCause {
    /// The backend gave its place to others (eviction, preemption).
    Preempted,
    /// It used more memory than there was.
    Oom,
    /// Its machine was restarted or is lost.
    NodeLost,
    /// It never started.
    SubmitFailed,
}

impl RerunCause {
    /// The cause of a word in the settings.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "preempted" => Self::Preempted,
            "oom" => Self::Oom,
            "node_lost" => Self::NodeLost,
            "submit_failed" => Self::SubmitFailed,
            _ => return None,
        })
    }

    /// The cause of a crash, if it is one after which a run may be executed again.
    pub const fn of(cause: &CrashCause) -> Option<Self> {
        match cause {
            CrashCause::Submit(_) => Some(Self::SubmitFailed),
            CrashCause::Exited(report) => match report.exit {
                Exit::OutOfMemory => Some(Self::Oom),
                Exit::Evicted => Some(Self::Preempted),
                Exit::NodeLost => Some(Self::NodeLost),
                Exit::NeverStarted => Some(Self::SubmitFailed),
                Exit::Code(_) | Exit::Signal(_) | Exit::Vanished => None,
            },
            CrashCause::Policy(_) | CrashCause::Gone | CrashCause::WorkerStopped(_) | CrashCause::Unobserved(_) => None,
        }
    }
}

/// After which crashes runs are executed again, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RerunPolicy {
    /// After these.
    pub on: BTreeSet<RerunCause>,
    /// So many times at most, for one run.
    pub most: u32,
}

impl RerunPolicy {
    /// Whether a crash is one of those, however often the run was executed again before.
    pub fn covers(&self, cause: &CrashCause) -> bool {
        self.most > 0 && RerunCause::of(cause).is_some_and(|cause| self.on.contains(&cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitReport;

    #[test]
    fn only_what_the_infrastructure_did_is_covered_and_only_if_asked_for() {
        let policy = RerunPolicy {
            on: BTreeSet::from([
                RerunCause::Preempted,
                RerunCause::Oom,
                RerunCause::NodeLost,
                RerunCause::SubmitFailed,
            ]),
            most: 1,
        };
        let exited = |exit| CrashCause::Exited(ExitReport::bare(exit));
        for (cause, covered) in [
            (exited(Exit::OutOfMemory), true),
            (exited(Exit::Evicted), true),
            (exited(Exit::NodeLost), true),
            (CrashCause::Submit("no room".to_owned()), true),
            (CrashCause::Policy("no".to_owned()), false),
            (exited(Exit::Code(1)), false),
            (exited(Exit::Signal(11)), false),
            (exited(Exit::Vanished), false),
            (CrashCause::WorkerStopped(None), false),
        ] {
            assert_eq!(policy.covers(&cause), covered, "{cause:?}");
            assert!(!RerunPolicy::default().covers(&cause));
            assert!(!RerunPolicy { most: 0, ..policy.clone() }.covers(&cause));
        }
    }
}
