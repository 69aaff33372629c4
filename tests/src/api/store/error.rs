//! Why the store refuses something.

use worker_core::ids::RunId;

/// A refusal of the store. The text is the server's own, as clients get to see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No pool of that name.
    #[error("Work pool {0:?} not found.")]
    PoolNotFound(String),
    /// No such queue in the pool.
    #[error("Work pool queue '{pool}/{queue}' not found.")]
    QueueNotFound {
        /// The pool.
        pool: String,
        /// The queue.
        queue: String,
    },
    /// A pool of that name is there already.
    #[error("A work pool with this name already exists.")]
    PoolExists,
    /// A queue of that name is there already.
    #[error("A work queue with this name already exists in work pool {0:?}.")]
    QueueExists(String),
    /// Names that begin with the product's are its own.
    #[error("Work pools starting with 'Prefect' are reserved for internal use.")]
    PoolNameReserved,
    /// No such flow.
    #[error("Flow not found")]
    FlowNotFound,
    /// No such deployment.
    #[error("Deployment not found")]
    DeploymentNotFound,
    /// No such run, where the layer of the web framework answers.
    #[error("Flow run not found")]
    RunNotFound,
    /// No such run, where the layer of the tables answers.
    #[error("Flow run with id {0} not found")]
    RunMissing(RunId),
    /// No such task run.
    #[error("Task not found")]
    TaskRunNotFound,
    /// No such block document.
    #[error("Block document not found")]
    BlockNotFound,
    /// No such block type.
    #[error("Block type not found")]
    BlockTypeNotFound,
    /// No such variable.
    #[error("Variable not found.")]
    VariableNotFound,
    /// A variable of that name is there already.
    #[error("A variable with the name '{0}' already exists.")]
    VariableExists(String),
    /// The lease is gone, and the slot with it.
    #[error("Lease not found - it may have expired or been revoked")]
    LeaseNotFound,
}
