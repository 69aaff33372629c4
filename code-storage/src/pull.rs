//! Carrying out a native pull.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;
use tokio_util::sync::CancellationToken;
use worker_core::spec::CodeInPlace;

use crate::plan::{GitClone, NativePull, StepAction};
use crate::{Checkout, CodeError, CodeSource as _, GitSource};

/// The longest wait between two attempts, as in the SDK.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// How a pull is carried out.
#[derive(Clone)]
pub struct PullOptions {
    /// The most time that the fetch of one repository may take, with all attempts and waits.
    pub time_limit: Duration,
    /// The most attempts at one repository, if failures look transient.
    pub attempts: u32,
    /// The wait after the first failed attempt; it doubles, up to 10 s.
    pub first_back_off: Duration,
    /// The run's environment, on top of the worker's: its proxies, certificates and settings of `git` apply to the pull
    /// as they would to one made by the flow's process. May hold secrets, so `Debug` does not print it.
    pub env: BTreeMap<String, String>,
}

impl Default for PullOptions {
    /// Half an hour, and the SDK's three attempts from one second up.
    fn default() -> Self {
        Self {
            time_limit: Duration::from_mins(30),
            attempts: 3,
            first_back_off: Duration::from_secs(1),
            env: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for PullOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullOptions")
            .field("time_limit", &self.time_limit)
            .field("attempts", &self.attempts)
            .field("first_back_off", &self.first_back_off)
            .finish_non_exhaustive()
    }
}

impl PullOptions {
    /// The wait after a number of failed attempts.
    pub(crate) fn back_off_after(&self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        self.first_back_off.saturating_mul(1 << doublings).min(LONGEST_BACK_OFF)
    }
}

/// What a native pull has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Where the code is and what to load: for the plugin that starts the flow's process.
    pub code: CodeInPlace,
    /// Where the pull started. A flow's process that pulls by itself starts there, and Python can import from there as
    /// well: put it on the `PYTHONPATH` of a process that starts in `code.directory` instead.
    pub started_in: Utf8PathBuf,
    /// The repositories, in the order of their steps.
    pub checkouts: Vec<Checkout>,
}

/// Runs pull steps, starting in the directory `into`, which exists. The steps' paths are relative to it; it is not
/// cleaned up after a failure.
///
/// # Errors
///
/// The first step that failed, or the file to load that is not there.
///
/// # Cancel safety
///
/// As for [`CodeSource::fetch`](crate::CodeSource::fetch): fire `cancel` rather than dropping the future.
pub async fn pull(
    plan: &NativePull,
    into: &Utf8Path,
    options: &PullOptions,
    cancel: &CancellationToken,
) -> Result<Pulled, CodeError> {
    let started_in = enter(into).await?;
    let mut working_directory = started_in.clone();
    // Where the flow runs is the last directory that a step has given, which for a clone is not the working directory.
    let mut directory = started_in.clone();
    let mut checkouts = Vec::new();
    for step in &plan.steps {
        match &step.action {
            StepAction::SetWorkingDirectory(wanted) => {
                working_directory = enter(&working_directory.join(wanted)).await?;
                directory.clone_from(&working_directory);
            }
            StepAction::GitClone(wanted) => {
                let checkout = clone(wanted, &working_directory, options, cancel).await?;
                directory.clone_from(&checkout.root);
                checkouts.push(checkout);
            }
        }
    }
    check_file(&directory.join(&plan.entrypoint.file)).await?;
    let entrypoint = Some(plan.entrypoint.within(&directory));
    Ok(Pulled {
        code: CodeInPlace { directory: directory.into_string(), entrypoint, importable: None },
        started_in,
        checkouts,
    })
}

async fn clone(
    wanted: &GitClone,
    working_directory: &Utf8Path,
    options: &PullOptions,
    cancel: &CancellationToken,
) -> Result<Checkout, CodeError> {
    let into = working_directory.join(&wanted.directory_name);
    GitSource::new(wanted.clone(), options.clone()).fetch(&into, cancel).await
}

/// The absolute path of a directory, without links, as a process has it that changed to the directory.
async fn enter(directory: &Utf8Path) -> Result<Utf8PathBuf, CodeError> {
    let unusable = |source| CodeError::Directory { directory: directory.to_owned(), source };
    let path = fs::canonicalize(directory).await.map_err(unusable)?;
    let path = Utf8PathBuf::try_from(path).map_err(|error| unusable(error.into_io_error()))?;
    if fs::metadata(&path).await.map_err(unusable)?.is_dir() {
        Ok(path)
    } else {
        Err(unusable(io::ErrorKind::NotADirectory.into()))
    }
}

/// Says what is missing in one line, where Python would end in a traceback. Whatever else is wrong with the file is
/// Python's to say.
async fn check_file(file: &Utf8Path) -> Result<(), CodeError> {
    match fs::metadata(file).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CodeError::EntrypointMissing { file: file.to_owned() })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
