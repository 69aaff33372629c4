//! The calls of the API, one file per area. Each says its [`CallKind`](crate::CallKind) and the endpoint it uses.

mod blocks;
mod flow_runs;
mod server;
mod set_state;
mod telemetry;
mod work_pools;

pub use server::Greeting;
pub use set_state::Verdict;

use serde::de::{DeserializeOwned, IgnoredAny};

/// A body of JSON.
fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}

/// A body that does not matter. It must be empty or JSON all the same: a login page with status 200 is no answer.
fn nothing(body: &[u8]) -> Result<(), serde_json::Error> {
    if body.is_empty() { Ok(()) } else { serde_json::from_slice::<IgnoredAny>(body).map(|_| ()) }
}
