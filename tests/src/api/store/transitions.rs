//! Changes of a run's state: the rules decide, the tables follow, an event tells.

use central_api_wire::state::{State, StateProposal, StateType};
use jiff::Timestamp;
use uuid::Uuid;
use worker_core::ids::{RunId, StateId};

use super::{StoreError, Tables};
use crate::api::model::Run;
use crate::api::rules::{Draft, LeaseChange, Proposal, Verdict, apply, propose, resumption, store_unruled};
use crate::api::version::Version;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The decision.
    pub verdict: Verdict,
    /// The run's state now.
    pub state: Option<State>,
    /// Whether a state was stored: HTTP 201, else 200.
    pub stored: bool,
}

impl Tables {
    /// Puts a proposal to the rules and carries out what they decide.
    pub(crate) fn set_state(&mut self, id: RunId, proposal: &Proposal, now: Timestamp) -> Result<Outcome, StoreError> {
        let run = self.runs.get(&id).ok_or(StoreError::RunMissing(id))?;
        let mut decision = propose(run, proposal, now, &self.limits(run, now));
        self.change_lease(id, decision.lease, decision.stored.as_mut(), now);
        let (verdict, stored) = (decision.verdict.clone(), decision.stored.is_some());
        let told = decision.stored.as_ref().and_then(|draft| draft.data.clone());
        self.change_state(id, now, |run, state_id| apply(run, decision, state_id, now));
        let mut state = self.runs.get(&id).and_then(|run| run.state().cloned());
        if let Some(state) = state.as_mut().filter(|_| stored) {
            state.data = told;
        }
        Ok(Outcome { verdict, state, stored })
    }

    /// Resumes a paused or suspended run.
    pub(crate) fn resume(&mut self, id: RunId, proposer: Proposer, now: Timestamp) -> Result<Outcome, StoreError> {
        let run = self.runs.get(&id).ok_or(StoreError::RunMissing(id))?;
        match resumption(run.state(), now) {
            Ok(state) => self.set_state(id, &Proposal { state, force: false, client: proposer.client }, now),
            Err(reason) => {
                let verdict = Verdict::Abort { reason: reason.to_owned() };
                Ok(Outcome { verdict, state: None, stored: false })
            }
        }
    }

    /// Ends a cancellation that nobody finished, as the server does after its timeout. Returns whether the run was being
    /// cancelled.
    pub(crate) fn time_out_cancellation(&mut self, id: RunId, now: Timestamp) -> Result<bool, StoreError> {
        let run = self.run(id)?;
        if run.state_type() != Some(&StateType::Cancelling) {
            return Ok(false);
        }
        let message = "Flow run cancellation timed out; marked this flow run as Cancelled.";
        let draft = Draft::new(StateType::Cancelled).with_message(message);
        self.change_lease(id, LeaseChange::Release, None, now);
        self.store_state(id, draft, now);
        Ok(true)
    }

    /// Stores a state, rules aside.
    pub(super) fn store_state(&mut self, id: RunId, draft: Draft, now: Timestamp) {
        self.change_state(id, now, |run, state_id| store_unruled(run, draft, state_id, now));
    }

    /// Changes a run and tells of its new state, if it has one.
    fn change_state(&mut self, id: RunId, now: Timestamp, change: impl FnOnce(&mut Run, StateId)) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let (before, states) = (run.state().cloned(), run.history.len());
        change(run, StateId(Uuid::now_v7()));
        if run.history.len() > states {
            self.tell_state_change(id, before.as_ref(), now);
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proposer {
    /// Version of the client, if it is a Prefect client.
    pub(crate) client: Option<Version>,
}

impl Proposer {
    /// Its proposal.
    pub(crate) const fn proposes(self, state: StateProposal, force: bool) -> Proposal {
        Proposal { state, force, client: self.client }
    }
}
