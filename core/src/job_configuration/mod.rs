//! From a work pool's base job template and the job variables to what a plugin is asked to run.
//!
//! Three steps, without I/O:
//! 1. [`resolve`] merges pool defaults, deployment and flow-run variables and fills in the template ([`Draft`]);
//! 2. the caller fetches the blocks and variables that the draft still mentions, and [`Draft::finish`] gives the typed
//!    [`JobConfiguration`];
//! 3. [`JobConfiguration::prepare_for_flow_run`] adds what every run gets: environment, labels, name.
//!
//! Job variables are not checked against the pool's schema: the server did so when they were stored, and a schema edited
//! since must not stop runs that were accepted before.

pub mod environment;
mod error;
pub mod labels;
pub mod lenient;
mod merge;
mod prepare;
mod provenance;
mod resolve;
mod typed;

pub use error::JobConfigurationError;
pub use prepare::{DeploymentContext, FlowContext, FlowRunContext, PreparationContext, PreparedJob, WorkPoolContext};
pub use provenance::{Origin, Sources, sources};
pub use resolve::{Draft, resolve};
pub use typed::JobConfiguration;

#[cfg(test)]
mod provenance_tests;
#[cfg(test)]
mod tests;
