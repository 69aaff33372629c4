//! One run, from the offer to the end: an actor that feeds the run machine and carries out its effects.

mod actor;
mod announce;
mod asking;
mod auditing;
mod cancelled;
mod claim;
mod code;
mod context;
pub mod elsewhere;
mod error_chain;
mod handful;
mod hooks;
mod judging;
mod kept_resource;
mod launch;
mod log;
mod patience;
mod prepare;
mod proposal;
mod recall;
mod repeated;
mod report;
mod rerun;
mod standing;
mod started;
mod stop;
mod story;
mod waiting;
mod watch;
mod worker_event;

#[cfg(test)]
mod tests;

pub use actor::{Actor, Ended};
pub use context::{Offer, RunContext, RunSettings, Surroundings, WorkerIdentity};
pub use error_chain::ErrorChain;
pub use kept_resource::SharedResources;
pub(crate) use prepare::with_hint;
pub use report::Told;
pub(crate) use standing::moved_on;
pub use worker_event::{lifecycle_event, work_pool_related, worker_resource};
