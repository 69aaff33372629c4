//! Decides who brings a deployment's code, by its pull steps or from its storage: without I/O.
//!
//! A list of steps is run natively as a whole or not at all, because what a later step does depends on the directory
//! and the outputs that an earlier one left. Whatever is not certain to come out as in the SDK is the SDK's, and so are
//! inputs the SDK would refuse: which ones those are depends on its version.
//!
//! The decision is made before anything runs. [`plan()`] reads the whole list and says which blocks and variables its
//! inputs mention; with these, [`PullDraft::finish`] has the last word. What an input takes from the output of an
//! earlier step is the only thing that is not known by then: it is taken only where every text is fit to be tried.

mod draft;
mod entrypoint;
mod filling;
mod git_clone;
mod inputs;
mod kind;
mod native;
mod objects;
mod programs;
mod reason;
mod record;
mod storage;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use serde_json::Value;
use worker_core::ids::BlockDocumentId;

pub use crate::git::{GitClone, Login, Repository, Revision};
pub use draft::{PullDraft, plan};
pub use entrypoint::Entrypoint;
pub use native::{NativePull, NativeStep, StepAction};
pub use objects::ObjectFetch;
pub use programs::{PipInstall, ShellScript};
pub use reason::EngineReason;
pub use record::StepRecord;

pub(crate) use filling::{FillError, fill};
pub(crate) use inputs::{InputError, InputProblem};
pub(crate) use upstream::Upstream;

/// What the API says about where a deployment's code is.
#[derive(Clone, Copy, Debug)]
pub struct DeploymentCode<'a> {
    /// The deployment's `pull_steps`, as delivered: a list of objects with one key each, null or absent.
    pub pull_steps: Option<&'a Value>,
    /// The deployment's `entrypoint`.
    pub entrypoint: Option<&'a str>,
    /// The deployment's `path`. Without pull steps the code is there, or there in the storage block.
    pub path: Option<&'a str>,
    /// The deployment's `storage_document_id`.
    pub storage_block: Option<BlockDocumentId>,
    /// Where the flow's process will run.
    pub site: &'a RunSite,
}

/// What the server has under a reference. May hold secrets, so there is no `Debug`.
#[derive(Clone)]
pub struct Found {
    /// The data of a block document, or the value of a variable.
    pub value: Value,
    /// The slug of a block document's type.
    pub block_type: Option<String>,
}

impl From<Value> for Found {
    /// Of no type that is known.
    fn from(value: Value) -> Self {
        Self { value, block_type: None }
    }
}

/// Where the flow's process will run. Its environment may hold secrets, so `Debug` does not print it.
#[derive(Clone, Default)]
pub struct RunSite {
    /// Whether the flow's process will see the code that lies on this machine.
    pub shares_file_system: bool,
    /// Whether it is a process of this machine, so that a program which a step starts finds here what it would find there.
    pub is_here: bool,
    /// Whether it is another user's, as whom no step can be run here.
    pub is_of_another_user: bool,
    /// The Python that will run the flow, if that is known and is on this machine: `pip` installs for it.
    pub python: Option<Utf8PathBuf>,
    /// The whole environment of the flow's process: placeholders are filled from it, and programs run in it.
    pub environment: BTreeMap<String, String>,
}

impl RunSite {
    /// Whether whatever the worker reaches on this machine the flow's process reaches as well, with the rights that it has.
    pub(crate) const fn has_our_rights(&self) -> bool {
        self.is_here && !self.is_of_another_user
    }
}

impl fmt::Debug for RunSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSite")
            .field("shares_file_system", &self.shares_file_system)
            .field("is_here", &self.is_here)
            .field("python", &self.python)
            .finish_non_exhaustive()
    }
}
