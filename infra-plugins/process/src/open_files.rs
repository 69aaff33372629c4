//! The limit of open files: the worker needs one for each run, and more than the 1024 that many systems give at first. Runs
//! get back what the worker was given, because programs that use `select` break with more.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static GIVEN: OnceLock<Option<u64>> = OnceLock::new();

/// Lets this process open as many files as it may. Runs that are started later have the limit that it had before.
pub fn raise_open_files_limit() {
    let given = getrlimit(Resource::Nofile);
    GIVEN.get_or_init(|| given.current);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: given.maximum, ..given }) {
        tracing::debug!(%error, "the limit of open files cannot be raised");
    }
}

/// The limit that runs are to have, if it was raised for this process.
pub(crate) fn given() -> Option<u64> {
    GIVEN.get().copied().flatten()
}

/// Gives this process, and what it starts, that limit.
pub(crate) fn restore(given: Option<u64>) {
    if given.is_some() {
        let _restored = setrlimit(Resource::Nofile, Rlimit { current: given, ..getrlimit(Resource::Nofile) });
    }
}
