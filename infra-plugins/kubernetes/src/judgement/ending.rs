//! Whether a Job is over, and how it ended. Only what the cluster says positively ends anything.

mod of_pod;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use worker_core::exit::{Exit, ExitReport};

use super::diagnosis::clipped;
use super::digest::{JobCondition, JobConditionKind, JobDigest, PodDigest};
use super::removal::{Removal, is_stranded};

/// SIGTERM, with which pods are ended.
const SIGTERM: i32 = 15;
const JOB_DELETED: &str = "Kubernetes job was deleted";
const POD_DELETED: &str = "the pod was deleted from outside while the run was not over";
/// The longest quotation of what the cluster says, in bytes.
const LONGEST_QUOTE: usize = 300;

/// What a pod's end may be due to besides itself.
#[derive(Clone, Copy, Debug)]
struct Around {
    was_stopped: bool,
    /// Who deleted a pod that was deleted.
    deletion: &'static str,
}

/// How a Job ended; `None` while it is not over. No Job stands for one that the cluster does not have any more, and `pods`
/// are those of this Job alone: those that are there and those that are gone.
///
/// A Job tells of its end before or after its pods do: a pod that seems to live puts the end off, and no pod at all wants a
/// second look at the cluster before it is believed.
pub(crate) fn judge(
    job: Option<&JobDigest>,
    pods: &[PodDigest],
    was_stopped: bool,
    now: Timestamp,
) -> Option<ExitReport> {
    let is = |kind| job.and_then(|job| job.condition(kind));
    if is(JobConditionKind::Complete).or(is(JobConditionKind::SuccessCriteriaMet)).is_some() {
        return Some(told(Exit::Code(0), None));
    }
    // Without a Job, too: a pod that nobody deletes outlives it.
    if pods.iter().any(|pod| !pod.phase.is_terminal() && !pod.is_gone && !is_stranded(pod, now)) {
        return None;
    }
    let Some(job) = job else {
        return Some(of_absent(pods, was_stopped));
    };
    let failed = is(JobConditionKind::Failed).or(is(JobConditionKind::FailureTarget));
    if failed.is_some() || (job.is_exhausted() && job.active == 0) {
        let deletion = if job.deleted.is_some() { JOB_DELETED } else { POD_DELETED };
        return Some(of_failed(failed, pods, Around { was_stopped, deletion }));
    }
    None
}

fn of_absent(pods: &[PodDigest], was_stopped: bool) -> ExitReport {
    let Some(pod) = newest(pods) else {
        return told(Exit::Vanished, Some(JOB_DELETED.to_owned()));
    };
    let report = of_pod::judge(pod, Around { was_stopped, deletion: JOB_DELETED });
    if report.exit == Exit::Code(0) || report.detail.is_some() || was_stopped {
        return report;
    }
    ExitReport { detail: Some(JOB_DELETED.to_owned()), ..report }
}

fn of_failed(condition: Option<&JobCondition>, pods: &[PodDigest], around: Around) -> ExitReport {
    let reason = condition.and_then(|condition| condition.reason.as_deref());
    let message = condition.and_then(|condition| condition.message.as_deref());
    let pod = newest_that_ended(pods);
    let report = pod.map(|pod| of_pod::judge(pod, around));
    if reason == Some("DeadlineExceeded") {
        let detail = "it ran longer than the Job's activeDeadlineSeconds allows".to_owned();
        let exit = match report.map(|report| report.exit) {
            Some(exit @ (Exit::Code(_) | Exit::OutOfMemory)) => exit,
            _ if pod.is_some_and(|pod| !pod.has_started()) => Exit::NeverStarted,
            _ => Exit::Signal(SIGTERM),
        };
        return told(exit, Some(detail));
    }
    let Some(report) = report else {
        let said = message.map(|message| format!("; the Job says: {}", quoted(message))).unwrap_or_default();
        return told(Exit::Vanished, Some(format!("{}{said}", around.deletion)));
    };
    match message.filter(|_| reason == Some("PodFailurePolicy") && report.detail.is_none()) {
        Some(message) => ExitReport { detail: Some(quoted(message)), ..report },
        None => report,
    }
}

/// The pod that was made last.
fn newest(pods: &[PodDigest]) -> Option<&PodDigest> {
    pods.iter().max_by_key(|pod| pod.created)
}

/// The pod that made its Job fail: the last of those that ended. A controller that lost its connection may make a pod too much
/// and take it away again.
fn newest_that_ended(pods: &[PodDigest]) -> Option<&PodDigest> {
    let has_ended =
        |pod: &PodDigest| pod.phase.is_terminal() || pod.exit_code().is_some() || Removal::of(pod).is_some();
    pods.iter().max_by_key(|pod| (has_ended(pod) || is_live(pod), pod.created))
}

/// Whether it is there and has not ended, as far as is known.
const fn is_live(pod: &PodDigest) -> bool {
    !pod.is_gone && !pod.phase.is_terminal()
}

fn quoted(text: &str) -> String {
    clipped(text.trim().trim_end_matches('.'), LONGEST_QUOTE)
}

const fn told(exit: Exit, detail: Option<String>) -> ExitReport {
    ExitReport { exit, concluded: None, detail }
}
