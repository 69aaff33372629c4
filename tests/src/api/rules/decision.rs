//! What the rules are given, and what they answer.

use central_api_wire::state::{SetStateStatus, StateDetails, StateProposal, StateType};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::model::{Collision, Policy};
use crate::api::version::Version;

/// A proposal, and who makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The state.
    pub state: StateProposal,
    /// Whether the rules are to be bypassed.
    pub force: bool,
    /// Version of the client, if it is a Prefect client.
    pub client: Option<Version>,
}

/// What the rules have to know of the world around the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The slots of the run's deployment.
    pub deployment: DeploymentSlots,
    /// The rules of the server's version.
    pub ruleset: Ruleset,
}

/// The slots of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentSlots {
    /// No deployment, or one without a limit.
    Unlimited,
    /// The deployment is gone.
    DeploymentDeleted,
    /// So many.
    Limited {
        /// How many there are.
        limit: u32,
        /// How many are held, by this run too.
        taken: u32,
        /// What happens to a run that finds none.
        collision: Collision,
        /// Whether this run's own hold is still alive.
        lease_alive: bool,
    },
}

/// What differs between versions and settings of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// Whether Pending runs move on to Pending states of another name.
    pub named_pending: bool,
    /// Whether a lease survives a proposal that carries null for it.
    pub keeps_lease: bool,
    /// How long a run waits for a slot of its deployment before it is offered again.
    pub slot_wait: SignedDuration,
}

/// The server's default wait for a slot of a deployment.
const SLOT_WAIT: SignedDuration = SignedDuration::from_secs(30);

impl Ruleset {
    /// The rules of a version.
    pub fn of(version: Version) -> Self {
        Self { named_pending: version.has_named_pending(), keeps_lease: version.keeps_lease(), slot_wait: SLOT_WAIT }
    }
}

/// A state that is to be stored; its id and time are not known yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its type.
    pub state_type: StateType,
    /// Its name.
    pub name: String,
    /// Its message.
    pub message: Option<String>,
    /// The result reference.
    pub data: Option<Value>,
    /// Its details.
    pub details: StateDetails,
}

impl Draft {
    /// A state of a type, under its default name.
    pub fn new(state_type: StateType) -> Self {
        let name = state_type.default_name().to_owned();
        Self { state_type, name, message: None, data: None, details: StateDetails::default() }
    }

    /// A Scheduled state.
    pub fn scheduled(name: &str, due: Timestamp) -> Self {
        let mut draft = Self::new(StateType::Scheduled);
        name.clone_into(&mut draft.name);
        draft.details.scheduled_time = Some(due);
        draft
    }

    /// The same with a message.
    #[must_use]
    pub fn with_message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }
}

impl From<&StateProposal> for Draft {
    fn from(proposal: &StateProposal) -> Self {
        Self {
            name: proposal.name.clone().unwrap_or_else(|| proposal.state_type.default_name().to_owned()),
            state_type: proposal.state_type.clone(),
            message: proposal.message.clone(),
            data: proposal.data.clone(),
            details: proposal.state_details.clone(),
        }
    }
}

/// What was decided about the proposal itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored as proposed.
    Accept,
    /// Not stored; something else may have been stored instead.
    Reject {
        /// For people.
        reason: String,
    },
    /// Not stored; the proposer is to give up.
    Abort {
        /// For people.
        reason: String,
    },
    /// Not stored; the proposer is to ask again.
    Wait {
        /// After so long.
        delay_seconds: i64,
        /// For people.
        reason: String,
    },
}

impl Verdict {
    /// As the API spells it.
    pub const fn status(&self) -> SetStateStatus {
        match self {
            Self::Accept => SetStateStatus::Accept,
            Self::Reject { .. } => SetStateStatus::Reject,
            Self::Abort { .. } => SetStateStatus::Abort,
            Self::Wait { .. } => SetStateStatus::Wait,
        }
    }
}

/// What happens to the run's hold on a slot of its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Nothing.
    None,
    /// A slot is taken; the lease's id goes into the state's details.
    Acquire,
    /// The hold is prolonged.
    Renew,
    /// The hold no longer expires: the client does not renew it.
    HoldForever,
    /// The slot is given back.
    Release,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// About the proposal.
    pub verdict: Verdict,
    /// The state to store, if any: the proposed one, or another instead. Stored means HTTP 201, nothing stored 200.
    pub stored: Option<Draft>,
    /// The run's policy as the state is stored.
    pub policy: Policy,
    /// Its slot.
    pub lease: LeaseChange,
    /// The pause that fires: under its own key, or under one that is made up.
    pub pauses: Option<PauseKey>,
    /// Whether the run counts as resuming afterwards: its next Running is no new try.
    pub resumes: bool,
}

impl Decision {
    /// Stores a state, rules aside.
    pub(super) fn unruled(draft: Draft, policy: Policy) -> Self {
        Self {
            verdict: Verdict::Accept,
            stored: Some(draft),
            policy,
            lease: LeaseChange::None,
            pauses: None,
            resumes: false,
        }
    }
}

/// The key of a pause: each fires once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseKey {
    /// The engine named it.
    Named(String),
    /// It is named after the state.
    Unnamed,
}
