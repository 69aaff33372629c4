//! Brings a flow's code to a directory of this machine, so that the flow's process need not.
//!
//! Two halves, kept apart. [`plan()`] decides, without any I/O, whether a deployment's pull steps are of the kind that is
//! run here or are left to the Prefect SDK in the flow's process; it says which blocks and variables that takes. [`pull`]
//! carries out what was decided: it fetches repositories and folders of object stores, and runs the scripts that the
//! deployment's author has among the steps.
//!
//! It spawns no task and owns no channel: a pull runs on its caller's task and ends with it. The programs it starts are
//! in a process group of their own, which is killed when the pull is cancelled, times out or is dropped.
//!
//! It runs no code but that of these scripts (no hook of a repository, no Python of a step), never puts a credential into
//! an argument or a URL, never prompts, reads nothing of this process's environment (the programs it starts inherit it), never changes this process's directory,
//! and never shows a partial checkout under its final name.

pub mod cache;
mod copying;
mod error;
mod git;
mod look;
pub mod objects;
mod oom_score;
pub mod plan;
mod process_group;
mod pull;
mod source;
mod steps;

pub use cache::{Cache, CacheLimits};
pub use error::CodeError;
pub use git::{GitClone, GitSource, Login, Repository, Revision};
pub use look::{Looked, look};
pub use plan::{DeploymentCode, EngineReason, Found, NativePull, PullDraft, RunSite, plan};
pub use pull::{PullFailure, PullOptions, Pulled, pull};
pub use source::{Checkout, CodeSource};
pub use steps::{PullLog, StepError};
