//! Which run is asked about, with all that the API says of it.

use super::{Client, Deployment, Flow, FlowRun, RenderError, WorkPool};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use worker_core::ids::{FlowId, RunId};

/// A run, or what a run of a deployment would be.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) pool: WorkPool,
    pub(crate) deployment: Option<Deployment>,
    pub(crate) flow: Flow,
    pub(crate) flow_run: FlowRun,
}

/// The name of a run that there is not.
const EXAMPLE: &str = "example-run";

/// Asks about the next run of a deployment. `pool` is another pool to ask for, if not the deployment's own.
///
/// # Errors
/// What could not be read.
pub(crate) async fn question_of_deployment(
    client: &Client,
    deployment: Deployment,
    pool: Option<&str>,
) -> Result<Question, RenderError> {
    let flow = flow(client, deployment.flow_id).await?;
    let pool = self::pool(client, pool, &[&deployment.other]).await?;
    let flow_run = serde_json::from_value(json!({
        "id": Uuid::nil(), "name": EXAMPLE, "flow_id": flow.id, "deployment_id": deployment.id,
    }));
    let flow_run = flow_run.map_err(|error| RenderError::Reference(format!("the example is no run: {error}")))?;
    Ok(Question { pool, deployment: Some(deployment), flow, flow_run })
}

/// Asks about a run.
///
/// # Errors
/// What could not be read.
pub(crate) async fn question_of_run(client: &Client, id: RunId, pool: Option<&str>) -> Result<Question, RenderError> {
    let flow_run = client.flow_run(id).await.map_err(|source| RenderError::Unreadable { what: "flow run", source })?;
    let deployment = match flow_run.deployment_id {
        None => None,
        Some(id) => {
            Some(client.deployment(id).await.map_err(|source| RenderError::Unreadable { what: "deployment", source })?)
        }
    };
    let flow = flow(client, flow_run.flow_id).await?;
    let of_deployment = deployment.as_ref().map(|deployment| &deployment.other);
    let places: Vec<_> = std::iter::once(&flow_run.other).chain(of_deployment).collect();
    let pool = self::pool(client, pool, &places).await?;
    Ok(Question { pool, deployment, flow, flow_run })
}

async fn flow(client: &Client, id: FlowId) -> Result<Flow, RenderError> {
    client.flow(id).await.map_err(|source| RenderError::Unreadable { what: "flow", source })
}

async fn pool(client: &Client, wanted: Option<&str>, of: &[&Map<String, Value>]) -> Result<WorkPool, RenderError> {
    let own = of.iter().find_map(|other| other.get("work_pool_name")?.as_str());
    let Some(name) = wanted.or(own) else {
        return Err(RenderError::Reference("it is in no work pool. Name one with --pool".to_owned()));
    };
    client.work_pool(name).await.map_err(|source| RenderError::Unreadable { what: "work pool", source })
}
