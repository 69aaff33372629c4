//! What all pools of a daemon share, whatever their API.

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::audit::AuditLog;
use crate::budget::Budget;
use crate::console::OutputSink;
use crate::live_runs::LiveRuns;
use crate::liveness::Liveness;
use crate::metrics::Metrics;
use crate::operator::Pools;
use crate::plan::CancellationPlan;
use crate::policy::PolicyInForce;
use crate::redaction::KnownSecrets;
use crate::timeline::Timelines;
use crate::traces::Traces;

/// What all pools of a daemon share. Of credentials only what is kept from being shown.
pub(super) struct Shared {
    /// All pools.
    pub(super) pools: Pools,
    /// All live runs.
    pub(super) live: LiveRuns,
    /// Their actors.
    pub(super) actors: TaskTracker,
    /// Where the output of flow processes goes.
    pub(super) output: OutputSink,
    /// What was done, for auditors.
    pub(super) audit: AuditLog,
    /// What runs may be.
    pub(super) policy: PolicyInForce,
    /// What is counted.
    pub(super) metrics: Metrics,
    /// What must not leave the process.
    pub(super) secrets: KnownSecrets,
    /// Where traces of runs go.
    pub(super) traces: Traces,
    /// Decisions.
    pub(super) timelines: Timelines,
    pub(super) cancellation: CancellationPlan,
    /// Set while the operator lets nothing new be taken.
    pub(super) cordoned: watch::Sender<bool>,
    /// All loops.
    pub(super) liveness: Liveness,
    /// How many runs all pools together may have.
    pub(super) budget: Budget,
    /// Whether this machine can bear more runs.
    pub(super) admission: Admission,
    /// Set once a pool is served, or from the beginning if that may take its time.
    pub(super) serves: watch::Sender<bool>,
}
