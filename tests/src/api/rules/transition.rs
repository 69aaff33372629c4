//! The working state of one judgement.

use central_api_wire::state::{State, StateType};
use jiff::Timestamp;
use serde_json::Value;

use super::decision::{Decision, Draft, LeaseChange, Limits, PauseKey, Proposal, Verdict};
use crate::api::model::{Policy, Run};

/// Detail that names the lease of the deployment's slot.
pub(super) const LEASE_DETAIL: &str = "deployment_concurrency_lease_id";

/// A proposal on its way through the rules.
pub(super) struct Transition<'a> {
    /// The run.
    pub(super) run: &'a Run,
    /// Its state.
    pub(super) from: Option<&'a State>,
    /// What was asked for.
    pub(super) proposal: &'a Proposal,
    /// When.
    pub(super) now: Timestamp,
    /// The world around.
    pub(super) limits: &'a Limits,
    /// What would be stored as things stand; none once refused.
    pub(super) to: Option<Draft>,
    /// The run's policy as things stand.
    pub(super) policy: Policy,
    /// Its slot as things stand.
    pub(super) lease: LeaseChange,
    /// A pause that fires.
    pub(super) pauses: Option<PauseKey>,
    /// Whether the run leaves a pause.
    pub(super) resumes: bool,
    verdict: Verdict,
}

impl<'a> Transition<'a> {
    pub(super) fn new(run: &'a Run, proposal: &'a Proposal, now: Timestamp, limits: &'a Limits) -> Self {
        Self {
            run,
            from: run.state(),
            proposal,
            now,
            limits,
            to: Some(Draft::from(&proposal.state)),
            policy: run.policy.clone(),
            lease: LeaseChange::None,
            pauses: None,
            resumes: false,
            verdict: Verdict::Accept,
        }
    }

    /// Both ends by type, while there is something to store.
    pub(super) fn types(&self) -> Option<(&'a StateType, &StateType)> {
        Some((&self.from?.state_type, &self.to.as_ref()?.state_type))
    }

    /// The name of what would be stored.
    pub(super) fn to_name(&self) -> &str {
        self.to.as_ref().map_or("", |draft| &draft.name)
    }

    /// Whether a rule has refused or replaced the proposal.
    pub(super) fn is_settled(&self) -> bool {
        self.verdict != Verdict::Accept
    }

    /// Stores nothing and answers with the present state.
    pub(super) fn refuse(&mut self, reason: impl Into<String>) {
        self.settle(None, Verdict::Reject { reason: reason.into() });
    }

    /// Stores something else.
    pub(super) fn replace(&mut self, draft: Draft, reason: impl Into<String>) {
        self.settle(Some(draft), Verdict::Reject { reason: reason.into() });
    }

    /// Stores nothing and tells the proposer to give up.
    pub(super) fn abort(&mut self, reason: impl Into<String>) {
        self.settle(None, Verdict::Abort { reason: reason.into() });
    }

    /// Stores nothing and tells the proposer to ask again. It asked while it held its slot, so that is prolonged.
    pub(super) fn wait(&mut self, delay_seconds: i64, reason: &str) {
        let renewed = self.lease == LeaseChange::Renew;
        self.settle(None, Verdict::Wait { delay_seconds, reason: reason.to_owned() });
        if renewed {
            self.lease = LeaseChange::Renew;
        }
    }

    /// What earlier rules did on behalf of the proposal is undone with it.
    fn settle(&mut self, to: Option<Draft>, verdict: Verdict) {
        self.to = to;
        self.verdict = verdict;
        self.policy = self.run.policy.clone();
        self.lease = LeaseChange::None;
    }

    pub(super) fn decide(self) -> Decision {
        Decision {
            verdict: self.verdict,
            stored: self.to,
            policy: self.policy,
            lease: self.lease,
            pauses: self.pauses,
            resumes: self.resumes,
        }
    }
}

/// The lease that a state names.
pub(super) fn lease_of(state: &State) -> Option<&Value> {
    state.state_details.other.get(LEASE_DETAIL).filter(|lease| !lease.is_null())
}
