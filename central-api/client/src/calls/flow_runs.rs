//! Flow runs, and what they are made from.

use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::{Flow, FlowRun, FlowRunUpdate, FlowRunsFilterRequest, LabelsUpdate};
use central_api_wire::state::State;
use http::Method;
use worker_core::ids::{DeploymentId, FlowId, RunId};

use super::{json, nothing};
use crate::undecodable::readable_rows;
use crate::{ApiError, CallKind, Client};

impl Client {
    /// A flow run. [`CallKind::Read`]. `GET /flow_runs/{id}`.
    pub async fn flow_run(&self, id: RunId) -> Result<FlowRun, ApiError> {
        let id = id.to_string();
        let call = self.call(CallKind::Read, Method::GET, "read a flow run", &["flow_runs", &id]);
        self.exchange(call, json).await
    }

    /// The states that a flow run has had, oldest first. [`CallKind::Read`]. `GET /flow_run_states/?flow_run_id={id}`.
    pub async fn flow_run_states(&self, id: RunId) -> Result<Vec<State>, ApiError> {
        let call = self.call(CallKind::Read, Method::GET, "read a flow run's states", &["flow_run_states", ""]);
        let mut states: Vec<State> = self.exchange(call.query("flow_run_id", &id.to_string()), json).await?;
        states.sort_by_key(|state| state.timestamp);
        Ok(states)
    }

    /// A flow. [`CallKind::Read`]. `GET /flows/{id}`.
    pub async fn flow(&self, id: FlowId) -> Result<Flow, ApiError> {
        let id = id.to_string();
        let call = self.call(CallKind::Read, Method::GET, "read a flow", &["flows", &id]);
        self.exchange(call, json).await
    }

    /// A deployment. [`CallKind::Read`]. `GET /deployments/{id}`.
    pub async fn deployment(&self, id: DeploymentId) -> Result<Deployment, ApiError> {
        let id = id.to_string();
        let call = self.call(CallKind::Read, Method::GET, "read a deployment", &["deployments", &id]);
        self.exchange(call, json).await
    }

    /// The deployment of a flow by their names. [`CallKind::Read`]. `GET /deployments/name/{flow_name}/{deployment_name}`.
    pub async fn deployment_by_name(&self, flow: &str, name: &str) -> Result<Deployment, ApiError> {
        let call = self.call(CallKind::Read, Method::GET, "read a deployment", &["deployments", "name", flow, name]);
        self.exchange(call, json).await
    }

    /// The flow runs that pass a filter. One that cannot be decoded is left out with one warning. [`CallKind::Read`].
    /// `POST /flow_runs/filter`.
    pub async fn flow_runs(&self, request: &FlowRunsFilterRequest) -> Result<Vec<FlowRun>, ApiError> {
        let call = self.call(CallKind::Read, Method::POST, "list flow runs", &["flow_runs", "filter"]);
        let name = call.name;
        self.exchange(call.json(request)?, |body| readable_rows(name, body, &self.shared.complaints)).await
    }

    /// Changes a flow run. [`CallKind::Claim`]. `PATCH /flow_runs/{id}`.
    pub async fn update_flow_run(&self, id: RunId, update: &FlowRunUpdate) -> Result<(), ApiError> {
        let id = id.to_string();
        let call = self.call(CallKind::Claim, Method::PATCH, "change a flow run", &["flow_runs", &id]);
        self.exchange(call.json(update)?, nothing).await
    }

    /// Merges labels into a run's. [`CallKind::Claim`]. `PATCH /flow_runs/{id}/labels`, which servers before 3.1.6 do not
    /// have: they answer 404, and nothing else depends on it.
    pub async fn update_labels(&self, id: RunId, labels: &LabelsUpdate) -> Result<(), ApiError> {
        let id = id.to_string();
        let call = self.call(CallKind::Claim, Method::PATCH, "label a flow run", &["flow_runs", &id, "labels"]);
        self.exchange(call.optional().json(labels)?, nothing).await
    }
}
