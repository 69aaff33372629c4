//! The contract between the daemon and a kind of infrastructure.
//!
//! A plugin starts, watches, stops and finds again the infrastructure of one execution of a run. It knows neither the API
//! nor the settings files nor other plugins; it never decides what becomes of a run, and it never sets a state.
//!
//! The crate spawns nothing and owns no channel. With the feature `conformance` it holds the suite that every plugin
//! must pass.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod event;
mod launch_log;
pub mod masking;
mod observer;
mod owner;
pub mod quote;
mod template;

pub use error::{ErrorClass, InfraError};
pub use event::{Found, InfraEvent, Killed, LogStream, Named, Occurrence};
pub use launch_log::{LaunchLog, Unheard};
pub use observer::{InfraObserver, Observation, Observed, OutputLine};
pub use owner::Owner;
pub use template::JobTemplate;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::Value;
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::{InfraId, LaunchKey, RunId};
use worker_core::job_configuration::lenient::Fields;
use worker_core::machine::KillIntent;
use worker_core::spec::{Plan, RunSpec};

/// What watching yields: events, and errors only when the plugin gave up for a transient reason.
pub type EventStream = BoxStream<'static, Result<InfraEvent, InfraError>>;

/// What a kind of infrastructure can do, so that callers ask before they call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Who ends a running run that was cancelled.
    pub cancels_running: CancelsRunning,
    /// The server may hand over clean-up messages for this kind on the worker channel.
    pub handles_cleanup_messages: bool,
    /// Its infrastructure goes on whatever becomes of the worker and of what the worker runs in.
    pub outlives_worker: bool,
    /// What runs inside may put its run back to Scheduled when its place is taken away, and end.
    pub puts_runs_back: bool,
}

/// Who ends a run of this kind that is cancelled while its engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelsRunning {
    /// The worker.
    Worker,
    /// The supervisor inside the infrastructure (`prefect flow-run execute`); the worker only ends runs that have not
    /// started.
    Infrastructure,
}

/// Hooks of a flow, as the SDK names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowHooks {
    /// `on_cancellation`.
    OnCancellation,
    /// `on_crashed`.
    OnCrashed,
}

/// A finding of a plugin about its surroundings, for readiness and diagnosis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether runs can be executed in spite of it.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do.
    Ok,
    /// Some runs may fail.
    Warning,
    /// No run of this kind can work.
    Error,
}

/// What a run's process of this machine is given. The environment may hold secrets, so `Debug` does not print it.
#[derive(Clone)]
pub struct LocalProcess {
    /// All of its environment but what the launch itself adds.
    pub environment: BTreeMap<String, String>,
    /// Whether it is executed as another user than the worker's: what the worker does for it, it does with its own rights.
    pub is_of_another_user: bool,
    /// Its Python, if that is known before the code is in place.
    pub python: Option<String>,
}

impl fmt::Debug for LocalProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalProcess").field("python", &self.python).finish_non_exhaustive()
    }
}

/// A kind of infrastructure.
#[async_trait]
pub trait InfraPlugin: fmt::Debug + Send + Sync + 'static {
    /// The kind, in the API's spelling of a work pool type.
    fn kind(&self) -> PluginKind;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The base job template that a new work pool of this kind gets.
    fn base_job_template(&self) -> &JobTemplate;

    /// Job variables of ours besides those of Prefect's template: they also work in pools that Prefect made.
    fn own_variables(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a run with these fields can use flow code that lies in a directory of the worker's machine.
    fn takes_code(&self, fields: &Fields) -> bool;

    /// Whether a run with these fields has its code brought by `worker pull`, elsewhere.
    fn has_code_brought(&self, _fields: &Fields) -> bool {
        false
    }

    /// The process of this machine that the run's default command would be, run by the worker's user. `None` if it is
    /// none: what it finds in its surroundings is then not what the worker finds here.
    fn local_process(&self, _spec: &RunSpec) -> Option<LocalProcess> {
        None
    }

    /// Looks at the surroundings: is the interpreter, daemon or cluster there and usable?
    async fn check(&self) -> Vec<Finding>;

    /// Whether what runs of this kind are started with answers now: for readiness, which asks every few seconds. Where there
    /// is nothing to ask it answers by itself.
    ///
    /// # Errors
    /// Why it does not.
    async fn reachable(&self) -> Result<(), InfraError> {
        Ok(())
    }

    /// How often watches that no single run asked for were begun again since the start.
    fn watch_restarts(&self) -> u64 {
        0
    }

    /// Works out what would be started. No side effects; the plan can be shown.
    ///
    /// # Errors
    /// [`ErrorClass::BadSpec`] if the configuration cannot be carried out.
    async fn prepare(&self, spec: &RunSpec) -> Result<Plan, InfraError>;

    /// Starts it. Idempotent by launch key: what exists already under the same key is found, never started twice. What takes
    /// long is said to `log`.
    ///
    /// # Errors
    /// Any class. After [`ErrorClass::Transient`] the infrastructure may or may not exist: ask [`InfraPlugin::find`];
    /// after the others nothing was started.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped launch may or may not have taken effect.
    async fn launch(&self, plan: &Plan, log: &dyn LaunchLog) -> Result<Handle, InfraError>;

    /// Looks for what a launch of unknown outcome left. `None` is final: nothing exists under this key, and a launch that
    /// was begun before, by this process or by an earlier one, brings nothing any more.
    async fn find(&self, key: &LaunchKey) -> Result<Option<Handle>, InfraError>;

    /// Asks the source itself how the infrastructure is.
    async fn reattach(&self, handle: &Handle) -> Result<Found, InfraError>;

    /// Watches until the end: the stream ends after [`InfraEvent::Exited`]. Watching decides nothing and can be done
    /// again; an end that lies in the past is yielded too.
    async fn watch(&self, handle: &Handle) -> Result<EventStream, InfraError>;

    /// Stops it and waits until nothing of it runs: by what the intent asks for first, by force after `grace`.
    /// Idempotent; something already gone is a success. Logs and exit code stay readable.
    ///
    /// # Errors
    /// [`ErrorClass::Unsupported`] if this kind, or this worker, cannot stop it.
    ///
    /// # Cancel safety
    /// Cancel safe: it can be asked again, and then begins with what is still there.
    async fn kill(&self, handle: &Handle, intent: KillIntent, grace: Duration) -> Result<Killed, InfraError>;

    /// Runs hooks of a flow whose process could not run them itself, and returns when they have ended. At most once for
    /// each execution and kind of hooks: asked again, also by a later process, it does nothing. Called after the end of
    /// the infrastructure and before [`InfraPlugin::cleanup`].
    ///
    /// # Errors
    /// [`ErrorClass::Unsupported`] where hooks cannot be run from outside; any other class if they failed.
    async fn run_hooks(&self, _handle: &Handle, _hooks: FlowHooks) -> Result<(), InfraError> {
        Err(InfraError::new(ErrorClass::Unsupported, "hooks of a flow cannot be run from outside its infrastructure"))
    }

    /// Removes what is left. Called after the end was reported. Idempotent.
    async fn cleanup(&self, handle: &Handle) -> Result<(), InfraError>;

    /// Everything out there that carries a mark which this worker answers for, except what was cleaned up and is kept for
    /// people to look at.
    async fn owned(&self) -> Result<Vec<Handle>, InfraError>;

    /// The last lines that it wrote, oldest first, as far as the backend still has them; for a run that ended before its
    /// engine could report anything.
    async fn last_output(&self, _handle: &Handle) -> Result<Vec<OutputLine>, InfraError> {
        Ok(Vec::new())
    }

    /// Watches infrastructure of runs that this daemon does not execute itself, where Prefect's worker of the kind does.
    fn observer(&self) -> Option<Arc<dyn InfraObserver>> {
        None
    }

    /// What is there for a run now, whoever launched it, in the shape of [`Plan::shown`] and masked like it: for people who want
    /// to compare. Nothing where nothing can be seen. Only looks; `plan` says where the run's infrastructure would be.
    async fn seen(&self, _run: RunId, _plan: &Plan) -> Result<Vec<Value>, InfraError> {
        Ok(Vec::new())
    }

    /// Looks for infrastructure of a run by the backend's own name for it, whoever launched it.
    async fn named(&self, id: &InfraId) -> Result<Named, InfraError> {
        let owned = self.owned().await?.into_iter().find(|handle| handle.infra_id == *id);
        Ok(owned.map_or(Named::Elsewhere, |handle| Named::Found(Box::new(handle))))
    }
}
