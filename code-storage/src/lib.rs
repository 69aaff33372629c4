//! Brings a flow's code to a directory of this machine, so that the flow's process need not.
//!
//! Two halves, kept apart. [`plan()`] decides, without any I/O, whether a deployment's pull steps are of the kind that is
//! run here or are left to the Prefect SDK in the flow's process. [`pull`] carries out what was decided: it changes
//! directories and fetches repositories with the `git` program, through the [`CodeSource`] seam that other kinds of
//! storage plug into.
//!
//! It spawns no task and owns no channel: a pull runs on its caller's task and ends with it. The programs it starts are
//! in a process group of their own, which is killed when the pull is cancelled, times out or is dropped.
//!
//! It never runs code of the repository (no hook, no step of the flow's author), never puts a credential into an
//! argument or a URL, never prompts, never reads this process's environment, and never shows a partial checkout under its
//! final name.

mod error;
mod git;
pub mod plan;
mod pull;
mod source;

pub use error::CodeError;
pub use git::GitSource;
pub use plan::{DeploymentCode, EngineReason, NativePull, PullPlan, plan};
pub use pull::{PullOptions, Pulled, pull};
pub use source::{Checkout, CodeSource};
