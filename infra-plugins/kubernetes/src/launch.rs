//! From a plan to a Job.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use infra_contract::{LaunchLog, Unheard};
use k8s_openapi::api::batch::v1::Job;
use rand::Rng as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster};
use crate::error::KubernetesError;
use crate::handle::JobRef;
use crate::manifest::secrets::secret_name;
use crate::plan::KubernetesPlan;
use crate::secret;

/// The pauses between tries grow up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Said on the run's log and in its state when the API server does not take the Job at once.
const NOT_YET: &str = "The Kubernetes API server does not take the Job yet";

/// What hands a Secret over to its Job is tried for so long only: the run may go on by then and is not watched yet.
const HAND_OVER: Duration = Duration::from_secs(10);

/// One launch.
pub(crate) struct Launching<'l> {
    pub(crate) cluster: &'l Cluster,
    pub(crate) plan: KubernetesPlan,
    /// Failures that may pass are tried again until then.
    pub(crate) deadline: Duration,
    /// Whether an earlier request for the Job may still take effect.
    pub(crate) is_open: bool,
    pub(crate) log: &'l dyn LaunchLog,
}

/// What a launch has made.
pub(crate) struct Launched {
    pub(crate) job: JobRef,
    /// The Job has a Secret that is not removed with it.
    pub(crate) leaves_secret: bool,
}

impl Launching<'_> {
    /// Makes the Job and what it needs. What an earlier try has made is found.
    pub(crate) async fn bring_up(&self) -> Result<Launched, KubernetesError> {
        let tries = Tries::until(self.deadline, self.log);
        let plan = &self.plan;
        if let Some(shared) = &plan.shared_api_key {
            let secret = secret::of_shared(shared);
            tries.run("secret", false, || self.put_secret(&shared.name, &secret)).await?;
        }
        let secret = plan.secret.as_ref().map(secret::of_run);
        let mut is_secret_new = false;
        if let Some(secret) = &secret {
            let name = secret.metadata.name.as_deref().unwrap_or_default();
            is_secret_new = tries.run("secret", false, || self.put_secret(name, secret)).await?;
        }
        match self.make_job(&tries).await {
            Ok(job) => {
                let leaves_secret = secret.is_some() && !hand_over_secret(self.cluster, &job).await;
                Ok(Launched { job, leaves_secret })
            }
            Err(error) => {
                let is_of_other = matches!(error, KubernetesError::NameTaken(_)) && !is_secret_new;
                // Nothing else will come for it.
                if secret.is_some() && !error.is_open() && !is_of_other {
                    self.discard_secret().await;
                }
                Err(error)
            }
        }
    }

    async fn make_job(&self, tries: &Tries<'_>) -> Result<JobRef, KubernetesError> {
        let plan = &self.plan;
        let created = tries.run("job", self.is_open, || self.cluster.create_job(&plan.namespace, &plan.job)).await;
        let job = match created {
            Ok(job) => job,
            Err(error) if error.is_taken() => self.found(tries).await?,
            Err(error) => return Err(error),
        };
        let launched = JobRef::of_job(&self.cluster.id, &job);
        launched
            .filter(|launched| launched.marks.key == plan.marks.key)
            .ok_or_else(|| KubernetesError::NameTaken(plan.name.clone()))
    }

    /// The Job that has the name already: its name follows from the execution, so it is most likely ours.
    async fn found(&self, tries: &Tries<'_>) -> Result<Job, KubernetesError> {
        let (namespace, name) = (&self.plan.namespace, &self.plan.name);
        match tries.run("job", true, || self.cluster.job(namespace, name)).await? {
            Some(job) if job.metadata.deletion_timestamp.is_none() => Ok(job),
            Some(_) | None => Err(KubernetesError::BeingDeleted(name.clone())),
        }
    }

    /// Creates a Secret, or brings one of an earlier try up to date. Whether it is new.
    async fn put_secret(&self, name: &str, secret: &k8s_openapi::api::core::v1::Secret) -> Result<bool, CallError> {
        let namespace = &self.plan.namespace;
        match self.cluster.create_secret(namespace, secret).await {
            Err(error) if error.reason() == "AlreadyExists" => {
                let patch = json!({"stringData": secret.string_data});
                self.cluster.patch_secret(namespace, name, &patch).await?;
                Ok(false)
            }
            answer => answer.map(|()| true),
        }
    }

    async fn discard_secret(&self) {
        let name = secret_name(&self.plan.marks.key);
        if let Err(error) = self.cluster.delete_secret(&self.plan.namespace, &name).await {
            tracing::warn!(secret = name, "the Secret of a Job that was not made stays: {error}");
        }
    }
}

/// Makes Kubernetes remove the Secret with the Job. False if it does not; that is no reason to stop the run.
pub(crate) async fn hand_over_secret(cluster: &Cluster, job: &JobRef) -> bool {
    let owner: Value = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": job.uid, "controller": false,
        "blockOwnerDeletion": false,
    }]);
    let patch = json!({"metadata": {"ownerReferences": owner}});
    let name = secret_name(&job.marks.key);
    let tries = Tries::until(HAND_OVER, &Unheard);
    let handed_over = tries.run("secret", false, || cluster.patch_secret(&job.namespace, &name, &patch)).await;
    if let Err(error) = &handed_over {
        tracing::warn!(secret = name, job = job.name, "Kubernetes will not remove the Secret with its Job: {error}");
    }
    handed_over.is_ok()
}

/// Trying again what may work later.
struct Tries<'l> {
    began: Instant,
    deadline: Duration,
    log: &'l dyn LaunchLog,
    /// That it has to wait is said once for all that is made.
    is_said: AtomicBool,
}

impl<'l> Tries<'l> {
    fn until(deadline: Duration, log: &'l dyn LaunchLog) -> Self {
        Self { began: Instant::now(), deadline, log, is_said: AtomicBool::new(false) }
    }

    /// `is_open` says that it may have been made already.
    async fn run<T, F>(&self, what: &'static str, mut is_open: bool, call: impl Fn() -> F) -> Result<T, KubernetesError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut pause = Duration::from_secs(1);
        loop {
            let source = match call().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            is_open |= source.leaves_open();
            if source.reason() == "AlreadyExists" {
                return Err(KubernetesError::Creation { what, source });
            }
            let after = self.began.elapsed();
            let is_transient = source.is_transient();
            if !is_transient || after >= self.deadline {
                // After a try of unknown outcome even a refusal does not prove that nothing was made: what was made may have
                // used up the quota.
                return Err(match (is_open, is_transient) {
                    (true, _) => KubernetesError::Unclear { what, source },
                    (false, true) => KubernetesError::GivenUp { what, after, source },
                    (false, false) => KubernetesError::Creation { what, source },
                });
            }
            tracing::debug!(what, "it is not created yet: {source}");
            if !self.is_said.swap(true, Ordering::Relaxed) {
                self.log.waiting(&format!("{NOT_YET}: {source}")).await;
            }
            let jitter = rand::rng().random_range(0.75..1.25);
            let until_deadline = self.deadline.saturating_sub(after).max(Duration::from_secs(1));
            let wanted = source.retry_after().unwrap_or(pause.mul_f64(jitter).min(LONGEST_PAUSE));
            tokio::time::sleep(wanted.min(until_deadline)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
