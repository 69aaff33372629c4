//! What goes wrong with Jobs.

use std::time::Duration;

use infra_contract::{ErrorClass, InfraError};

use crate::cluster::{AccessError, CallError};
use crate::plan_error::PlanError;
use crate::refusal;

/// An error of the Kubernetes kind.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubernetesError {
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Access(#[from] AccessError),
    /// The API server refused to make something, or did not answer.
    #[error("Unable to create Kubernetes {what}: {}", refusal::told(.source))]
    Creation {
        /// `job` or `secret`.
        what: &'static str,
        source: CallError,
    },
    /// An earlier try was not answered, so it may have been made, or be made yet, whatever was answered last.
    #[error("Unable to create Kubernetes {what}: {}", refusal::told(.source))]
    Unclear { what: &'static str, source: CallError },
    /// Tried for long enough, and certainly nothing was made.
    #[error("Unable to create Kubernetes {what} for {} s: {}", .after.as_secs(), refusal::told(.source))]
    GivenUp { what: &'static str, after: Duration, source: CallError },
    #[error("the name {0} is taken by a Job of somebody else")]
    NameTaken(String),
    #[error("the Job {0} of this run is being deleted")]
    BeingDeleted(String),
    #[error("{doing}: {}", refusal::told(.source))]
    Call { doing: &'static str, source: CallError },
    #[error("Job {0} is not gone {1} s after it was deleted")]
    StillThere(String, u64),
    #[error("the plan or handle cannot be read")]
    Unreadable(#[source] serde_json::Error),
    #[error("the plugin's own notes cannot be written")]
    Notes(#[source] std::io::Error),
}

impl KubernetesError {
    /// Of a call that asks or deletes.
    pub(crate) fn of(doing: &'static str) -> impl FnOnce(CallError) -> Self {
        move |source| Self::Call { doing, source }
    }

    /// Whether what was asked for may have been made, or may be made yet.
    pub(crate) const fn is_open(&self) -> bool {
        match self {
            Self::Unclear { .. } | Self::BeingDeleted(_) => true,
            Self::Creation { source, .. } | Self::Call { source, .. } => source.leaves_open(),
            Self::Plan(_)
            | Self::Access(_)
            | Self::GivenUp { .. }
            | Self::NameTaken(_)
            | Self::StillThere(..)
            | Self::Unreadable(_)
            | Self::Notes(_) => false,
        }
    }

    /// Whether there is something of the same name.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Creation { source, .. } if source.reason() == "AlreadyExists")
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::Plan(_) | Self::NameTaken(_) => ErrorClass::BadSpec,
            Self::Access(_) | Self::GivenUp { .. } => ErrorClass::Denied,
            Self::Creation { source, .. } | Self::Call { source, .. } => match source.code() {
                _ if source.is_transient() => ErrorClass::Transient,
                Some(400 | 404 | 409 | 413 | 422) => ErrorClass::BadSpec,
                _ => ErrorClass::Denied,
            },
            Self::Unclear { .. } | Self::StillThere(..) | Self::BeingDeleted(_) | Self::Notes(_) => {
                ErrorClass::Transient
            }
            Self::Unreadable(_) => ErrorClass::Bug,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint().map(str::to_owned),
            Self::Access(error) => Some(error.hint().to_owned()),
            Self::Creation { source, .. }
            | Self::Unclear { source, .. }
            | Self::GivenUp { source, .. }
            | Self::Call { source, .. } => refusal::hint(source).map(str::to_owned),
            Self::NameTaken(_) => Some("Delete that Job, or give this run another name".to_owned()),
            Self::StillThere(..) | Self::BeingDeleted(_) | Self::Unreadable(_) | Self::Notes(_) => None,
        }
    }
}

impl From<KubernetesError> for InfraError {
    fn from(error: KubernetesError) -> Self {
        let (class, hint) = (error.class(), error.hint());
        let mut text = error.to_string();
        // Prefect's worker says the hint as a part of the message.
        let is_creation = matches!(
            error,
            KubernetesError::Creation { .. } | KubernetesError::Unclear { .. } | KubernetesError::GivenUp { .. }
        );
        if let (true, Some(hint)) = (is_creation, &hint) {
            text = format!("{text}. Hint: {hint}");
            return Self::new(class, text);
        }
        if let KubernetesError::Unreadable(source) = &error {
            text = format!("{text}: {source}");
        }
        if let KubernetesError::Notes(source) = &error {
            text = format!("{text}: {source}");
        }
        let infra = Self::new(class, text);
        match hint {
            Some(hint) => infra.hint(hint),
            None => infra,
        }
    }
}
