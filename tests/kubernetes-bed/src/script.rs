//! What a simulated pod is to do.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// The annotation of a pod with its script, a JSON list of steps; without it the pod succeeds at once. The steps:
///
/// * `{"run": {"for_ms": 500, "exit_code": 0, "reason": "Completed", "message": "..."}}`: the containers run and end. After
///   the last one the pod has succeeded or failed; after others the containers start again and their count of restarts grows.
/// * `{"oom": {"for_ms": 500}}`: the same for containers that are killed because of their memory.
/// * `{"waiting": {"for_ms": 500, "reason": "ImagePullBackOff", "message": "..."}}`: they wait. Without `for_ms` for good, if
///   it is the last step.
/// * `{"evict": {"reason": "Evicted", "message": "..."}}`: the pod has failed by itself.
/// * `{"status": {...}}`: is merged into the pod's status as it is.
/// * `{"hang": {}}`: the containers run until somebody deletes the pod.
pub const SCRIPT: &str = "kubernetes-bed/script";

/// The annotation of a pod with what it does when somebody deletes it: `{"for_ms": 0, "exit_code": 143}`. What takes longer
/// than the pod's grace period is killed, as is all with a grace period below two seconds.
pub const ON_DELETE: &str = "kubernetes-bed/on-delete";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Step {
    Run(Run),
    Oom(Oom),
    Waiting(Waiting),
    Evict(Evict),
    Status(Value),
    Hang {},
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) for_ms: u64,
    pub(crate) exit_code: i32,
    pub(crate) reason: Option<String>,
    pub(crate) message: Option<String>,
}

impl Run {
    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(if self.exit_code == 0 { "Completed" } else { "Error" })
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Oom {
    pub(crate) for_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Waiting {
    pub(crate) for_ms: u64,
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { for_ms: 0, reason: "ContainerCreating".to_owned(), message: None }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Evict {
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
}

impl Default for Evict {
    fn default() -> Self {
        Self { reason: "Evicted".to_owned(), message: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OnDelete {
    for_ms: u64,
    exit_code: i32,
}

impl Default for OnDelete {
    fn default() -> Self {
        Self { for_ms: 0, exit_code: 143 }
    }
}

impl OnDelete {
    /// How long the containers go on and how they end within a grace period.
    pub(crate) fn within(self, grace_seconds: u64) -> (Duration, i32) {
        const KILLED: i32 = 137;
        let (wish, grace) = (Duration::from_millis(self.for_ms), Duration::from_secs(grace_seconds));
        if wish > grace || grace_seconds < 2 { (wish.min(grace), KILLED) } else { (wish, self.exit_code) }
    }
}
