//! Flows, variables and log lines.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;
use worker_core::ids::FlowId;

use super::{StoreError, Tables};
use crate::api::model::{FlowRow, LogRow, VariableRow};

impl Tables {
    /// Makes a flow, or finds it; tells whether it is new.
    pub(crate) fn create_flow(
        &mut self,
        name: &str,
        tags: Vec<String>,
        labels: Map<String, Value>,
        now: Timestamp,
    ) -> (FlowId, bool) {
        if let Some(flow) = self.flows.values().find(|flow| flow.name == name) {
            return (flow.id, false);
        }
        let id = FlowId(Uuid::new_v4());
        self.flows.insert(id, FlowRow { id, created: now, name: name.to_owned(), tags, labels });
        (id, true)
    }

    /// Deletes a flow with its deployments and runs.
    pub(crate) fn delete_flow(&mut self, id: FlowId) -> Result<(), StoreError> {
        self.flows.remove(&id).ok_or(StoreError::FlowNotFound)?;
        self.deployments.retain(|_, row| row.flow_id != id);
        self.runs.retain(|_, run| run.flow_id != id);
        let runs = &self.runs;
        self.leases.retain(|lease| runs.contains_key(&lease.run_id));
        Ok(())
    }

    pub(crate) fn add_logs(&mut self, lines: Vec<LogRow>) {
        self.logs.extend(lines);
    }

    /// A variable.
    pub fn variable(&self, name: &str) -> Result<&VariableRow, StoreError> {
        self.variables.get(name).ok_or(StoreError::VariableNotFound)
    }

    pub(crate) fn create_variable(&mut self, row: VariableRow) -> Result<(), StoreError> {
        if self.variables.contains_key(&row.name) {
            return Err(StoreError::VariableExists(row.name));
        }
        self.variables.insert(row.name.clone(), row);
        Ok(())
    }

    pub(crate) fn delete_variable(&mut self, name: &str) -> Result<(), StoreError> {
        self.variables.remove(name).map(|_| ()).ok_or(StoreError::VariableNotFound)
    }
}
