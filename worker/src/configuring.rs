//! From a run and its deployment to what a plugin is asked to start: for runs, and for commands that only want to see it.

use std::collections::BTreeSet;

use central_api_wire::CLIENT_VERSION;
use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::{Flow, FlowRun};
use central_api_wire::work_pool::WorkPool;
use infra_contract::InfraPlugin;
use serde_json::{Map, Value};
use worker_config::SandboxChoice;
use worker_core::ids::{LaunchKey, WorkerId};
use worker_core::job_configuration::{
    DeploymentContext, FlowContext, FlowRunContext, JobConfigurationError, PreparationContext, Sources,
    WorkPoolContext, resolve, sources,
};
use worker_core::spec::RunSpec;
use worker_core::template::Reference;
use worker_core::texts::collect_texts;

use crate::run::RunSettings;
use crate::sandboxes;

/// A run as the API has it, and who is going to execute it.
pub(crate) struct Configuring<'a> {
    pub(crate) key: LaunchKey,
    pub(crate) plugin: &'a dyn InfraPlugin,
    pub(crate) settings: &'a RunSettings,
    pub(crate) worker_name: &'a str,
    pub(crate) worker_id: Option<WorkerId>,
    /// How local processes of the pool are kept apart.
    pub(crate) sandbox: &'a SandboxChoice,
    pub(crate) pool: &'a WorkPool,
    pub(crate) flow_run: &'a FlowRun,
    pub(crate) flow: &'a Flow,
    pub(crate) deployment: Option<&'a Deployment>,
}

impl Configuring<'_> {
    /// The run with its configuration resolved, and its code not brought. The blocks and variables that the configuration
    /// mentions are asked of `fetch`.
    ///
    /// # Errors
    /// What `fetch` could not say; inside, what is wrong with the configuration.
    pub(crate) async fn spec<E, F>(
        &self,
        mut fetch: impl FnMut(Reference) -> F,
    ) -> Result<Result<RunSpec, JobConfigurationError>, E>
    where
        F: Future<Output = Result<Option<Value>, E>>,
    {
        let (template, of_deployment, of_run) = self.levels();
        let own_variables = self.plugin.own_variables();
        let mut draft =
            match resolve(&template, &of_deployment, &of_run, own_variables, &self.settings.worker_environment) {
                Ok(draft) => draft,
                Err(error) => return Ok(Err(error)),
            };
        let mut block_texts = BTreeSet::new();
        while let Some(reference) = draft.pending().first().cloned() {
            let data = fetch(reference.clone()).await?;
            if let (Reference::Block { .. } | Reference::BlockById(_), Some(block)) = (&reference, &data) {
                // Which fields of a block are secret the API does not say with its data, so all count.
                let mut texts = BTreeSet::new();
                collect_texts(block, &mut texts);
                block_texts.extend(texts.into_iter().map(str::to_owned));
            }
            if let Err(error) = draft.provide(&reference, data) {
                return Ok(Err(error));
            }
        }
        let (flow_json, run_json) = (as_json(self.flow), as_json(self.flow_run));
        let context = self.context(&flow_json, &run_json);
        let job = draft.finish().and_then(|configuration| configuration.prepare_for_flow_run(&context));
        let job = job.and_then(|mut job| {
            sandboxes::choose(self.sandbox, own_variables, &mut job.fields)?;
            Ok(job)
        });
        Ok(job.map(|job| RunSpec {
            key: self.key,
            flow_run_name: self.flow_run.name.clone(),
            name: job.name,
            command: job.command,
            env: job.env,
            env_from: job.env_from,
            configured_env: job.configured_env,
            worker_settings: self.settings.base_environment.clone(),
            labels: job.labels,
            fields: job.fields,
            block_texts,
            code: None,
            entrypoint: None,
            report_state: job.report_state,
        }))
    }

    /// Where each value of the configuration comes from.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub(crate) fn sources(&self) -> Result<Sources, JobConfigurationError> {
        let (template, of_deployment, of_run) = self.levels();
        let own_variables = self.plugin.own_variables();
        sources(&template, &of_deployment, &of_run, own_variables, &self.settings.worker_environment)
    }

    /// The template, and the job variables of the deployment and of the run.
    fn levels(&self) -> (Value, Map<String, Value>, Map<String, Value>) {
        let of_deployment = self.deployment.and_then(|deployment| deployment.job_variables.clone());
        let of_run = self.flow_run.job_variables.clone();
        let template = Value::Object(self.pool.base_job_template.clone());
        (template, of_deployment.unwrap_or_default(), of_run.unwrap_or_default())
    }

    fn context<'c>(&'c self, flow_json: &'c Value, run_json: &'c Value) -> PreparationContext<'c> {
        PreparationContext {
            base_environment: &self.settings.base_environment,
            worker_env: &self.settings.worker_environment,
            client_version: CLIENT_VERSION,
            worker_name: self.worker_name,
            worker_id: self.worker_id,
            work_pool: WorkPoolContext { id: self.pool.id, name: &self.pool.name },
            flow_run: FlowRunContext { id: self.key.run, name: &self.flow_run.name, json: run_json },
            flow: FlowContext { id: self.flow.id, name: &self.flow.name, json: flow_json },
            deployment: self.deployment.map(|deployment| DeploymentContext {
                id: deployment.id,
                name: &deployment.name,
                updated: deployment.updated,
            }),
        }
    }
}

fn as_json(object: &impl serde::Serialize) -> Value {
    // Objects that came as JSON can be written as JSON.
    serde_json::to_value(object).unwrap_or_default()
}
