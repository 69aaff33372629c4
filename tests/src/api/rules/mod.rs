//! The orchestration rules: what becomes of a proposed state. Pure: no clock, no table, no HTTP.
//!
//! [`propose`] judges a proposal and [`apply`] carries the decision out on the run. Rules run in a fixed order on one
//! `Transition`; the first that refuses or replaces the proposal ends it.

mod booking;
mod cancelling;
mod claim;
mod decision;
mod pausing;
mod slots;
mod terminal;
mod timing;
mod transition;

pub use booking::{apply, store_unruled};
pub use decision::{Decision, DeploymentSlots, Draft, LeaseChange, Limits, PauseKey, Proposal, Ruleset, Verdict};
pub use pausing::resumption;

use jiff::Timestamp;
use transition::Transition;

use super::model::Run;

/// A rule: looks at the transition and may change it.
type Rule = fn(&mut Transition<'_>);

/// All rules, in order.
const RULES: [Rule; 14] = [
    slots::preserve_lease,
    claim::refuse_repeat,
    terminal::guard_ended_runs,
    cancelling::only_to_cancelled,
    cancelling::without_infrastructure,
    claim::guard_pending,
    slots::check_lease_at_start,
    slots::take_slot,
    timing::mark_late_once,
    pausing::guard_pause,
    pausing::guard_resumption,
    timing::copy_scheduled_time,
    timing::wait_for_scheduled_time,
    timing::retry_failed_run,
];

/// What is left of them for a forced proposal.
const FORCED_RULES: [Rule; 2] = [terminal::guard_result, cancelling::without_infrastructure];

/// Judges a proposed state of a run that has a state.
pub fn propose(run: &Run, proposal: &Proposal, now: Timestamp, limits: &Limits) -> Decision {
    let mut transition = Transition::new(run, proposal, now, limits);
    let rules: &[Rule] = if proposal.force { &FORCED_RULES } else { &RULES };
    for rule in rules {
        rule(&mut transition);
        if transition.is_settled() {
            break;
        }
    }
    slots::release_slot(&mut transition);
    transition.decide()
}

#[cfg(test)]
mod tests;
