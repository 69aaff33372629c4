//! The plugin.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use infra_contract::{
    CancelsRunning, Capabilities, ErrorClass, EventStream, Finding, FlowHooks, Found, InfraError, InfraEvent,
    InfraPlugin, JobTemplate, Killed, LaunchLog, LocalProcess,
};
use serde_json::Value;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use worker_core::exit::{Exit, ExitReport};
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::{LaunchKey, RunId};
use worker_core::job_configuration::lenient::{self, Fields};
use worker_core::machine::KillIntent;
use worker_core::spec::{Plan, RunSpec};

use crate::adoption::{self, Adopted};
use crate::changes::Changes;
use crate::check;
use crate::claim::{Claim, Fence};
use crate::environment;
use crate::error::ProcessError;
use crate::fences::{self, FENCE_TIME, LEFTOVER_AGE};
use crate::fields::SANDBOX;
use crate::folder::RunFolder;
use crate::fork_server::ForkServer;
use crate::handle::{HandleDetail, KIND};
use crate::interpreter;
use crate::launch;
use crate::plan::{self, ProcessPlan};
use crate::removal;
use crate::run::Run;
use crate::seen;
use crate::settings::ProcessSettings;
use crate::shepherd;
use crate::stop;
use crate::template::base_job_template;
use crate::uv;
use crate::warm::WarmPool;

/// The plugin of kind `process`. Needs a tokio runtime with time and I/O from the first launch on.
#[derive(Debug)]
pub struct ProcessPlugin {
    settings: ProcessSettings,
    template: JobTemplate,
    warm: WarmPool,
    forks: ForkServer,
    changes: OnceLock<Changes>,
    runs: Mutex<HashMap<LaunchKey, Tended>>,
    /// What earlier worker processes left of failed launches is removed once.
    cleared: AtomicBool,
    /// Held while a fence is put up, lifted or taken down.
    fences: Arc<Mutex<()>>,
    /// What runs do not get of the worker's environment is said to the first one.
    said_what_is_kept_out: AtomicBool,
    /// Tasks that take fences down when their time is over.
    taking_down: Mutex<JoinSet<()>>,
}

/// A run, and the task that tends it.
#[derive(Debug)]
struct Tended {
    run: Arc<Run>,
    _shepherd: AbortOnDropHandle<()>,
}

impl ProcessPlugin {
    /// A plugin that has started nothing yet.
    pub fn new(settings: ProcessSettings) -> Self {
        // Runs that cannot be kept apart as they should do not start: better known before the first one.
        for finding in check::confinement(&settings) {
            tracing::error!("{}. {}", finding.message, finding.hint.unwrap_or_default());
        }
        let warm = WarmPool::new(settings.warm, environment::inherited(&settings));
        Self {
            settings,
            warm,
            forks: ForkServer::default(),
            template: base_job_template(),
            changes: OnceLock::new(),
            runs: Mutex::default(),
            cleared: AtomicBool::new(false),
            fences: Arc::default(),
            said_what_is_kept_out: AtomicBool::new(false),
            taking_down: Mutex::default(),
        }
    }

    /// A flow that misses a variable of the worker's misses it in its first run.
    fn say_what_is_kept_out(&self, log: &dyn LaunchLog) {
        if self.said_what_is_kept_out.swap(true, Ordering::AcqRel) {
            return;
        }
        let kept_out = self.settings.inheritance.kept_out(&self.settings.worker_environment);
        if !kept_out.is_empty() {
            log.info(format!(
                "Flow runs do not get these variables of the worker's environment: {}. To hand them on, name them in the \
                 worker's setting `process.environment_allow` (said once)",
                kept_out.join(", ")
            ));
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<LaunchKey, Tended>> {
        lock(&self.runs)
    }

    fn known(&self, key: &LaunchKey) -> Option<Arc<Run>> {
        self.runs().get(key).map(|tended| Arc::clone(&tended.run))
    }

    fn folder(&self, key: &LaunchKey) -> RunFolder {
        RunFolder::of(&self.settings.runs_directory, key)
    }

    /// Removes what launches of earlier processes left that came to nothing: with every look at what is owned, and once they
    /// are certainly over.
    async fn clear_leftovers(&self) {
        if !self.cleared.swap(true, Ordering::AcqRel) {
            let directory = self.settings.runs_directory.clone();
            lock(&self.taking_down).spawn(async move {
                tokio::time::sleep(LEFTOVER_AGE + Duration::from_secs(1)).await;
                drop(tokio::task::spawn_blocking(move || fences::clear_leftovers(&directory)).await);
            });
        }
        let directory = self.settings.runs_directory.clone();
        drop(tokio::task::spawn_blocking(move || fences::clear_leftovers(&directory)).await);
    }

    /// The run behind a handle, taken in hand if this value of the plugin has not seen it; `None` if nothing of it is left.
    async fn located(&self, handle: &Handle) -> Result<Option<Arc<Run>>, InfraError> {
        if let Some(run) = self.known(&handle.key) {
            return Ok(Some(run));
        }
        let Some(run) = self.take_in_hand(handle, None)? else { return Ok(None) };
        // Its end is about to be noted: whoever asks how it is need not ask twice.
        if run.is_over() {
            run.ended().await;
        }
        Ok(Some(run))
    }

    /// Starts the task that tends a run, in the span of whoever asked for it, unless there is one.
    fn take_in_hand(&self, handle: &Handle, supervisor: Option<Child>) -> Result<Option<Arc<Run>>, InfraError> {
        let changes = self.changes.get_or_init(Changes::listen);
        // Held while it is looked for: two callers must not both take it.
        match self.runs().entry(handle.key) {
            Entry::Occupied(tended) => Ok(Some(Arc::clone(&tended.get().run))),
            Entry::Vacant(place) => {
                let adopted = adoption::adopt(handle, self.folder(&handle.key), changes)?;
                let Some(Adopted { run, exit }) = adopted else { return Ok(None) };
                let shepherd = shepherd::tend(Arc::clone(&run), exit, supervisor.map(Box::new)).in_current_span();
                let shepherd = AbortOnDropHandle::new(tokio::spawn(shepherd));
                place.insert(Tended { run: Arc::clone(&run), _shepherd: shepherd });
                Ok(Some(run))
            }
        }
    }

    /// The handle of a run that somebody has claimed.
    async fn claimed(&self, key: &LaunchKey, folder: &RunFolder) -> Result<Option<Handle>, InfraError> {
        let claim = folder.claim().map_err(|source| unusable(folder, source))?;
        match claim.map(|claim| claim.supervised(key)) {
            Some(Ok(claimed)) => Ok(Some(adoption::handle_of(folder, &claimed).await?)),
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// Makes way for a launch of what was given up before.
    fn lift_fence(&self, folder: &RunFolder) -> io::Result<()> {
        let _fences = lock(&self.fences);
        if matches!(folder.claim()?, Some(Claim::Nobody(_))) { folder.lift_claim() } else { Ok(()) }
    }

    /// Takes a fence down when its time is over.
    fn take_down_later(&self, folder: RunFolder, fence: Fence) {
        let fences = Arc::clone(&self.fences);
        let mut taking_down = lock(&self.taking_down);
        while taking_down.try_join_next().is_some() {}
        taking_down.spawn(async move {
            tokio::time::sleep(FENCE_TIME).await;
            let _fences = lock(&fences);
            fences::take_down(&folder, fence);
        });
    }
}

fn unusable(folder: &RunFolder, source: io::Error) -> ProcessError {
    ProcessError::RunFolder { path: folder.path().to_owned(), source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl InfraPlugin for ProcessPlugin {
    fn kind(&self) -> PluginKind {
        PluginKind::new(KIND)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            cancels_running: CancelsRunning::Worker,
            handles_cleanup_messages: true,
            outlives_worker: false,
            puts_runs_back: false,
        }
    }

    fn base_job_template(&self) -> &JobTemplate {
        &self.template
    }

    fn own_variables(&self) -> &'static [&'static str] {
        &[SANDBOX]
    }

    fn takes_code(&self, _fields: &Fields) -> bool {
        true
    }

    fn local_process(&self, spec: &RunSpec) -> Option<LocalProcess> {
        let worker = &self.settings.worker_environment;
        // A launcher makes a Python of its own for the project that the code turns out to be.
        let is_ours = !uv::is_asked_for(&spec.env, worker);
        let python = is_ours.then(|| interpreter::choose(&self.settings).ok()).flatten();
        let sandbox = lenient::string(&spec.fields, SANDBOX).ok().flatten();
        let confinement = self.settings.confinement_of(sandbox.as_deref());
        Some(LocalProcess {
            is_of_another_user: confinement.is_ok_and(|confinement| confinement.run_as.is_some()),
            environment: environment::of_run(&self.settings, spec),
            python: python.map(camino::Utf8PathBuf::into_string),
        })
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = vec![check::interpreter_has_prefect(&self.settings).await];
        findings.extend(check::warm_starts(&self.settings).await);
        findings.extend(check::confinement(&self.settings));
        findings.push(check::cgroups());
        findings
    }

    async fn prepare(&self, spec: &RunSpec) -> Result<Plan, InfraError> {
        Ok(plan::make(&self.settings, spec)?)
    }

    async fn seen(&self, run: RunId, plan: &Plan) -> Result<Vec<Value>, InfraError> {
        let named = plan.shown.get("env_on_top_of_the_workers").and_then(Value::as_object);
        let named: Vec<String> = named.into_iter().flat_map(|named| named.keys().cloned()).collect();
        let looking = tokio::task::spawn_blocking(move || seen::of_run(run, &named));
        looking.await.map_err(|error| InfraError::new(ErrorClass::Bug, "looking at processes failed").because(error))
    }

    async fn launch(&self, plan: &Plan, log: &dyn LaunchLog) -> Result<Handle, InfraError> {
        if let Some(run) = self.known(&plan.key) {
            return Ok(run.handle.clone());
        }
        self.say_what_is_kept_out(log);
        let detail = ProcessPlan::of(plan)?;
        let report_state = detail.report_state;
        let folder = self.folder(&plan.key);
        let claim = folder.claim().map_err(|source| unusable(&folder, source))?;
        match claim.map(|claim| claim.supervised(&plan.key)) {
            Some(Ok(claimed)) => return adoption::handle_of(&folder, &claimed).await,
            // Whoever launches it now means it.
            Some(Err(_)) => self.lift_fence(&folder).map_err(|source| unusable(&folder, source))?,
            None => {}
        }
        let launched = launch::launch(&self.settings, &self.warm, &self.forks, plan.key, detail, &folder).await?;
        let Some((started, supervisor)) = launched else {
            let handle = self.claimed(&plan.key, &folder).await?;
            return handle.ok_or_else(|| ProcessError::GivenUp.into());
        };
        let handle = HandleDetail::of_started(started).into_handle(plan.key, report_state)?;
        self.take_in_hand(&handle, supervisor)?;
        Ok(handle)
    }

    async fn find(&self, key: &LaunchKey) -> Result<Option<Handle>, InfraError> {
        if let Some(run) = self.known(key) {
            return Ok(Some(run.handle.clone()));
        }
        let folder = self.folder(key);
        let claim = {
            let _fences = lock(&self.fences);
            fences::put_up(&folder).map_err(|source| unusable(&folder, source))?
        };
        match claim.supervised(key) {
            Ok(claimed) => Ok(Some(adoption::handle_of(&folder, &claimed).await?)),
            Err(fence) => {
                self.take_down_later(folder, fence);
                Ok(None)
            }
        }
    }

    async fn reattach(&self, handle: &Handle) -> Result<Found, InfraError> {
        Ok(match self.located(handle).await? {
            None => Found::Gone,
            Some(run) => run.end().map_or(Found::Running, Found::Exited),
        })
    }

    async fn watch(&self, handle: &Handle) -> Result<EventStream, InfraError> {
        Ok(match self.located(handle).await? {
            Some(run) => run.events(),
            None => stream::iter([Ok(InfraEvent::Exited(ExitReport::bare(Exit::Vanished)))]).boxed(),
        })
    }

    async fn kill(&self, handle: &Handle, intent: KillIntent, grace: Duration) -> Result<Killed, InfraError> {
        if let Some(run) = self.located(handle).await? {
            return Ok(stop::stop(&run, intent, grace).await?);
        }
        removal::sweep_leftovers(handle).await?;
        Ok(Killed::AlreadyGone)
    }

    async fn run_hooks(&self, handle: &Handle, hooks: FlowHooks) -> Result<(), InfraError> {
        let run = self.located(handle).await?;
        let supervision = run.as_ref().and_then(|run| run.supervision.as_ref());
        let supervision = supervision.ok_or(ProcessError::NoEnvironmentForHooks)?;
        Ok(supervision.run_hooks(hooks.into()).await?)
    }

    async fn cleanup(&self, handle: &Handle) -> Result<(), InfraError> {
        // Seen first also by a value of the plugin that has not: what is left is found through the run.
        let run = self.located(handle).await?;
        removal::remove(handle, run.as_deref(), &self.folder(&handle.key), &self.settings.runs_directory).await?;
        self.runs().remove(&handle.key);
        Ok(())
    }

    async fn owned(&self) -> Result<Vec<Handle>, InfraError> {
        let directory = &self.settings.runs_directory;
        let unusable = |source| ProcessError::RunFolder { path: directory.clone(), source };
        self.clear_leftovers().await;
        let mut owned = Vec::new();
        // One that cannot be read must not hide the others.
        for folder in fences::folders(directory).map_err(unusable)? {
            let handle = match folder.claim() {
                Ok(Some(Claim::Supervisor(claimed))) if self.settings.owner.answers_for(&claimed.owner) => {
                    adoption::handle_of(&folder, &claimed).await
                }
                Ok(Some(Claim::Torn)) => Err(self::unusable(&folder, io::ErrorKind::InvalidData.into()).into()),
                Ok(_) => continue,
                Err(error) => Err(self::unusable(&folder, error).into()),
            };
            match handle {
                Ok(handle) => owned.push(handle),
                Err(error) => {
                    let cause = error.source.as_deref().map(tracing::field::display);
                    tracing::warn!(%error, cause, "a run is left alone");
                }
            }
        }
        Ok(owned)
    }
}
