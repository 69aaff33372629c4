//! Keys of the labels that every piece of infrastructure gets, as Prefect spells them.

/// Id of the flow run.
pub const FLOW_RUN_ID: &str = "prefect.io/flow-run-id";
/// Name of the flow run.
pub const FLOW_RUN_NAME: &str = "prefect.io/flow-run-name";
/// Version of the client.
pub const VERSION: &str = "prefect.io/version";
/// Name of the work pool.
pub const WORK_POOL_NAME: &str = "prefect.io/work-pool-name";
/// Id of the work pool.
pub const WORK_POOL_ID: &str = "prefect.io/work-pool-id";
/// Name of the worker.
pub const WORKER_NAME: &str = "prefect.io/worker-name";
/// Id of the flow.
pub const FLOW_ID: &str = "prefect.io/flow-id";
/// Name of the flow.
pub const FLOW_NAME: &str = "prefect.io/flow-name";
/// Id of the deployment.
pub const DEPLOYMENT_ID: &str = "prefect.io/deployment-id";
/// Name of the deployment.
pub const DEPLOYMENT_NAME: &str = "prefect.io/deployment-name";
/// When the deployment was last updated, ISO 8601 in UTC.
pub const DEPLOYMENT_UPDATED: &str = "prefect.io/deployment-updated";
