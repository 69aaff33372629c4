//! Carrying out a native pull.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;
use tokio_util::sync::CancellationToken;
use worker_core::policy::RequiredSignature;
use worker_core::spec::CodeInPlace;

use crate::objects::ObjectError;
use crate::plan::{NativePull, StepRecord};
use crate::steps::{Progress, PullLog, enter};
use crate::{Cache, Checkout, CodeError};

/// The longest wait between two attempts, as in the SDK.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// How a pull is carried out.
#[derive(Clone)]
pub struct PullOptions {
    /// The most time that the fetch of one repository may take, with all attempts and waits.
    pub time_limit: Duration,
    /// The most time that a step may take which runs programs.
    pub step_limit: Duration,
    /// The most attempts at one repository, if failures look transient.
    pub attempts: u32,
    /// The wait after the first failed attempt; it doubles, up to 10 s.
    pub first_back_off: Duration,
    /// Where code is kept for the next run; without it, each run fetches its own.
    pub cache: Option<Cache>,
    /// Whether a run may have what was last known of a branch if the repository cannot be reached.
    pub offline_fallback: bool,
    /// By whom what is cloned has to be signed: all of these.
    pub signatures: Vec<RequiredSignature>,
    /// The run's environment, on top of the worker's: its proxies, certificates and settings of `git` apply to the pull
    /// as they would to one made by the flow's process. May hold secrets, so `Debug` does not print it.
    pub env: BTreeMap<String, String>,
}

impl Default for PullOptions {
    /// Half an hour for a fetch, four hours for a step that runs programs, and the SDK's three attempts from one second up.
    fn default() -> Self {
        Self {
            time_limit: Duration::from_mins(30),
            step_limit: Duration::from_hours(4),
            attempts: 3,
            first_back_off: Duration::from_secs(1),
            cache: None,
            offline_fallback: false,
            signatures: Vec::new(),
            env: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for PullOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullOptions")
            .field("time_limit", &self.time_limit)
            .field("step_limit", &self.step_limit)
            .field("attempts", &self.attempts)
            .field("first_back_off", &self.first_back_off)
            .field("cache", &self.cache)
            .field("offline_fallback", &self.offline_fallback)
            .field("signatures", &self.signatures)
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
    /// What came from where, in the order of the steps.
    pub checkouts: Vec<Checkout>,
    /// The steps, all of which have run: each is to be told in an event.
    pub executed: Vec<StepRecord>,
}

/// A pull that failed.
#[derive(Debug)]
pub struct PullFailure {
    /// Why.
    pub error: CodeError,
    /// The steps that have run: each is to be told in an event.
    pub executed: Vec<StepRecord>,
    /// The step that failed, to be told in an event of its own. None if there is none, if the steps could not begin, or if all
    /// have run and did not bring the file to load.
    pub failed: Option<StepRecord>,
}

impl PullFailure {
    /// Whether the pull met something that only the SDK can do, found when it was under way: the flow's process can
    /// still run the steps, all of them, in a directory of its own. Then no event is to tell of any step.
    pub fn is_left_to_engine(&self) -> bool {
        matches!(self.error, CodeError::Objects(ObjectError::LeftToPrefect { .. }))
    }
}

/// Runs pull steps, or fetches from storage, starting in the directory `into`, which exists. The steps' paths are relative
/// to it; it is not cleaned up after a failure. What the programs of the steps write goes to `log`.
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
    log: &dyn PullLog,
    cancel: &CancellationToken,
) -> Result<Pulled, PullFailure> {
    let mut executed = Vec::new();
    let started_in = match enter(into).await {
        Ok(directory) => directory,
        Err(error) => return Err(PullFailure { error, executed, failed: None }),
    };
    let mut progress = Progress::new(plan, &started_in, options, log, cancel);
    if let Some(storage) = plan.storage()
        && let Err(error) = progress.fetch(storage).await
    {
        return Err(PullFailure { error, executed, failed: None });
    }
    for step in plan.steps() {
        let begun = Instant::now();
        let done = progress.run(step).await;
        log.step_ended(&step.record, begun.elapsed(), done.is_ok());
        if let Err(error) = done {
            return Err(PullFailure { error, executed, failed: Some(step.record.clone()) });
        }
        executed.push(step.record.clone());
    }
    let Progress { directory, checkouts, .. } = progress;
    if let Some(file) = plan.entrypoint().file_within(&directory)
        && let Err(error) = check_file(&file).await
    {
        return Err(PullFailure { error, executed, failed: None });
    }
    let entrypoint = Some(plan.entrypoint().within(&directory));
    let code = CodeInPlace { directory: directory.into_string(), entrypoint, importable: None };
    Ok(Pulled { code, started_in, checkouts, executed })
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
