//! Identities. Each kind of id has a type of its own, so that a flow's id cannot be used as a run's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

uuid_ids! {
    /// A flow run at the API. It may be executed several times (retries, resumption): see [`LaunchKey`].
    RunId,
    /// A flow.
    FlowId,
    /// A deployment.
    DeploymentId,
    /// A work pool.
    WorkPoolId,
    /// A work queue.
    WorkQueueId,
    /// A stored state of a flow run.
    StateId,
    /// A proposed state transition; the server ignores the second proposal that carries the same one.
    TransitionId,
    /// A block document.
    BlockDocumentId,
    /// A worker, as the API knows it (Prefect Cloud only).
    WorkerId,
}

/// Identity of one execution of a run: made before the run is claimed, and the name under which the infrastructure of
/// this execution, and no other, is found again.
///
/// A run can be executed more than once under one id (a retry by rescheduling, a resumed run, a run that somebody set
/// back to Scheduled), so the id alone would make the second execution look like a repeat of the first. The claim's own
/// transition id tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaunchKey {
    /// The run.
    pub run: RunId,
    /// The transition that claimed this execution.
    pub claim: TransitionId,
}

impl LaunchKey {
    /// The id of a transition that this execution makes once, such as the report of its end: the same in every process
    /// that reports it, so that a repetition is recognised as one.
    #[must_use]
    pub fn transition(&self, of: &str) -> TransitionId {
        TransitionId(self.derived(of))
    }

    /// An id that belongs to this execution and this word.
    #[must_use]
    pub fn derived(&self, of: &str) -> Uuid {
        Uuid::new_v5(&self.claim.0, of.as_bytes())
    }
}

impl fmt::Display for LaunchKey {
    /// `<run id>-<8 hex digits of the claim>`: 45 characters, legal as a container name, Job name and folder name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = self.claim.0.as_fields().0;
        write!(f, "{}-{claim:08x}", self.run)
    }
}

/// What the backend calls a piece of infrastructure (a pid, a container id, `namespace:job`), as stored at the API in
/// `infrastructure_pid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InfraId(pub String);

impl fmt::Display for InfraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_key_is_short_enough_for_every_backend_and_differs_by_claim() {
        let run = RunId(Uuid::from_u128(7));
        let first = LaunchKey { run, claim: TransitionId(Uuid::from_u128(1 << 96)) };
        let second = LaunchKey { run, claim: TransitionId(Uuid::from_u128(2 << 96)) };
        assert_eq!(first.to_string(), "00000000-0000-0000-0000-000000000007-00000001");
        assert_ne!(first.to_string(), second.to_string());
    }

    #[test]
    fn a_transition_is_the_same_in_every_process_and_another_for_each_execution_and_word() {
        let run = RunId(Uuid::from_u128(7));
        let key = |claim| LaunchKey { run, claim: TransitionId(Uuid::from_u128(claim)) };
        assert_eq!(key(1).transition("crashed"), key(1).transition("crashed"));
        assert_ne!(key(1).transition("crashed"), key(2).transition("crashed"));
        assert_ne!(key(1).transition("crashed"), key(1).transition("completed"));
    }
}
