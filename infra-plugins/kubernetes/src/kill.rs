//! Ending a Job that runs.

use std::sync::Arc;
use std::time::Duration;

use infra_contract::Killed;
use jiff::Timestamp;
use kube::api::PropagationPolicy;
use tokio::time::{Instant, timeout_at};
use worker_core::exit::{Exit, ExitReport};

use crate::cluster::{Cluster, Deletion};
use crate::ends::Ends;
use crate::error::KubernetesError;
use crate::handle::JobRef;
use crate::inquest::belongs_to;
use crate::judgement::{JobDigest, PodDigest, judge};
use crate::watching::{Scope, Subscription};

/// A pod has so long to go away after its grace; then its object is removed, whether its node answers or not.
const GOING_AWAY: Duration = Duration::from_secs(30);
/// One that is killed by force need not wait for its node.
const GOING_AWAY_BY_FORCE: Duration = Duration::from_secs(6);
/// Pods whose objects are removed are gone within this time, or the kill is tried again.
const REMOVED_WITHIN: Duration = Duration::from_secs(15);
/// A watch tells within this time how a pod has ended that the server does not have any more.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// Watches tell of changes; this is for those that they miss.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One Job that is to be ended.
pub(crate) struct Killing<'k> {
    pub(crate) cluster: &'k Cluster,
    pub(crate) job: &'k JobRef,
    pub(crate) scope: &'k Arc<Scope>,
    pub(crate) ends: &'k Ends,
}

impl Killing<'_> {
    /// Deletes the Job, and with it its pods, which get so long to end. Returns once they are gone.
    pub(crate) async fn run(&self, grace: Duration, by_force: bool) -> Result<Killed, KubernetesError> {
        let mut changes = self.scope.store.subscribe(self.job.key());
        let found = self.job_now().await?;
        let mut pods = self.pods_now().await?;
        let is_over = found.as_ref().is_none_or(|job| judge(Some(job), &pods, false, Timestamp::now()).is_some());
        if is_over && !pods.iter().any(PodDigest::may_run) {
            return Ok(Killed::AlreadyGone);
        }
        self.ends.note_stop(self.job.marks.key);
        // Zero would remove the objects while the containers go on.
        let seconds =
            if by_force { 1 } else { u32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1) };
        if found.is_some() {
            self.delete_job(seconds).await?;
        }
        self.delete_pods(&pods, seconds).await?;
        let patience = if by_force { GOING_AWAY_BY_FORCE } else { GOING_AWAY };
        let mut last: Vec<PodDigest> = std::mem::take(&mut pods);
        if !self.are_gone(&mut changes, &mut last, Duration::from_secs(seconds.into()) + patience).await? {
            tracing::warn!(job = self.job.name, "its pods do not end; their objects are removed");
            let left = self.pods_now().await?;
            self.delete_pods(&left, 0).await?;
            if !self.are_gone(&mut changes, &mut last, REMOVED_WITHIN).await? {
                return Err(KubernetesError::StillThere(
                    self.job.name.clone(),
                    patience.as_secs() + u64::from(seconds),
                ));
            }
        }
        Ok(self.how_they_ended(&last))
    }

    /// Notes the end for who asks later: the pods that knew it are gone.
    fn how_they_ended(&self, last: &[PodDigest]) -> Killed {
        let code = last.iter().filter_map(PodDigest::exit_code).next_back();
        let report = ExitReport::bare(code.map_or(Exit::Signal(9), Exit::Code));
        self.ends.note(self.job.marks.key, &report);
        if matches!(report.exit, Exit::Code(137) | Exit::Signal(_)) { Killed::Forcibly } else { Killed::Gracefully }
    }

    async fn job_now(&self) -> Result<Option<JobDigest>, KubernetesError> {
        let found = self.cluster.job(&self.job.namespace, &self.job.name).await;
        let found = found.map_err(KubernetesError::of("the Job cannot be read"))?;
        Ok(found.map(|job| JobDigest::of(&job)).filter(|job| *job.uid == *self.job.uid))
    }

    async fn pods_now(&self) -> Result<Vec<PodDigest>, KubernetesError> {
        let found = self.cluster.pods_of(&self.job.namespace, &self.job.name).await;
        let found = found.map_err(KubernetesError::of("the pods cannot be listed"))?;
        Ok(found.iter().filter(|pod| belongs_to(pod, &self.job.uid)).map(PodDigest::of).collect())
    }

    async fn delete_job(&self, seconds: u32) -> Result<(), KubernetesError> {
        let how = Deletion {
            grace: Some(seconds),
            propagation: Some(PropagationPolicy::Foreground),
            uid: Some(self.job.uid.clone()),
        };
        let deleted = self.cluster.delete_job(&self.job.namespace, &self.job.name, &how).await;
        deleted.map(drop).map_err(KubernetesError::of("the Job cannot be deleted"))
    }

    /// What the deletion of the Job does not do: its pods end within this grace, not within their own.
    async fn delete_pods(&self, pods: &[PodDigest], seconds: u32) -> Result<(), KubernetesError> {
        for pod in pods.iter().filter(|pod| seconds == 0 || pod.may_run()) {
            let how = Deletion { grace: Some(seconds), propagation: None, uid: Some(pod.uid.to_string()) };
            let deleted = self.cluster.delete_pod(&pod.namespace, &pod.name, &how).await;
            deleted.map_err(KubernetesError::of("a pod cannot be deleted"))?;
        }
        Ok(())
    }

    /// Waits until no pod is left. What is seen of them last is put into `last`.
    async fn are_gone(
        &self,
        changes: &mut Subscription,
        last: &mut Vec<PodDigest>,
        within: Duration,
    ) -> Result<bool, KubernetesError> {
        let deadline = Instant::now() + within;
        loop {
            let view = changes.view();
            note(last, view.all_pods());
            // The watch may be behind, so that none is left is asked of the server.
            let none_seen = view.pods.iter().all(|pod| !pod.may_run());
            if none_seen && self.none_runs(last).await? {
                break;
            }
            if Instant::now() >= deadline {
                if self.none_runs(last).await? {
                    break;
                }
                return Ok(false);
            }
            let look_again = deadline.min(Instant::now() + LOOK_AGAIN);
            if timeout_at(look_again, changes.changed()).await.is_err() && self.none_runs(last).await? {
                break;
            }
        }
        // How a pod that is gone has ended only the watch can tell.
        let told_by = Instant::now() + TOLD_WITHIN;
        let is_unknown = |pod: &PodDigest| pod.may_run() && !pod.is_gone && pod.exit_code().is_none();
        while last.iter().any(is_unknown) && timeout_at(told_by, changes.changed()).await.is_ok() {
            note(last, changes.view().all_pods());
        }
        Ok(true)
    }

    async fn none_runs(&self, last: &mut Vec<PodDigest>) -> Result<bool, KubernetesError> {
        let pods = self.pods_now().await?;
        let none_runs = !pods.iter().any(PodDigest::may_run);
        note(last, pods);
        Ok(none_runs)
    }
}

/// Puts what is seen of pods in the place of what was. That a pod has ended is not forgotten for an older view of it.
fn note(last: &mut Vec<PodDigest>, seen: Vec<PodDigest>) {
    for pod in seen {
        match last.iter_mut().find(|known| known.uid == pod.uid) {
            Some(known) if known.may_run() || !pod.may_run() => *known = pod,
            Some(_) => {}
            None => last.push(pod),
        }
    }
}
