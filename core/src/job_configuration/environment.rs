//! Names of the environment variables by which the engine inside the infrastructure learns what it runs, as Prefect
//! spells them.

/// Id of the flow run: what the engine executes.
pub const FLOW_RUN_ID: &str = "PREFECT__FLOW_RUN_ID";
/// Id of the worker, where the server gives it one.
pub const WORKER_ID: &str = "PREFECT__WORKER_ID";
/// Name of the worker.
pub const WORKER_NAME: &str = "PREFECT__WORKER_NAME";
/// Id of the flow.
pub const FLOW_ID: &str = "PREFECT__FLOW_ID";
/// Name of the flow.
pub const FLOW_NAME: &str = "PREFECT__FLOW_NAME";
/// Id of the deployment.
pub const DEPLOYMENT_ID: &str = "PREFECT__DEPLOYMENT_ID";
/// Name of the deployment.
pub const DEPLOYMENT_NAME: &str = "PREFECT__DEPLOYMENT_NAME";
