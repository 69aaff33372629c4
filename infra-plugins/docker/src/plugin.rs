//! The plugin.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::ContainerSummaryStateEnum;
use infra_contract::{
    CancelsRunning, Capabilities, EventStream, Finding, Found, InfraError, InfraPlugin, JobTemplate, Killed, LaunchLog,
    Named, Severity,
};
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::{InfraId, LaunchKey, RunId};
use worker_core::job_configuration::lenient::Fields;
use worker_core::machine::KillIntent;
use worker_core::spec::{Plan, RunSpec};

use crate::connection::{self, Endpoint};
use crate::ending;
use crate::engine::{Engine, Removal};
use crate::error::DockerError;
use crate::fields::{OWN_VARIABLES, takes_code};
use crate::handle::{Container, KIND, container_id};
use crate::inquest::Inquest;
use crate::kept::Kept;
use crate::launch::{Launching, Standing, standing};
use crate::marks;
use crate::notes::Notes;
use crate::plan::{self, DockerPlan};
use crate::pull::Pulls;
use crate::seen;
use crate::settings::{Cleanup, DockerSettings};
use crate::stopped::Stopped;
use crate::template::base_job_template;
use crate::turns::Turns;
use crate::watch::Watcher;

/// An engine that is being started anew gets so long before a launch fails for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A killed container is gone within this time, or the kill is tried again.
const KILLED_WITHIN: Duration = Duration::from_mins(1);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// The plugin of kind `docker`. Needs a tokio runtime with time and I/O.
pub struct DockerPlugin {
    settings: DockerSettings,
    template: JobTemplate,
    default_image: String,
    engine: AsyncMutex<Option<Engine>>,
    pulls: Pulls,
    turns: Turns,
    /// Executions for which this process has asked the engine to make something: that it does not answer then proves nothing.
    attempted: Mutex<HashSet<LaunchKey>>,
    stopped: Stopped,
    notes: Notes,
}

impl std::fmt::Debug for DockerPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerPlugin").field("default_image", &self.default_image).finish_non_exhaustive()
    }
}

impl DockerPlugin {
    /// A plugin that has asked no engine yet. `default_image` runs flows whose configuration names none.
    pub fn new(settings: DockerSettings, default_image: impl Into<String>) -> Self {
        let notes = Notes::new(settings.state_directory.clone());
        Self {
            settings,
            template: base_job_template(),
            default_image: default_image.into(),
            engine: AsyncMutex::default(),
            pulls: Pulls::default(),
            turns: Turns::default(),
            attempted: Mutex::default(),
            stopped: Stopped::default(),
            notes,
        }
    }

    fn endpoint(&self) -> Result<Endpoint, DockerError> {
        Ok(connection::endpoint(self.settings.host.as_deref(), &self.settings.worker_environment)?)
    }

    /// The engine. Where it is, is found out once it answers: a socket may appear after the worker was started.
    async fn engine(&self) -> Result<Engine, DockerError> {
        let mut connected = self.engine.lock().await;
        if let Some(engine) = &*connected {
            return Ok(engine.clone());
        }
        let engine = Engine::connect(self.endpoint()?).await?;
        tracing::debug!(endpoint = engine.endpoint.base_url(), version = engine.version, "the engine is found");
        Ok(connected.insert(engine).clone())
    }

    /// What the engine has of an execution that is to be launched. An engine that stays away is proof that nothing was
    /// started, unless something was asked of it before.
    async fn before_launch(&self, key: &LaunchKey) -> Result<(Engine, Standing), DockerError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let asked = async {
                let engine = self.engine().await?;
                let standing = standing(&engine, key).await?;
                Ok((engine, standing))
            };
            match asked.await {
                Err(error @ DockerError::Unreachable { may_come, .. }) if !self.attempted().contains(key) => {
                    if !may_come || Instant::now() >= patience {
                        return Err(DockerError::NoEngine(Box::new(error)));
                    }
                }
                answer => return answer,
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn bring_up(&self, key: LaunchKey, plan: DockerPlan, log: &dyn LaunchLog) -> Result<Container, InfraError> {
        let (engine, standing) = self.before_launch(&key).await?;
        let made = match standing {
            Standing::Started(container) => return Ok(container),
            Standing::Made(container) => Some(container.id),
            Standing::Nothing => None,
        };
        self.notes.begin().map_err(DockerError::Notes)?;
        for warning in &plan.warnings {
            log.warn(warning.clone());
        }
        let environment = &self.settings.worker_environment;
        let launching = Launching { engine: &engine, pulls: &self.pulls, environment, key, plan, log };
        let image = launching.image().await?;
        self.attempted().insert(key);
        let id = match made {
            Some(id) => id,
            None => launching.make(&image).await.map_err(DockerError::of_creation)?,
        };
        if let Err(error) = launching.start(&id, &image).await {
            let error = InfraError::from(error);
            if error.class != infra_contract::ErrorClass::Transient {
                launching.discard(&id).await;
            }
            return Err(error);
        }
        let found = engine.inspect(&id).await?.as_ref().and_then(Container::of_inspected);
        let container = found.ok_or(DockerError::GoneAtOnce)?;
        let short: String = container.id.chars().take(12).collect();
        log.info(format!(
            "Started container '{}' ({short}) from image {}",
            container.name,
            image.named(&launching.plan.image)
        ));
        Ok(container)
    }

    /// What of a container that the daemon knows is out there.
    async fn looked_up(&self, handle: &Handle) -> Result<(Engine, Container), DockerError> {
        Ok((self.engine().await?, Container::of(handle)?))
    }

    fn attempted(&self) -> MutexGuard<'_, HashSet<LaunchKey>> {
        self.attempted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept<'p>(&'p self, engine: &'p Engine) -> Kept<'p> {
        Kept { engine, notes: &self.notes }
    }
}

#[async_trait]
impl InfraPlugin for DockerPlugin {
    fn kind(&self) -> PluginKind {
        PluginKind::new(KIND)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            cancels_running: CancelsRunning::Infrastructure,
            handles_cleanup_messages: true,
            outlives_worker: true,
            puts_runs_back: false,
        }
    }

    fn base_job_template(&self) -> &JobTemplate {
        &self.template
    }

    fn own_variables(&self) -> &'static [&'static str] {
        &OWN_VARIABLES
    }

    fn takes_code(&self, fields: &Fields) -> bool {
        // What is wrong with the field is said when the run is prepared.
        takes_code(fields).unwrap_or(false)
    }

    async fn check(&self) -> Vec<Finding> {
        let finding = match self.engine().await {
            Ok(engine) => Finding {
                severity: Severity::Ok,
                message: format!("Docker engine {} at {}", engine.version, engine.endpoint.base_url()),
                hint: None,
            },
            Err(error) => {
                let message = crate::error::chain(&error);
                Finding { severity: Severity::Error, message, hint: InfraError::from(error).hint }
            }
        };
        vec![finding]
    }

    async fn reachable(&self) -> Result<(), InfraError> {
        Ok(self.engine().await?.sign_of_life().await?)
    }

    async fn prepare(&self, spec: &RunSpec) -> Result<Plan, InfraError> {
        Ok(plan::make(&self.settings, &self.endpoint()?, &self.default_image, spec)?)
    }

    async fn seen(&self, run: RunId, _plan: &Plan) -> Result<Vec<Value>, InfraError> {
        Ok(seen::of_run(&self.engine().await?, run).await?)
    }

    async fn launch(&self, plan: &Plan, log: &dyn LaunchLog) -> Result<Handle, InfraError> {
        let detail = DockerPlan::of(plan)?;
        let _turn = self.turns.take(&plan.key).await;
        let container = Box::pin(self.bring_up(plan.key, detail, log)).await?;
        self.attempted().remove(&plan.key);
        Ok(container.into_handle(&self.engine().await?.endpoint)?)
    }

    async fn find(&self, key: &LaunchKey) -> Result<Option<Handle>, InfraError> {
        let _turn = self.turns.take(key).await;
        let engine = self.engine().await?;
        loop {
            match standing(&engine, key).await? {
                Standing::Started(container) => return Ok(Some(container.into_handle(&engine.endpoint)?)),
                Standing::Nothing => {
                    self.attempted().remove(key);
                    return Ok(None);
                }
                // One that a late word of an earlier process starts after all cannot be removed, and is seen in the next round.
                Standing::Made(container) => {
                    if !engine.remove(&container.id, Removal::Stopped).await? {
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                }
            }
        }
    }

    async fn reattach(&self, handle: &Handle) -> Result<Found, InfraError> {
        let (engine, container) = self.looked_up(handle).await?;
        let Some(found) = engine.inspect(&container.id).await? else { return Ok(Found::Gone) };
        if found.state.as_ref().is_some_and(ending::is_live) {
            return Ok(Found::Running);
        }
        let inquest = Inquest { engine: &engine, container: &container, stopped: &self.stopped };
        Ok(Found::Exited(inquest.report(Some(&found), None).await?))
    }

    async fn watch(&self, handle: &Handle) -> Result<EventStream, InfraError> {
        let (engine, container) = self.looked_up(handle).await?;
        // It may be one that was taken over.
        self.notes.begin().map_err(DockerError::Notes)?;
        let (notes, stopped) = (self.notes.clone(), self.stopped.clone());
        Ok(Watcher { engine, container, notes, stopped }.events())
    }

    async fn kill(&self, handle: &Handle, intent: KillIntent, grace: Duration) -> Result<Killed, InfraError> {
        let (engine, container) = self.looked_up(handle).await?;
        let state = engine.inspect(&container.id).await?.and_then(|found| found.state);
        if !state.as_ref().is_some_and(ending::is_live) {
            return Ok(Killed::AlreadyGone);
        }
        self.stopped.note(&container.id);
        let by_force = intent == KillIntent::Force || grace.is_zero();
        let was_there =
            if by_force { engine.kill(&container.id).await? } else { engine.stop(&container.id, grace).await? };
        if !was_there {
            return Ok(Killed::AlreadyGone);
        }
        // A kill is only sent; a stop has waited for the end.
        if by_force {
            drop(tokio::time::timeout(KILLED_WITHIN, engine.wait(&container.id)).await);
        }
        let state = engine.inspect(&container.id).await?.and_then(|found| found.state);
        if state.as_ref().is_some_and(ending::is_live) {
            return Err(DockerError::Silent { doing: "ending a container", after: KILLED_WITHIN }.into());
        }
        let ended = state.and_then(|state| state.exit_code);
        Ok(if by_force || ended == Some(137) { Killed::Forcibly } else { Killed::Gracefully })
    }

    async fn cleanup(&self, handle: &Handle) -> Result<(), InfraError> {
        let (engine, container) = self.looked_up(handle).await?;
        match container.marks.cleanup {
            Cleanup::Remove => drop(engine.remove(&container.id, Removal::Anyway).await?),
            Cleanup::Keep | Cleanup::After(_) => self.kept(&engine).keep(&container).await?,
        }
        // What a launch whose answer was lost may have made besides.
        for summary in engine.of_execution(&handle.key).await? {
            if let Some(other) = summary.id.filter(|other| *other != container.id) {
                engine.remove(&other, Removal::Stopped).await?;
            }
        }
        self.notes.forget(&handle.key);
        self.stopped.forget(&container.id);
        self.attempted().remove(&handle.key);
        Ok(())
    }

    async fn owned(&self) -> Result<Vec<Handle>, InfraError> {
        // A daemon that never had a container needs no engine.
        if !self.notes.exist() {
            return Ok(Vec::new());
        }
        let engine = self.engine().await?;
        let containers = engine.labelled(marks::OWNER, None).await?;
        let ours = containers.into_iter().filter(|container| {
            let owner = container.labels.as_ref().and_then(|labels| labels.get(marks::OWNER));
            owner.is_some_and(|owner| self.settings.owner.answers_for(owner))
        });
        let ours: Vec<_> = ours.collect();
        let settled = self.kept(&engine).tidy(&ours).await;
        let mut owned = Vec::new();
        for summary in &ours {
            let Some(container) = Container::of_summary(summary).filter(|container| !settled.contains(&container.id))
            else {
                continue;
            };
            if summary.state == Some(ContainerSummaryStateEnum::CREATED) {
                self.remove_unstarted(&engine, &container).await;
            } else {
                owned.push(container.into_handle(&engine.endpoint)?);
            }
        }
        Ok(owned)
    }

    async fn named(&self, id: &InfraId) -> Result<Named, InfraError> {
        let Some(container) = container_id(id) else { return Ok(Named::Elsewhere) };
        let engine = self.engine().await?;
        let Some(found) = engine.inspect(container).await? else { return Ok(Named::Gone) };
        Ok(match Container::of_inspected(&found) {
            Some(container) => Named::Found(Box::new(container.into_handle(&engine.endpoint)?)),
            None => Named::Elsewhere,
        })
    }
}

impl DockerPlugin {
    /// Removes what a launch left that came to nothing: nobody starts it any more.
    async fn remove_unstarted(&self, engine: &Engine, container: &Container) {
        if self.turns.is_taken(&container.marks.key) {
            return;
        }
        match engine.remove(&container.id, Removal::Stopped).await {
            Ok(_) => tracing::info!(container = container.name, "a container that was never started is removed"),
            Err(error) => {
                tracing::warn!(
                    container = container.name,
                    "it was never started and is not removed: {}",
                    crate::error::chain(&error)
                );
            }
        }
    }
}
