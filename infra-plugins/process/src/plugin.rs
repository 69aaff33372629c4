//! The plugin.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use futures::{StreamExt as _, stream};
use infra_contract::{
    CancelsRunning, Capabilities, EventStream, Finding, Found, InfraError, InfraEvent, InfraPlugin, JobTemplate, Killed,
};
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use worker_core::exit::{Exit, ExitReport};
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::LaunchKey;
use worker_core::machine::KillIntent;
use worker_core::spec::{Plan, RunSpec};

use crate::check;
use crate::control::ControlListener;
use crate::error::ProcessError;
use crate::handle::{HandleDetail, KIND};
use crate::output;
use crate::plan::{self, ProcessPlan};
use crate::process::Process;
use crate::procfs;
use crate::run::Run;
use crate::settings::ProcessSettings;
use crate::shepherd::{self, Flock};
use crate::spawn::{self, WorkingDirectory};
use crate::stop;
use crate::template::base_job_template;
use crate::tree::Tree;

/// The plugin of kind `process`. Needs a tokio runtime with time and I/O from the first launch on.
#[derive(Debug)]
pub struct ProcessPlugin {
    settings: ProcessSettings,
    template: JobTemplate,
    /// `None` inside once it turned out that nothing can be bound: runs are then stopped by signals alone.
    control: OnceCell<Option<ControlListener>>,
    runs: Mutex<HashMap<LaunchKey, Tended>>,
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
        Self { settings, template: base_job_template(), control: OnceCell::new(), runs: Mutex::default() }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<LaunchKey, Tended>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &LaunchKey) -> Option<Arc<Run>> {
        self.runs().get(key).map(|tended| Arc::clone(&tended.run))
    }

    /// The listener, bound at the first launch.
    async fn control(&self) -> Option<&ControlListener> {
        let bind = || async {
            let unbound = |error: &std::io::Error| {
                tracing::warn!(%error, "no control sessions: cancelled runs will show as crashed first");
            };
            ControlListener::bind().await.inspect_err(unbound).ok()
        };
        self.control.get_or_init(bind).await.as_ref()
    }

    /// The run behind a handle, taken in hand if an earlier worker started it; `None` if it has ended and been forgotten.
    fn located(&self, handle: &Handle) -> Result<Option<Arc<Run>>, InfraError> {
        let mut runs = self.runs();
        if let Some(tended) = runs.get(&handle.key) {
            return Ok(Some(Arc::clone(&tended.run)));
        }
        let detail = HandleDetail::of(handle)?;
        if detail.process.started.is_none() {
            return Err(ProcessError::UnknownIdentity { pid: detail.process.pid }.into());
        }
        if detail.boot_id != procfs::boot_id() {
            return Ok(None);
        }
        let Some(process) = Process::of_identity(detail.process) else { return Ok(None) };
        let run = Run::new(handle.clone(), process, None, output::channel().1);
        runs.insert(handle.key, tended(&run, shepherd::tend_stranger(Arc::clone(&run))));
        Ok(Some(run))
    }

    /// The temporary directory of a handle, if it is one of ours: a handle is read from disk, and must not make us remove
    /// something else.
    fn temporary_directory(&self, handle: &Handle) -> Result<Option<Utf8PathBuf>, ProcessError> {
        let ours = self.settings.runs_directory.join(format!("{}-prefect", handle.key));
        Ok(HandleDetail::of(handle)?.temporary_directory.filter(|path| *path == ours))
    }
}

/// Starts the process of a run and takes it in hand.
fn start(
    key: LaunchKey,
    plan: ProcessPlan,
    directory: WorkingDirectory,
    control: Option<&ControlListener>,
) -> Result<Tended, InfraError> {
    let invitation = control.map(ControlListener::invite);
    let child = spawn::spawn(&plan, &directory.path, invitation.as_ref()).inspect_err(|_| directory.discard())?;
    // A child that has not been waited for has a number.
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    let process = Process::of_child(pid);
    let detail = HandleDetail {
        process: process.identity(),
        boot_id: procfs::boot_id(),
        temporary_directory: directory.into_temporary(),
    };
    let (sender, receiver) = output::channel();
    let session = invitation.as_ref().map(|invitation| Arc::clone(&invitation.session));
    let run = Run::new(detail.into_handle(key)?, process, session, receiver);
    let flock = Flock {
        child,
        pieces: plan.stream_output.then_some(sender),
        invitation,
        interpreter: plan.interpreter,
        environment: plan.environment,
    };
    Ok(tended(&run, shepherd::tend_child(Arc::clone(&run), flock)))
}

/// Starts the task that tends a run, in the span of whoever asked for it.
fn tended(run: &Arc<Run>, shepherd: impl Future<Output = ()> + Send + 'static) -> Tended {
    let shepherd = AbortOnDropHandle::new(tokio::spawn(shepherd.in_current_span()));
    Tended { run: Arc::clone(run), _shepherd: shepherd }
}

#[async_trait]
impl InfraPlugin for ProcessPlugin {
    fn kind(&self) -> PluginKind {
        PluginKind::new(KIND)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            survives_worker_restart: false,
            cancels_running: CancelsRunning::Worker,
            handles_cleanup_messages: false,
            shares_file_system: true,
        }
    }

    fn base_job_template(&self) -> &JobTemplate {
        &self.template
    }

    async fn check(&self) -> Vec<Finding> {
        vec![check::interpreter_has_prefect(&self.settings).await]
    }

    async fn prepare(&self, spec: &RunSpec) -> Result<Plan, InfraError> {
        Ok(plan::make(&self.settings, spec)?)
    }

    async fn launch(&self, plan: &Plan) -> Result<Handle, InfraError> {
        if let Some(run) = self.known(&plan.key) {
            return Ok(run.handle.clone());
        }
        let detail = ProcessPlan::of(plan)?;
        let control = self.control().await;
        // Held while the process is started: two launches with one key must not both find nothing.
        let mut runs = self.runs();
        if let Some(tended) = runs.get(&plan.key) {
            return Ok(tended.run.handle.clone());
        }
        let directory = WorkingDirectory::ready(&self.settings, &detail, plan.key)?;
        let tended = start(plan.key, detail, directory, control)?;
        let handle = tended.run.handle.clone();
        runs.insert(plan.key, tended);
        Ok(handle)
    }

    async fn find(&self, key: &LaunchKey) -> Result<Option<Handle>, InfraError> {
        Ok(self.known(key).map(|run| run.handle.clone()))
    }

    async fn reattach(&self, handle: &Handle) -> Result<Found, InfraError> {
        Ok(match self.located(handle)? {
            None => Found::Gone,
            Some(run) => run.end().map_or(Found::Running, Found::Exited),
        })
    }

    async fn watch(&self, handle: &Handle) -> Result<EventStream, InfraError> {
        Ok(match self.located(handle)? {
            Some(run) => run.events(),
            None => stream::iter([Ok(InfraEvent::Exited(ExitReport::bare(Exit::Vanished)))]).boxed(),
        })
    }

    async fn kill(&self, handle: &Handle, intent: KillIntent, grace: Duration) -> Result<Killed, InfraError> {
        if let Some(run) = self.located(handle)? {
            return Ok(stop::stop(&run, intent, grace).await?);
        }
        sweep_leftovers(handle).await?;
        Ok(Killed::AlreadyGone)
    }

    async fn cleanup(&self, handle: &Handle) -> Result<(), InfraError> {
        let forgotten = self.runs().remove(&handle.key);
        if let Some(tended) = forgotten {
            tended.run.note_forgotten();
            // A command that ended well may have left a process on purpose. One that did not had no say in it.
            if !tended.run.end().is_some_and(|report| report.exit.is_success()) {
                sweep_leftovers(handle).await?;
            }
        }
        let Some(path) = self.temporary_directory(handle)? else { return Ok(()) };
        match fs_err::tokio::remove_dir_all(&path).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(ProcessError::Cleanup { path, source }.into()),
        }
    }

    async fn owned(&self) -> Result<Vec<Handle>, InfraError> {
        Ok(self.runs().values().map(|tended| tended.run.handle.clone()).collect())
    }
}

/// Kills what a command that is gone has left behind: it carries the marker.
async fn sweep_leftovers(handle: &Handle) -> Result<(), InfraError> {
    let tree = Tree::of(HandleDetail::of(handle)?.process, handle.key);
    tree.leader_is_reaped();
    tree.sweep().await;
    Ok(())
}
