//! Events, and the frames of the event streams.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A resource: labels, of which `prefect.resource.id` is required.
pub type Resource = BTreeMap<String, String>;

/// An event, as it is sent and as it is received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub occurred: Timestamp,
    /// What happened, such as `prefect.worker.started`.
    pub event: String,
    /// To what.
    pub resource: Resource,
    /// What else it concerns; each has a `prefect.resource.role`.
    #[serde(default)]
    pub related: Vec<Resource>,
    /// Anything else.
    #[serde(default)]
    pub payload: Map<String, Value>,
    /// Its id; the server stores an id once.
    pub id: Uuid,
    /// The event it follows.
    #[serde(default)]
    pub follows: Option<Uuid>,
}

/// A frame from the client on a stream with the sub-protocol `prefect`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamRequest {
    /// The first frame: the auth string as it is, or the API key, or null.
    Auth {
        /// The token.
        token: Option<String>,
    },
    /// `/events/out`: which events are wanted.
    Filter {
        /// The filter.
        filter: EventFilter,
    },
}

/// A frame from the server on an event stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamMessage {
    /// The token was accepted.
    AuthSuccess,
    /// An event that passes the filter.
    Event {
        /// The event.
        event: Event,
    },
    /// A frame of a newer server.
    #[serde(other)]
    Unknown,
}

/// A filter on events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventFilter {
    /// By time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred: Option<OccurredFilter>,
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventNameFilter>,
    /// By resource, primary or related.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_resource: Option<AnyResourceFilter>,
    /// The order of what lies in the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// A range of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OccurredFilter {
    /// From here.
    pub since: Timestamp,
    /// To here.
    pub until: Timestamp,
}

/// A filter on event names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventNameFilter {
    /// Exact names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Vec<String>>,
}

/// A filter on resource ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnyResourceFilter {
    /// Exact ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Vec<String>>,
}
