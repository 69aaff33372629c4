//! What the status of a Job, of its pods and of what Kubernetes says about them means. Pure.

mod diagnosis;
mod digest;
mod ending;
#[cfg(test)]
mod fixtures;
mod image_pull;
mod occurrence;
mod progress;
mod related;
mod removal;

pub(crate) use diagnosis::{Diagnosis, diagnose, diagnose_job};
pub(crate) use digest::{HappeningDigest, JobConditionKind, JobDigest, PodDigest, PodPhase};
pub(crate) use ending::judge;
pub(crate) use occurrence::PodTold;
pub(crate) use progress::{Deadlines, last_progress, overdue, phase, phase_of_job};
