//! Proposing a state.

use std::time::Duration;

use central_api_wire::state::{SetStateRequest, SetStateResponse, SetStateStatus, State};
use http::Method;
use worker_core::ids::RunId;

use super::json;
use crate::{ApiError, CallKind, Client};

/// Asked again after this, when the server says "wait" without saying how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: f64 = 3600.0;

/// What the server decided about a proposed state. A refusal is a verdict, not an error; the HTTP status says nothing
/// about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The state was stored.
    Accept(Option<State>),
    /// The state was not stored.
    Reject {
        /// The run's state now: the old one, or one that the server stored instead.
        state: Option<State>,
        /// Why.
        reason: Option<String>,
    },
    /// The state was not stored, and nothing was.
    Abort {
        /// Why.
        reason: Option<String>,
    },
    /// The same proposal may be made again later.
    Wait {
        /// After this.
        delay: Duration,
        /// Why.
        reason: Option<String>,
    },
}

impl From<SetStateResponse> for Verdict {
    fn from(response: SetStateResponse) -> Self {
        let SetStateResponse { state, status, details } = response;
        let reason = details.reason;
        match status {
            SetStateStatus::Accept => Self::Accept(state),
            SetStateStatus::Reject => Self::Reject { state, reason },
            SetStateStatus::Abort => Self::Abort { reason },
            SetStateStatus::Wait => {
                let seconds = details.delay_seconds.map(|seconds| seconds.clamp(0.0, LONGEST_WAIT));
                let delay = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                Self::Wait { delay: delay.unwrap_or(DEFAULT_WAIT), reason }
            }
        }
    }
}

impl Client {
    /// Proposes a state for a run, as `kind` says: a claim a few times, a report once.
    /// `POST /flow_runs/{id}/set_state`.
    ///
    /// Every try sends the same transition id, so a proposal whose answer was lost is not made twice: the server answers
    /// the repeat with [`Verdict::Reject`] and the run's state, which is then the proposed one.
    pub async fn set_state(&self, id: RunId, request: &SetStateRequest, kind: CallKind) -> Result<Verdict, ApiError> {
        let id = id.to_string();
        let call = self.call(kind, Method::POST, "propose a state", &["flow_runs", &id, "set_state"]);
        self.exchange(call.json(request)?, json::<SetStateResponse>).await.map(Verdict::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(body: &str) -> Verdict {
        serde_json::from_str::<SetStateResponse>(body).unwrap().into()
    }

    #[test]
    fn a_refusal_is_a_verdict() {
        let abort = verdict(r#"{"state":null,"status":"ABORT","details":{"type":"abort_details","reason":"done"}}"#);
        assert_eq!(abort, Verdict::Abort { reason: Some("done".to_owned()) });
        let Verdict::Reject { state: Some(state), .. } =
            verdict(r#"{"state":{"type":"SCHEDULED","name":"AwaitingConcurrencySlot"},"status":"REJECT"}"#)
        else {
            panic!("not a rejection");
        };
        assert_eq!(state.name(), "AwaitingConcurrencySlot");
    }

    #[test]
    fn a_wait_always_has_a_sane_delay() {
        let delay = |details: &str| verdict(&format!(r#"{{"status":"WAIT","details":{details}}}"#));
        assert_eq!(
            delay(r#"{"delay_seconds":1.5}"#),
            Verdict::Wait { delay: Duration::from_millis(1500), reason: None }
        );
        assert_eq!(delay("{}"), Verdict::Wait { delay: DEFAULT_WAIT, reason: None });
        assert_eq!(delay(r#"{"delay_seconds":-3}"#), Verdict::Wait { delay: Duration::ZERO, reason: None });
        assert_eq!(delay(r#"{"delay_seconds":1e99}"#), Verdict::Wait { delay: Duration::from_hours(1), reason: None });
    }
}
