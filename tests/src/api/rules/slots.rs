//! The slots of a deployment: taken by the claim, checked at the start, given back at the end.

use central_api_wire::state::StateType;

use super::decision::{DeploymentSlots, Draft, LeaseChange};
use super::transition::{LEASE_DETAIL, Transition, lease_of};
use crate::api::model::Collision;
use crate::api::version::Version;

const FULL: &str = "Deployment concurrency limit reached.";

/// Workers send null for the lease; it stays with the run all the same. Before 3.6.24 null meant that it was lost, and
/// only a proposal without the field kept it.
pub(super) fn preserve_lease(transition: &mut Transition<'_>) {
    let keeps_null = transition.limits.ruleset.keeps_lease;
    let (Some(lease), Some(to)) = (transition.from.and_then(lease_of), transition.to.as_mut()) else { return };
    let kept = match to.details.other.get(LEASE_DETAIL) {
        None => true,
        Some(proposed) => proposed.is_null() && keeps_null,
    };
    if kept {
        to.details.other.insert(LEASE_DETAIL.to_owned(), lease.clone());
    }
}

/// A claim takes a slot. Runs that come from a state that holds one already do not take another.
pub(super) fn take_slot(transition: &mut Transition<'_>) {
    let Some((from, StateType::Pending)) = transition.types() else { return };
    if matches!(from, StateType::Pending | StateType::Running | StateType::Cancelling)
        || transition.proposal.client.is_some_and(Version::counts_deployment_concurrency)
    {
        return;
    }
    match transition.limits.deployment {
        DeploymentSlots::Unlimited => {}
        DeploymentSlots::DeploymentDeleted => transition.abort("Deployment not found."),
        DeploymentSlots::Limited { limit: 0, .. } => {
            transition.abort("The deployment concurrency limit is 0. The flow will deadlock if submitted again.");
        }
        DeploymentSlots::Limited { limit, taken, .. } if taken < limit => transition.lease = LeaseChange::Acquire,
        DeploymentSlots::Limited { collision: Collision::Enqueue, .. } => {
            let due = transition.now + transition.limits.ruleset.slot_wait;
            transition.replace(Draft::scheduled("AwaitingConcurrencySlot", due), FULL);
        }
        DeploymentSlots::Limited { collision: Collision::CancelNew, .. } => {
            transition.replace(Draft::new(StateType::Cancelled).with_message(FULL), FULL);
        }
    }
}

/// Infrastructure that took longer than the lease may have lost its slot to another run.
pub(super) fn check_lease_at_start(transition: &mut Transition<'_>) {
    let Some((StateType::Pending, to)) = transition.types() else { return };
    let starts = *to == StateType::Running;
    if !starts && *to != StateType::Cancelling {
        return;
    }
    let Some(lease) = transition.from.and_then(lease_of) else { return };
    if !transition.proposal.client.is_some_and(Version::renews_leases) {
        transition.lease = LeaseChange::HoldForever;
        return;
    }
    let DeploymentSlots::Limited { limit, taken, lease_alive, .. } = transition.limits.deployment else { return };
    if !starts {
        return;
    }
    if lease_alive {
        transition.lease = LeaseChange::Renew;
        if let Some(to) = transition.to.as_mut() {
            to.details.other.insert(LEASE_DETAIL.to_owned(), lease.clone());
        }
    } else if taken < limit {
        transition.lease = LeaseChange::Acquire;
    } else {
        let lost = "Deployment concurrency slot lost during provisioning - no slots available to continue execution";
        transition.replace(
            Draft::new(StateType::Cancelled).with_message(lost),
            "Deployment concurrency limit reached after lease expiry.",
        );
    }
}

/// A run that stops being Pending, Running or Cancelling gives its slot back. Runs last, on what is really stored.
pub(super) fn release_slot(transition: &mut Transition<'_>) {
    let holds = |state: &StateType| matches!(state, StateType::Pending | StateType::Running | StateType::Cancelling);
    if let Some((from, to)) = transition.types()
        && holds(from)
        && !holds(to)
    {
        transition.lease = LeaseChange::Release;
    }
}
