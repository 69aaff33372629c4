//! The plugin.

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use infra_contract::{
    CancelsRunning, Capabilities, ErrorClass, EventStream, Finding, Found, InfraError, InfraEvent, InfraPlugin,
    JobTemplate, Killed, LaunchLog,
};
use serde_json::json;
use worker_core::exit::{Exit, ExitReport};
use worker_core::handle::{Detail, Handle, PluginKind};
use worker_core::ids::{InfraId, LaunchKey};
use worker_core::job_configuration::lenient::Fields;
use worker_core::machine::KillIntent;
use worker_core::policy::Requested;
use worker_core::spec::{Plan, ReportState, RunSpec};

use crate::backend::{Backend, wait_for_end};
use crate::script::Script;
use crate::template::base_job_template;

/// Version of the shape of a handle's detail, which is empty.
const HANDLE_VERSION: u32 = 1;

/// The plugin of kind `scripted`.
#[derive(Clone, Debug)]
pub struct ScriptedPlugin {
    backend: Backend,
    capabilities: Capabilities,
    template: JobTemplate,
}

impl ScriptedPlugin {
    /// A plugin whose infrastructure lives in `backend`, outlives the worker and is cancelled by the worker.
    pub fn new(backend: Backend) -> Self {
        let capabilities = Capabilities {
            cancels_running: CancelsRunning::Worker,
            handles_cleanup_messages: false,
            outlives_worker: false,
            puts_runs_back: false,
        };
        Self { backend, capabilities, template: base_job_template() }
    }

    /// The same with other capabilities.
    #[must_use]
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    fn handle(&self, key: LaunchKey) -> Handle {
        Handle {
            cancels_itself: false,
            kind: self.kind(),
            version: HANDLE_VERSION,
            key,
            report_state: ReportState::Engine,
            infra_id: InfraId(format!("scripted:{key}")),
            detail: Detail::default(),
        }
    }
}

#[async_trait]
impl InfraPlugin for ScriptedPlugin {
    fn kind(&self) -> PluginKind {
        PluginKind::new("scripted")
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn base_job_template(&self) -> &JobTemplate {
        &self.template
    }

    fn takes_code(&self, _fields: &Fields) -> bool {
        true
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }

    async fn prepare(&self, spec: &RunSpec) -> Result<Plan, InfraError> {
        let script = Script::from_fields(&spec.fields).map_err(|error| {
            let context = "the script in the job variables cannot be read";
            InfraError::new(ErrorClass::BadSpec, context).because(error)
        })?;
        if let Some(error) = script.prepare_error.as_ref().and_then(|failure| failure.at_attempt(0)) {
            return Err(error);
        }
        let script = json!(script);
        let requested = Requested {
            commands: spec.command.iter().cloned().collect(),
            environment: spec.configured_env.clone(),
            ..Requested::default()
        };
        Ok(Plan { key: spec.key, infra_name: spec.name.clone(), shown: script.clone(), requested, detail: script })
    }

    async fn launch(&self, plan: &Plan, _log: &dyn LaunchLog) -> Result<Handle, InfraError> {
        let script: Script = serde_json::from_value(plan.detail.clone())
            .map_err(|error| InfraError::new(ErrorClass::Bug, "the plan is not a script").because(error))?;
        let attempt = self.backend.next_attempt(plan.key);
        tokio::time::sleep(Duration::from_millis(script.start_delay_ms)).await;
        if let Some(error) = script.start_error.as_ref().and_then(|failure| failure.at_attempt(attempt)) {
            return Err(error);
        }
        let lost = script.lost_reply && attempt == 0;
        let handle = self.backend.start(self.handle(plan.key), script);
        if lost {
            return Err(InfraError::new(ErrorClass::Transient, "the answer to the launch was lost"));
        }
        Ok(handle)
    }

    async fn find(&self, key: &LaunchKey) -> Result<Option<Handle>, InfraError> {
        Ok(self.backend.find(key))
    }

    async fn reattach(&self, handle: &Handle) -> Result<Found, InfraError> {
        Ok(match (self.backend.ended(&handle.key), self.backend.find(&handle.key)) {
            (Some(report), _) => Found::Exited(report),
            (None, Some(_)) => Found::Running,
            (None, None) => Found::Gone,
        })
    }

    async fn watch(&self, handle: &Handle) -> Result<EventStream, InfraError> {
        let told = stream::iter(self.backend.take_events(&handle.key));
        let end = self.backend.end(&handle.key);
        let exited = stream::once(async move {
            let report = match end {
                Some(end) => wait_for_end(end).await.report,
                None => ExitReport::bare(Exit::Vanished),
            };
            InfraEvent::Exited(report)
        });
        Ok(told.chain(exited).map(Ok).boxed())
    }

    async fn kill(&self, handle: &Handle, intent: KillIntent, grace: Duration) -> Result<Killed, InfraError> {
        let Some(end) = self.backend.end(&handle.key) else { return Ok(Killed::AlreadyGone) };
        if self.backend.ended(&handle.key).is_some() {
            return Ok(Killed::AlreadyGone);
        }
        if self.backend.script(&handle.key).is_some_and(|script| script.kill_unsupported) {
            return Err(InfraError::new(ErrorClass::Unsupported, "the script says that this cannot be killed"));
        }
        self.backend.stop(&handle.key, intent, grace);
        Ok(wait_for_end(end).await.killed)
    }

    async fn cleanup(&self, handle: &Handle) -> Result<(), InfraError> {
        self.backend.remove(&handle.key);
        Ok(())
    }

    async fn owned(&self) -> Result<Vec<Handle>, InfraError> {
        Ok(self.backend.all())
    }
}
