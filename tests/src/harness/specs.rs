//! What scenarios make at an API.

use jiff::Timestamp;
use serde_json::{Map, Value};
use worker_core::ids::BlockDocumentId;

/// A deployment to be made.
#[derive(Clone, Debug, Default)]
pub struct DeploymentSpec {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Its queue; the pool's default without.
    pub queue: Option<String>,
    /// Its job variables.
    pub job_variables: Map<String, Value>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The steps that bring its code.
    pub pull_steps: Option<Value>,
    /// Where its code lies, without pull steps.
    pub path: Option<String>,
    /// The storage block with its code, without pull steps.
    pub storage_block: Option<BlockDocumentId>,
    /// What to load.
    pub entrypoint: Option<String>,
    /// How many of its runs may be claimed or running.
    pub concurrency_limit: Option<u32>,
    /// What happens to a run that finds that limit reached: `ENQUEUE`, the server's default, or `CANCEL_NEW`.
    pub collision: Option<&'static str>,
}

/// A run to be made.
#[derive(Clone, Debug, Default)]
pub struct RunSpec {
    /// Its own job variables.
    pub job_variables: Map<String, Value>,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// When it is due; at once without.
    pub due: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<String>,
}
