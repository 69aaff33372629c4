//! What the API stores: plain data, read by the pure rules and shown by the HTTP layer.

mod block;
mod cleanup;
mod deployment;
mod flow;
mod policy;
mod run;
mod work_pool;

pub use block::BlockRow;
pub use cleanup::{Cleanup, CleanupOperation, CleanupProgress, CleanupRequest, Reservation};
pub use deployment::{Collision, DeploymentRow, Lease};
pub use flow::{FlowRow, LogRow, VariableRow};
pub use policy::{Policy, RetryType};
pub use run::Run;
pub use work_pool::{Pool, Queue, WorkerRow};

use jiff::Timestamp;

/// The time now, in the microseconds that the API keeps.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
