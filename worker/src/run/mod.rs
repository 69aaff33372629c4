//! One run, from the offer to the end: an actor that feeds the run machine and carries out its effects.

mod actor;
mod announce;
mod asking;
mod cancelled;
mod claim;
mod code;
mod context;
mod error_chain;
mod hooks;
mod launch;
mod log;
mod patience;
mod prepare;
mod proposal;
mod recall;
mod report;
mod rerun;
mod standing;
mod stop;
mod story;
mod watch;
mod worker_event;

#[cfg(test)]
mod tests;

pub use actor::{Actor, Ended};
pub use context::{Offer, RunContext, RunSettings, Surroundings, WorkerIdentity};
pub use error_chain::ErrorChain;
pub use report::Told;
pub(crate) use standing::moved_on;
pub use worker_event::{lifecycle_event, work_pool_related, worker_resource};
