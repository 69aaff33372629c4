//! The plugin.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use infra_contract::{
    CancelsRunning, Capabilities, EventStream, Finding, Found, InfraError, InfraObserver, InfraPlugin, JobTemplate,
    Killed, LaunchLog, Named, OutputLine,
};
use kube::api::PropagationPolicy;
use serde_json::Value;
use tokio::time::Instant;
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::{InfraId, LaunchKey, RunId};
use worker_core::job_configuration::lenient::{self, Fields};
use worker_core::machine::KillIntent;
use worker_core::spec::{Plan, RunSpec};

use crate::autoscaling::Inquiries;
use crate::check;
use crate::cluster::{CallError, Cluster, Clusters, Deletion};
use crate::ends::Ends;
use crate::error::KubernetesError;
use crate::fields::OWN_VARIABLES;
use crate::handle::{JobRef, KIND, namespace_and_name};
use crate::inquest::Inquest;
use crate::judgement::JobDigest;
use crate::kill::Killing;
use crate::launch::{Launched, Launching, hand_over_secret};
use crate::manifest::secrets::secret_name;
use crate::marks::{CLAIM, Marks, OWNER, RUN};
use crate::notes::{Asked, Notes};
use crate::observe::Observer;
use crate::output::Followed;
use crate::plan::{self, KubernetesPlan};
use crate::settings::{Cleanup, KubernetesSettings};
use crate::sight::Tells;
use crate::template::base_job_template;
use crate::watch::Watcher;
use crate::watching::{Scope, Scopes};

/// A request that was sent takes effect within this time, or never: API servers end theirs after a minute.
const TAKES_EFFECT: Duration = Duration::from_secs(65);

/// Pauses between the tries of a clean-up.
const CLEANUP_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30)];

/// The plugin of kind `kubernetes`. Needs a tokio runtime with time and I/O.
pub struct KubernetesPlugin {
    settings: KubernetesSettings,
    template: JobTemplate,
    default_image: String,
    /// Version of the client that this worker passes for.
    version: String,
    clusters: Arc<Clusters>,
    scopes: Arc<Scopes>,
    ends: Ends,
    followed: Followed,
    inquiries: Inquiries,
    notes: Notes,
    /// When this process began.
    began: Instant,
    /// Executions for which this process has asked for a Job and got no answer, and when.
    unclear: Mutex<HashMap<LaunchKey, Instant>>,
    /// Executions whose Secrets Kubernetes does not remove with their Jobs.
    left_secrets: Mutex<HashSet<LaunchKey>>,
}

impl std::fmt::Debug for KubernetesPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesPlugin").field("default_image", &self.default_image).finish_non_exhaustive()
    }
}

impl KubernetesPlugin {
    /// A plugin that has asked no cluster yet. `default_image` runs flows whose configuration names none; `version` is that of
    /// the Prefect client that the worker passes for.
    pub fn new(settings: KubernetesSettings, default_image: impl Into<String>, version: impl Into<String>) -> Self {
        let folder = &settings.state_directory;
        Self {
            template: base_job_template(),
            default_image: default_image.into(),
            version: version.into(),
            clusters: Arc::new(Clusters::new(
                settings.kubeconfig.clone(),
                settings.context.clone(),
                folder.join("clusters"),
            )),
            scopes: Arc::new(Scopes::new(settings.namespaces.clone(), &settings.label_filters)),
            ends: Ends::default(),
            followed: Followed::default(),
            inquiries: Inquiries::default(),
            notes: Notes::new(folder.join("output")),
            began: Instant::now(),
            unclear: Mutex::default(),
            left_secrets: Mutex::default(),
            settings,
        }
    }

    async fn job_and_cluster(&self, handle: &Handle) -> Result<(JobRef, Cluster), KubernetesError> {
        let job = JobRef::of(handle)?;
        let cluster = self.clusters.by_id(&job.cluster).await?;
        Ok((job, cluster))
    }

    async fn scope(&self, cluster: &Cluster, namespace: &str) -> Result<Arc<Scope>, KubernetesError> {
        let scope = self.scopes.covering(cluster, namespace).await;
        scope.map_err(KubernetesError::of("what may be watched cannot be found out"))
    }

    async fn bring_up(
        &self,
        key: LaunchKey,
        plan: KubernetesPlan,
        log: &dyn LaunchLog,
    ) -> Result<JobRef, KubernetesError> {
        let cluster = self.clusters.of(plan.cluster.as_ref()).await?;
        self.clusters.note(&cluster.id, &plan.namespace).map_err(KubernetesError::Notes)?;
        let asked = Asked { cluster: cluster.id.clone(), namespace: plan.namespace.clone(), is_open: true };
        self.notes.note_asked(&key, &asked).map_err(KubernetesError::Notes)?;
        for warning in &plan.warnings {
            log.warn(warning.clone());
        }
        // Who tried for long already does not try so long again.
        let tried = self.unclear().get(&key).copied();
        let deadline = if tried.is_some() { Duration::ZERO } else { self.settings.create_deadline };
        let is_open = tried.is_some_and(|tried| tried.elapsed() < TAKES_EFFECT);
        let launching = Launching { cluster: &cluster, plan, deadline, is_open, log };
        match launching.bring_up().await {
            Ok(Launched { job, leaves_secret }) => {
                self.unclear().remove(&key);
                // A note that cannot be written makes a later process wait a minute, and no more.
                drop(self.notes.note_asked(&key, &Asked { is_open: false, ..asked }));
                if leaves_secret {
                    self.left_secrets().insert(key);
                }
                log.info(format!("Created Job '{}' in namespace '{}'", job.name, job.namespace));
                Ok(job)
            }
            Err(error) => {
                if error.is_open() {
                    self.unclear().insert(key, Instant::now());
                } else {
                    self.notes.forget_asked(&key);
                }
                Err(error)
            }
        }
    }

    /// The Jobs of this daemon that are not over.
    async fn owned_now(&self) -> Result<Vec<JobRef>, KubernetesError> {
        let mut found = Vec::new();
        let mut unasked = false;
        for (cluster, namespaces) in self.clusters.noted() {
            for namespace in &namespaces {
                match self.scopes.complete(&cluster, namespace).await {
                    Some(scope) => found.extend(scope.store.jobs().iter().filter_map(|job| self.own(&cluster, job))),
                    None => unasked = true,
                }
            }
        }
        if unasked {
            found = Vec::new();
            for (cluster, namespaces) in self.clusters.noted() {
                // A cluster that is away must not hide what is in the others.
                match self.owned_in(&cluster, &namespaces).await {
                    Ok(jobs) => found.extend(jobs),
                    Err(error) => tracing::warn!("what runs in a cluster cannot be listed: {error}"),
                }
            }
        }
        found.sort_by(|one, other| one.uid.cmp(&other.uid));
        found.dedup_by(|one, other| one.uid == other.uid);
        Ok(found)
    }

    async fn owned_in(&self, cluster: &str, namespaces: &BTreeSet<String>) -> Result<Vec<JobRef>, KubernetesError> {
        let cluster = self.clusters.by_id(cluster).await?;
        let mut found = Vec::new();
        for namespace in self.places(&cluster, namespaces).await? {
            let jobs = match cluster.jobs_labelled(namespace, OWNER).await {
                // It may be gone, or closed to us since: the others are looked at all the same.
                Err(error) if error.is_closed() => continue,
                jobs => jobs.map_err(KubernetesError::of("the Jobs cannot be listed"))?,
            };
            found.extend(jobs.iter().map(JobDigest::of).filter_map(|job| self.own(&cluster.id, &job)));
        }
        Ok(found)
    }

    /// Where to look in a cluster: everywhere, or in these namespaces.
    async fn places<'n>(
        &self,
        cluster: &Cluster,
        namespaces: &'n BTreeSet<String>,
    ) -> Result<Vec<Option<&'n str>>, KubernetesError> {
        let is_everywhere = self.scopes.is_everywhere(cluster).await;
        let is_everywhere = is_everywhere.map_err(KubernetesError::of("what may be listed cannot be found out"))?;
        Ok(if is_everywhere { vec![None] } else { namespaces.iter().map(|name| Some(name.as_str())).collect() })
    }

    /// A Job of this daemon that runs, waits or retries. One that is over is nobody's any more.
    fn own(&self, cluster: &str, job: &JobDigest) -> Option<JobRef> {
        if !self.settings.owner.answers_for(job.labels.get(OWNER)?) || job.deleted.is_some() || job.may_be_over() {
            return None;
        }
        let marks = Marks::of(&job.labels.to_map(), &job.annotations.to_map())?;
        Some(JobRef {
            cluster: cluster.to_owned(),
            namespace: job.namespace.to_string(),
            name: job.name.to_string(),
            uid: job.uid.to_string(),
            marks,
        })
    }

    /// Removes what is not to stay of a run that is over.
    async fn removed(&self, cluster: &Cluster, job: &JobRef) -> Result<(), CallError> {
        let removes_job = job.marks.cleanup == Cleanup::Remove;
        // Its pods have read it. With the Job it goes by itself, if the two are joined.
        let secret = if job.marks.has_secret && (!removes_job || self.left_secrets().contains(&job.marks.key)) {
            let name = secret_name(&job.marks.key);
            patiently(|| cluster.delete_secret(&job.namespace, &name)).await
        } else {
            Ok(())
        };
        if removes_job {
            let propagation = Some(PropagationPolicy::Background);
            let how = Deletion { grace: None, propagation, uid: Some(job.uid.clone()) };
            patiently(|| cluster.delete_job(&job.namespace, &job.name, &how)).await?;
        }
        secret
    }

    fn unclear(&self) -> MutexGuard<'_, HashMap<LaunchKey, Instant>> {
        self.unclear.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_secrets(&self) -> MutexGuard<'_, HashSet<LaunchKey>> {
        self.left_secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody asks again for what stays after a run.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    for pause in CLEANUP_PAUSES {
        match call().await {
            Err(error) if error.is_transient() => tokio::time::sleep(error.retry_after().unwrap_or(pause)).await,
            answer => return answer,
        }
    }
    call().await
}

/// The Job of an execution.
async fn labelled(cluster: &Cluster, namespace: &str, key: &LaunchKey) -> Result<Option<JobRef>, KubernetesError> {
    let selector = format!("{RUN}={},{CLAIM}={}", key.run, key.claim);
    let jobs = match cluster.jobs_labelled(Some(namespace), &selector).await {
        // The namespace is gone, and all in it.
        Err(error) if error.is_not_found() => return Ok(None),
        jobs => jobs.map_err(KubernetesError::of("the Jobs cannot be listed"))?,
    };
    let mut live = jobs.iter().filter(|job| job.metadata.deletion_timestamp.is_none());
    Ok(live.find_map(|job| JobRef::of_job(&cluster.id, job)))
}

#[async_trait]
impl InfraPlugin for KubernetesPlugin {
    fn kind(&self) -> PluginKind {
        PluginKind::new(KIND)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            cancels_running: CancelsRunning::Infrastructure,
            handles_cleanup_messages: true,
            outlives_worker: true,
            puts_runs_back: true,
        }
    }

    fn base_job_template(&self) -> &JobTemplate {
        &self.template
    }

    fn own_variables(&self) -> &'static [&'static str] {
        &OWN_VARIABLES
    }

    fn takes_code(&self, _fields: &Fields) -> bool {
        false
    }

    fn has_code_brought(&self, fields: &Fields) -> bool {
        // What is wrong with the field is said when the run is prepared.
        lenient::bool(fields, "native_code").ok().flatten().unwrap_or(false)
    }

    async fn check(&self) -> Vec<Finding> {
        let cluster = self.clusters.of(None).await;
        let namespaces = self.clusters.noted().remove("").unwrap_or_default();
        check::findings(&self.settings, cluster, namespaces).await
    }

    async fn reachable(&self) -> Result<(), InfraError> {
        let cluster = self.clusters.of(None).await.map_err(KubernetesError::from)?;
        let answered = cluster.version().await.map_err(KubernetesError::of("the cluster does not answer"));
        Ok(answered.map(drop)?)
    }

    fn watch_restarts(&self) -> u64 {
        self.scopes.restarts()
    }

    async fn prepare(&self, spec: &RunSpec) -> Result<Plan, InfraError> {
        Ok(plan::make(&self.settings, &self.default_image, spec).map_err(KubernetesError::from)?)
    }

    async fn seen(&self, run: RunId, plan: &Plan) -> Result<Vec<Value>, InfraError> {
        let detail = KubernetesPlan::of(plan).map_err(KubernetesError::from)?;
        let cluster = self.clusters.of(detail.cluster.as_ref()).await.map_err(KubernetesError::from)?;
        let label = format!("{}={run}", crate::marks::FLOW_RUN_ID);
        let jobs = cluster.jobs_labelled(Some(&detail.namespace), &label).await;
        let jobs = jobs.map_err(KubernetesError::of("the Jobs of the run cannot be listed"))?;
        Ok(jobs.iter().filter_map(plan::shown_job).collect())
    }

    async fn launch(&self, plan: &Plan, log: &dyn LaunchLog) -> Result<Handle, InfraError> {
        let detail = KubernetesPlan::of(plan).map_err(KubernetesError::from)?;
        Ok(Box::pin(self.bring_up(plan.key, detail, log)).await?.into_handle()?)
    }

    async fn find(&self, key: &LaunchKey) -> Result<Option<Handle>, InfraError> {
        let Some(asked) = self.notes.asked(key).map_err(KubernetesError::Notes)? else { return Ok(None) };
        let cluster = self.clusters.by_id(&asked.cluster).await.map_err(KubernetesError::from)?;
        if let Some(found) = labelled(&cluster, &asked.namespace, key).await? {
            // Who made it may have ended before the Secret was handed over.
            if found.marks.has_secret && !hand_over_secret(&cluster, &found).await {
                self.left_secrets().insert(*key);
            }
            return Ok(Some(found.into_handle()?));
        }
        // What an earlier process has sent, it sent before this one began.
        let sent = self.unclear().get(key).copied().or_else(|| asked.is_open.then_some(self.began));
        if sent.is_some_and(|sent| sent.elapsed() < TAKES_EFFECT) {
            return Err(InfraError::new(
                infra_contract::ErrorClass::Transient,
                "the Job may still be made: the API server has not answered and has a minute for it",
            ));
        }
        self.unclear().remove(key);
        if let Err(error) = cluster.delete_secret(&asked.namespace, &secret_name(key)).await {
            tracing::debug!(namespace = asked.namespace, "whether a launch left a Secret is not known: {error}");
        }
        self.notes.forget_asked(key);
        Ok(None)
    }

    async fn reattach(&self, handle: &Handle) -> Result<Found, InfraError> {
        let (job, cluster) = self.job_and_cluster(handle).await?;
        let key = job.marks.key;
        if let Some(report) = self.ends.report(&key) {
            return Ok(Found::Exited(report));
        }
        let found =
            cluster.job(&job.namespace, &job.name).await.map_err(KubernetesError::of("the Job cannot be read"))?;
        if found.is_none_or(|found| found.metadata.uid.as_deref() != Some(&job.uid)) {
            return Ok(Found::Gone);
        }
        let last_lines = self.settings.forward_crashed_run_logs_tail_lines;
        let inquest = Inquest { cluster: &cluster, job: &job, ends: &self.ends, last_lines };
        let report = inquest.report(&[], self.ends.was_stopped(&key)).await;
        match report.map_err(KubernetesError::of("how the Job ended cannot be found out"))? {
            Some(report) => {
                self.ends.note(key, &report);
                Ok(Found::Exited(report))
            }
            None => Ok(Found::Running),
        }
    }

    async fn watch(&self, handle: &Handle) -> Result<EventStream, InfraError> {
        let (job, cluster) = self.job_and_cluster(handle).await?;
        self.clusters.note(&cluster.id, &job.namespace).map_err(KubernetesError::Notes)?;
        let scope = self.scope(&cluster, &job.namespace).await?;
        let watcher = Watcher {
            cluster,
            scope,
            job,
            ends: self.ends.clone(),
            followed: self.followed.clone(),
            notes: self.notes.clone(),
            inquiries: self.inquiries.clone(),
            tells: Tells {
                states: self.settings.observe,
                events: self.settings.observe && self.settings.replicate_pod_events,
            },
            version: self.version.clone(),
            last_lines: self.settings.forward_crashed_run_logs_tail_lines,
        };
        Ok(watcher.events())
    }

    async fn kill(&self, handle: &Handle, intent: KillIntent, grace: Duration) -> Result<Killed, InfraError> {
        let (job, cluster) = self.job_and_cluster(handle).await?;
        let scope = self.scope(&cluster, &job.namespace).await?;
        let by_force = intent == KillIntent::Force || grace.is_zero();
        let killing = Killing { cluster: &cluster, job: &job, scope: &scope, ends: &self.ends };
        Ok(killing.run(grace, by_force).await?)
    }

    async fn cleanup(&self, handle: &Handle) -> Result<(), InfraError> {
        let (job, cluster) = self.job_and_cluster(handle).await?;
        let cleaned = self.removed(&cluster, &job).await;
        self.notes.forget(&handle.key);
        self.ends.forget(&handle.key);
        self.unclear().remove(&handle.key);
        cleaned.map_err(KubernetesError::of("what is left of the run cannot be removed"))?;
        self.left_secrets().remove(&handle.key);
        Ok(())
    }

    async fn owned(&self) -> Result<Vec<Handle>, InfraError> {
        let owned = self.owned_now().await?;
        Ok(owned.into_iter().map(JobRef::into_handle).collect::<Result<_, _>>()?)
    }

    async fn last_output(&self, handle: &Handle) -> Result<Vec<OutputLine>, InfraError> {
        if !self.settings.forward_crashed_run_logs {
            return Ok(Vec::new());
        }
        Ok(self.ends.take_output(&handle.key))
    }

    fn observer(&self) -> Option<Arc<dyn InfraObserver>> {
        self.settings.observe.then(|| {
            let observer: Arc<dyn InfraObserver> = Arc::new(Observer {
                clusters: Arc::clone(&self.clusters),
                scopes: Arc::clone(&self.scopes),
                owner: self.settings.owner.clone(),
                replicates: self.settings.replicate_pod_events,
                version: self.version.clone(),
                last_lines: if self.settings.forward_crashed_run_logs {
                    self.settings.forward_crashed_run_logs_tail_lines
                } else {
                    0
                },
                asked_at_once: self.settings.startup_event_concurrency,
            });
            observer
        })
    }

    async fn named(&self, id: &InfraId) -> Result<Named, InfraError> {
        let Some((namespace, name)) = namespace_and_name(id) else { return Ok(Named::Elsewhere) };
        let mut clusters: Vec<String> = self.clusters.noted().into_keys().collect();
        if !clusters.iter().any(String::is_empty) {
            clusters.push(String::new());
        }
        let mut is_certain = true;
        for cluster in clusters {
            let Ok(cluster) = self.clusters.by_id(&cluster).await else {
                is_certain = false;
                continue;
            };
            match cluster.job(namespace, name).await {
                Ok(Some(job)) => {
                    if let Some(found) = JobRef::of_any_job(&cluster.id, &job) {
                        return Ok(Named::Found(Box::new(found.into_handle()?)));
                    }
                    is_certain = false;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!("a cluster does not say whether it has {id}: {error}");
                    is_certain = false;
                }
            }
        }
        Ok(if is_certain { Named::Gone } else { Named::Elsewhere })
    }
}
