//! The slots of deployments, held by leases.

use central_api_wire::state::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;
use worker_core::ids::{DeploymentId, RunId};

use super::{StoreError, Tables};
use crate::api::model::{Collision, Lease, Run};
use crate::api::rules::{DeploymentSlots, Draft, LeaseChange, Limits};

const LEASE_DETAIL: &str = "deployment_concurrency_lease_id";

impl Tables {
    pub(super) fn limits(&self, run: &Run, now: Timestamp) -> Limits {
        Limits { deployment: self.slots_for(run, now), ruleset: self.ruleset }
    }

    fn slots_for(&self, run: &Run, now: Timestamp) -> DeploymentSlots {
        let Some(id) = run.deployment_id else { return DeploymentSlots::Unlimited };
        let Some(deployment) = self.deployments.get(&id) else { return DeploymentSlots::DeploymentDeleted };
        let Some(limit) = deployment.concurrency_limit else { return DeploymentSlots::Unlimited };
        let named = run.state().and_then(lease_of);
        let alive = self.leases.iter().any(|lease| Some(lease.id) == named && lease.is_alive(now));
        DeploymentSlots::Limited {
            limit,
            taken: self.taken_slots(id, now),
            collision: deployment.collision.unwrap_or(Collision::Enqueue),
            lease_alive: alive,
        }
    }

    /// How many slots of a deployment are held.
    pub fn taken_slots(&self, deployment: DeploymentId, now: Timestamp) -> u32 {
        let held = self.leases.iter().filter(|lease| lease.deployment_id == deployment && lease.is_alive(now));
        u32::try_from(held.count()).unwrap_or(u32::MAX)
    }

    /// Carries out what the rules decided about a run's slot.
    pub(super) fn change_lease(&mut self, run: RunId, change: LeaseChange, draft: Option<&mut Draft>, now: Timestamp) {
        let Some(deployment_id) = self.runs.get(&run).and_then(|run| run.deployment_id) else { return };
        let expires = now.saturating_add(self.grace_of(deployment_id)).ok();
        let of_run = self.leases.iter_mut().filter(|lease| lease.run_id == run);
        match change {
            LeaseChange::None => {}
            LeaseChange::Renew => of_run.for_each(|lease| lease.expires = expires),
            LeaseChange::HoldForever => of_run.for_each(|lease| lease.expires = None),
            LeaseChange::Release => self.leases.retain(|lease| lease.run_id != run),
            LeaseChange::Acquire => {
                let id = Uuid::new_v4();
                self.leases.retain(|lease| lease.run_id != run);
                self.leases.push(Lease { id, deployment_id, run_id: run, expires });
                if let Some(draft) = draft {
                    draft.details.other.insert(LEASE_DETAIL.to_owned(), Value::String(id.to_string()));
                }
            }
        }
    }

    fn grace_of(&self, deployment: DeploymentId) -> SignedDuration {
        let own = self.deployments.get(&deployment).and_then(|deployment| deployment.grace_period_seconds);
        let default = SignedDuration::try_from(self.deployment_grace).unwrap_or(SignedDuration::MAX);
        own.map_or(default, |seconds| SignedDuration::from_secs(seconds.into()))
    }

    /// Prolongs a lease, as the flow's process does.
    pub(crate) fn renew_lease(&mut self, id: Uuid, duration: SignedDuration, now: Timestamp) -> Result<(), StoreError> {
        let lease = self
            .leases
            .iter_mut()
            .find(|lease| lease.id == id && lease.is_alive(now))
            .ok_or(StoreError::LeaseNotFound)?;
        lease.expires = now.saturating_add(duration).ok();
        Ok(())
    }
}

fn lease_of(state: &State) -> Option<Uuid> {
    state.state_details.other.get(LEASE_DETAIL)?.as_str()?.parse().ok()
}
