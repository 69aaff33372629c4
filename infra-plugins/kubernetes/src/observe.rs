//! Watching the Jobs of other workers, and those that this one does not remember, as Prefect's observer does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use infra_contract::{
    InfraError, InfraEvent, InfraObserver, Observation, Observed, Occurrence, OutputLine, Owner, masking,
};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use worker_core::ids::{InfraId, RunId};

use crate::cluster::{CallError, Cluster, Clusters};
use crate::error::KubernetesError;
use crate::handle::{JobRef, namespace_and_name};
use crate::inquest::plain_secrets;
use crate::judgement::{JobConditionKind, JobDigest, PodDigest, PodPhase, judge};
use crate::marks::{FLOW_RUN_ID, OWNER};
use crate::output::last_lines;
use crate::sight::{Sight, Tells};
use crate::watching::{JobKey, Scope, Scopes, View};

/// New namespaces and clusters are looked for so often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// An end that the server did not confirm is asked about again after this.
const PROVE_AGAIN: Duration = Duration::from_secs(5);
const PROVED_AT_A_TIME: usize = 8;
const OBSERVATIONS: usize = 256;
/// The words of Prefect's observer.
const FAILED: &str = "No active or succeeded pods found for any job";
const DELETED: &str = "Kubernetes job was deleted";

/// The observer of the Kubernetes kind.
pub(crate) struct Observer {
    pub(crate) clusters: Arc<Clusters>,
    pub(crate) scopes: Arc<Scopes>,
    pub(crate) owner: Owner,
    pub(crate) replicates: bool,
    /// Version of the client that this worker passes for.
    pub(crate) version: String,
    pub(crate) last_lines: i64,
    /// How many events that may have been told before are asked about at a time.
    pub(crate) asked_at_once: usize,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

#[async_trait]
impl InfraObserver for Observer {
    fn observations(&self) -> BoxStream<'static, Observed> {
        let (observed, received) = mpsc::channel(OBSERVATIONS);
        let round = Round {
            clusters: Arc::clone(&self.clusters),
            scopes: Arc::clone(&self.scopes),
            owner: self.owner.clone(),
            replicates: self.replicates,
            version: self.version.clone(),
            observed,
            began: Timestamp::now(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(round.go_on()));
        // The task ends with the stream.
        ReceiverStream::new(received).map(move |observed| (observed, &task).0).boxed()
    }

    fn asked_at_once(&self) -> usize {
        self.asked_at_once
    }

    async fn has_other(&self, run: RunId) -> Result<bool, InfraError> {
        let selector = format!("{FLOW_RUN_ID}={run}");
        for (cluster, namespaces) in known(&self.clusters, &self.scopes) {
            // One that nothing leads to has none.
            let Ok(cluster) = self.clusters.by_id(&cluster).await else { continue };
            let namespaces =
                if self.scopes.is_everywhere(&cluster).await.unwrap_or(false) { vec![None] } else { namespaces };
            for namespace in namespaces {
                let jobs = match cluster.jobs_labelled(namespace.as_deref(), &selector).await {
                    // A namespace that is gone took its Jobs along, and one that is closed to us is not ours to look at.
                    Err(error) if error.is_closed() => continue,
                    jobs => jobs.map_err(KubernetesError::of("the Jobs of a run cannot be listed"))?,
                };
                if jobs.iter().map(JobDigest::of).any(|job| job.active > 0 || job.succeeded > 0 || job.is_new()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn last_output(&self, infrastructure: &str) -> Result<Vec<OutputLine>, InfraError> {
        let id = InfraId(infrastructure.to_owned());
        let Some((namespace, name)) = namespace_and_name(&id) else { return Ok(Vec::new()) };
        for (cluster, _) in known(&self.clusters, &self.scopes) {
            let Ok(cluster) = self.clusters.by_id(&cluster).await else { continue };
            let Ok(pods) = cluster.pods_of(namespace, name).await else { continue };
            let mut pods: Vec<PodDigest> = pods.iter().map(PodDigest::of).collect();
            pods.sort_by_key(|pod| std::cmp::Reverse(pod.created));
            for pod in pods.iter().filter(|pod| pod.phase != PodPhase::Succeeded) {
                let mut lines = last_lines(&cluster, pod, self.last_lines).await;
                if !lines.is_empty() {
                    // Without it nobody knows what must not be said; what is in a Secret nobody asks for here.
                    let Ok(Some(job)) = cluster.job(namespace, name).await else { return Ok(Vec::new()) };
                    if JobRef::of_job(&cluster.id, &job).is_some_and(|job| job.marks.has_secret) {
                        return Ok(Vec::new());
                    }
                    let secrets = plain_secrets(&job);
                    for line in &mut lines {
                        line.text = masking::without(&line.text, secrets.iter().map(String::as_str));
                    }
                    return Ok(lines);
                }
            }
        }
        Ok(Vec::new())
    }
}

/// The clusters and namespaces that this worker has to do with.
fn known(clusters: &Clusters, scopes: &Scopes) -> Vec<(String, Vec<Option<String>>)> {
    let mut known = clusters.noted();
    known.entry(String::new()).or_default().extend(scopes.wanted().iter().cloned());
    known.into_iter().map(|(cluster, namespaces)| (cluster, namespaces.into_iter().map(Some).collect())).collect()
}

/// The observing task.
struct Round {
    clusters: Arc<Clusters>,
    scopes: Arc<Scopes>,
    owner: Owner,
    replicates: bool,
    version: String,
    observed: mpsc::Sender<Observed>,
    began: Timestamp,
}

impl Round {
    async fn go_on(self) {
        let this = Arc::new(self);
        let mut tasks: HashMap<(String, Option<String>), AbortOnDropHandle<()>> = HashMap::new();
        loop {
            for (cluster, namespaces) in known(&this.clusters, &this.scopes) {
                let Ok(cluster) = this.clusters.by_id(&cluster).await else { continue };
                let namespaces: Vec<String> = namespaces.into_iter().flatten().collect();
                let scopes = match this.scopes.observed(&cluster, &namespaces).await {
                    Ok(scopes) => scopes,
                    Err(error) => {
                        tracing::debug!("the cluster cannot be observed yet: {error}");
                        continue;
                    }
                };
                for scope in scopes {
                    let key = (scope.cluster.id.clone(), scope.namespace.clone());
                    let this = Arc::clone(&this);
                    tasks.entry(key).or_insert_with(|| {
                        AbortOnDropHandle::new(tokio::spawn(async move { this.observe(&scope).await }))
                    });
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn observe(&self, scope: &Scope) {
        let mut jobs: HashMap<JobKey, Seen> = HashMap::new();
        // Jobs whose end could not be proved yet.
        let mut unproved: HashMap<JobKey, Ending> = HashMap::new();
        loop {
            // Those that had no turn are not made to wait for those that had one.
            let prove_again = if unproved.len() > PROVED_AT_A_TIME { Duration::from_millis(50) } else { PROVE_AGAIN };
            let changed = tokio::select! {
                changed = scope.store.changes() => changed,
                () = tokio::time::sleep(prove_again), if !unproved.is_empty() => Vec::new(),
            };
            for key in changed {
                let view = scope.store.view(&key);
                if let Some(job) = view.job.as_ref().or(view.job_before.as_ref())
                    && let Some(run) = job.run_id().map(RunId)
                {
                    let seen = jobs.entry(key.clone()).or_insert_with(|| Seen::new(&self.version));
                    let whose = self.whose(job);
                    if whose != Whose::Ours {
                        self.tell(run, &view, seen).await;
                    }
                    if let Some(message) = ended(&view).filter(|_| !std::mem::replace(&mut seen.is_over, true)) {
                        let ending = Ending { run, uid: job.uid.clone(), message, patience: whose.patience() };
                        unproved.insert(key.clone(), ending);
                    }
                }
                if view.job.is_none() && view.pods.is_empty() {
                    jobs.remove(&key);
                    scope.store.forget_gone(&key);
                }
            }
            let mut left = HashMap::new();
            let mut asked = 0;
            for (key, ending) in unproved.drain() {
                // The others have their turn soon, and changes are not kept waiting.
                asked += 1;
                if asked > PROVED_AT_A_TIME {
                    left.insert(key, ending);
                    continue;
                }
                match self.prove(&scope.cluster, &key, &ending).await {
                    Ok(true) => self.report(&key, ending).await,
                    // A watch was behind, or repeated what was.
                    Ok(false) => {
                        if let Some(seen) = jobs.get_mut(&key) {
                            seen.is_over = false;
                        }
                    }
                    Err(error) if error.is_closed() => {
                        tracing::debug!(job = &*key.name, "how it ended may not be asked: {error}");
                    }
                    Err(error) => {
                        tracing::debug!(job = &*key.name, "how it ended cannot be asked: {error}");
                        left.insert(key, ending);
                    }
                }
            }
            unproved = left;
        }
    }

    /// What this daemon executes is told by who executes it. Without a record of it nobody does.
    fn whose(&self, job: &JobDigest) -> Whose {
        match job.labels.get(OWNER) {
            Some(owner) if self.owner.answers_for(owner) => Whose::Ours,
            Some(_) => Whose::OfAnotherDaemon,
            None => Whose::Foreign,
        }
    }

    async fn tell(&self, run: RunId, view: &View, seen: &mut Seen) {
        for event in seen.sight.news(view, Tells { states: true, events: self.replicates }) {
            let observation = match event {
                InfraEvent::Occurred(occurrence) => {
                    let is_old = self.is_old(&occurrence);
                    Observation::Occurred { occurrence: *occurrence, is_old }
                }
                InfraEvent::Waiting(why) => Observation::Waiting(why),
                InfraEvent::Diagnosis { severity, text } => Observation::Diagnosis { severity, text },
                InfraEvent::Started
                | InfraEvent::Output { .. }
                | InfraEvent::LogLine { .. }
                | InfraEvent::Exited(_) => continue,
            };
            self.send(run, observation).await;
        }
    }

    /// Whether the server itself says so.
    async fn prove(&self, cluster: &Cluster, key: &JobKey, ending: &Ending) -> Result<bool, CallError> {
        let now = cluster.job(&key.namespace, &key.name).await?;
        let now = now.as_ref().map(JobDigest::of).filter(|now| now.uid == ending.uid);
        Ok(now.as_ref().is_none_or(has_failed))
    }

    async fn report(&self, key: &JobKey, ending: Ending) {
        let infrastructure = format!("{}:{}", key.namespace, key.name);
        let Ending { run, message, patience, .. } = ending;
        self.send(run, Observation::Ended { infrastructure, message: message.to_owned(), patience }).await;
    }

    fn is_old(&self, occurrence: &Occurrence) -> bool {
        occurrence.occurred < self.began
    }

    async fn send(&self, run: RunId, observation: Observation) {
        // Without a reader the task is about to be aborted.
        drop(self.observed.send(Observed { run, observation }).await);
    }
}

/// Whose a Job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    OfAnotherDaemon,
    /// Prefect's own worker, or somebody else.
    Foreign,
}

impl Whose {
    /// A daemon of ours reports the end of its own runs with more than is seen from here, if it lives.
    const fn patience(self) -> Duration {
        match self {
            Self::Ours => Duration::from_mins(3),
            Self::OfAnotherDaemon => Duration::from_secs(30),
            Self::Foreign => Duration::ZERO,
        }
    }
}

/// An end that a watch told of.
struct Ending {
    run: RunId,
    uid: Box<str>,
    message: &'static str,
    patience: Duration,
}

/// What was seen of one Job.
struct Seen {
    sight: Sight,
    is_over: bool,
}

impl Seen {
    fn new(version: &str) -> Self {
        Self { sight: Sight::new(version), is_over: false }
    }
}

/// What happened to a Job that did not end well, in the words of Prefect's observer.
fn ended(view: &View) -> Option<&'static str> {
    match (&view.job, &view.job_before) {
        (Some(job), _) => has_failed(job).then_some(FAILED),
        (None, Some(before)) if before.succeeded == 0 && before.condition(JobConditionKind::Complete).is_none() => {
            Some(DELETED)
        }
        (None, _) => None,
    }
}

fn has_failed(job: &JobDigest) -> bool {
    judge(Some(job), &[], false, Timestamp::now()).is_some_and(|report| !report.exit.is_success())
}
