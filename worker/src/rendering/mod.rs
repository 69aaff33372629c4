//! What would be launched for a run, worked out as for a launch, without launching anything.
//!
//! Asks the API only what changes nothing there. What is shown holds no secret: neither a value that looks like one, nor text of a
//! block.

mod difference;
mod question;
mod values;

use central_api_client::{ApiError, Client};
use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::{Flow, FlowRun};
use central_api_wire::work_pool::WorkPool;
use infra_contract::InfraError;
use serde::Serialize;
use serde_json::Value;
use worker_config::SandboxChoice;
use worker_core::handle::PluginKind;
use worker_core::ids::{LaunchKey, TransitionId};
use worker_core::job_configuration::JobConfigurationError;
use worker_core::policy::{CodeStep, Policy};
use worker_core::spec::RunSpec;

pub(crate) use difference::{Difference, differences};
pub(crate) use question::{Question, question_of_deployment, question_of_run};
pub(crate) use values::Shown;

use crate::configuring::Configuring;
use crate::policy::{self, Asked, Ruling};
use crate::registry::{KINDS, Registered, Registry};
use crate::run::{ErrorChain, RunSettings, with_hint};
use crate::{pulling, references};

/// What is rendered with.
pub(crate) struct Renderer<'a> {
    /// The API.
    pub(crate) client: &'a Client,
    /// The kinds.
    pub(crate) registry: &'a Registry,
    /// What a daemon would give its runs.
    pub(crate) settings: &'a RunSettings,
    /// How it would keep local processes apart.
    pub(crate) sandbox: &'a SandboxChoice,
    /// The rules that runs have to satisfy, if there are any.
    pub(crate) policy: Option<&'a Policy>,
    /// The name that the worker would have.
    pub(crate) worker_name: Option<&'a str>,
    /// The kind to render for, if not the pool's.
    pub(crate) kind: Option<&'a str>,
}

/// What would be launched, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Rendering {
    /// The run's name.
    pub(crate) flow_run: String,
    /// Its deployment, as FLOW/DEPLOYMENT.
    pub(crate) deployment: Option<String>,
    /// Its pool.
    pub(crate) pool: String,
    /// The kind.
    pub(crate) kind: String,
    /// Who brings the code.
    pub(crate) code: String,
    /// What the policy says, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Ruling>,
    /// What it is said about.
    #[serde(skip)]
    pub(crate) asked: Asked,
    /// What the plugin would start.
    pub(crate) plan: Value,
    /// The job configuration, and where each value comes from.
    pub(crate) values: Vec<Shown>,
}

/// Why nothing would be launched. The run would be set to Crashed with this text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("the {what} could not be read")]
    Unreadable {
        what: &'static str,
        #[source]
        source: ApiError,
    },
    #[error("{0}")]
    Reference(String),
    #[error("work pool '{pool}' has type '{kind}', which this worker cannot execute")]
    UnknownKind { pool: String, kind: String },
    #[error("the job configuration is not valid")]
    Configuration(#[from] JobConfigurationError),
    #[error(transparent)]
    Infrastructure(#[from] InfraError),
    #[error("what is there for the run could not be looked at")]
    Unseen(#[source] InfraError),
}

impl RenderError {
    /// Whether the run itself is at fault, rather than the way to the API.
    pub(crate) const fn is_of_the_run(&self) -> bool {
        matches!(self, Self::Configuration(_) | Self::Infrastructure(_))
    }

    /// The text for people.
    pub(crate) fn for_people(&self) -> String {
        let hint = match self {
            Self::Configuration(error) => Some(error.hint().to_owned()),
            Self::Infrastructure(error) | Self::Unseen(error) => error.hint.clone(),
            Self::UnknownKind { .. } => Some(format!("This build executes: {}", KINDS.join(", "))),
            Self::Unreadable { .. } | Self::Reference(_) => None,
        };
        with_hint(ErrorChain(self).to_string(), hint.as_deref())
    }
}

impl Renderer<'_> {
    /// Works out what would be launched.
    ///
    /// # Errors
    /// Why nothing would be.
    pub(crate) async fn render(&self, question: &Question) -> Result<Rendering, RenderError> {
        self.render_and_see(question, false).await.map(|(rendering, _)| rendering)
    }

    /// What differs between what would be launched and each piece of infrastructure that is there for the run; nothing where
    /// none is seen.
    ///
    /// # Errors
    /// Why nothing would be launched, or that the infrastructure could not be looked at.
    pub(crate) async fn compare(&self, question: &Question) -> Result<Vec<Vec<Difference>>, RenderError> {
        let (rendering, seen) = self.render_and_see(question, true).await?;
        Ok(seen?.iter().map(|theirs| differences(&rendering.plan, theirs)).collect())
    }

    async fn render_and_see(
        &self,
        question: &Question,
        looks: bool,
    ) -> Result<(Rendering, Result<Vec<Value>, RenderError>), RenderError> {
        let Question { pool, deployment, flow, flow_run } = question;
        let kind = self.kind.unwrap_or(&pool.pool_type);
        let Some(Registered { plugin, worker_class, .. }) = self.registry.plugin(&PluginKind::new(kind)) else {
            return Err(RenderError::UnknownKind { pool: pool.name.clone(), kind: kind.to_owned() });
        };
        let made_up = format!("{worker_class} render");
        let mut pool = pool.clone();
        if pool.base_job_template.is_empty() {
            // The first worker of its type gives the pool this one.
            pool.base_job_template = plugin.base_job_template().as_json().as_object().cloned().unwrap_or_default();
        }
        let configuring = Configuring {
            key: LaunchKey { run: flow_run.id, claim: TransitionId(uuid::Uuid::nil()) },
            plugin: &*plugin,
            settings: self.settings,
            sandbox: self.sandbox,
            worker_name: self.worker_name.unwrap_or(&made_up),
            worker_id: None,
            pool: &pool,
            flow_run,
            flow,
            deployment: deployment.as_ref(),
        };
        let client = self.client;
        let value =
            |reference| async move { references::value(client, &reference).await.map_err(RenderError::Reference) };
        let mut spec = configuring.spec(value).await??;
        let sources = configuring.sources()?;
        let values = values::of(&spec, &sources);
        let (code, steps) = self.expect_code(&mut spec, &*plugin, deployment.as_ref()).await?;
        let plan = plugin.prepare(&spec).await?;
        let seen =
            if looks { plugin.seen(flow_run.id, &plan).await.map_err(RenderError::Unseen) } else { Ok(Vec::new()) };
        let seen = seen.map(|seen| seen.into_iter().map(|theirs| values::without_secrets(theirs, &spec)).collect());
        let asked = Asked {
            kind: plugin.kind().as_str().to_owned(),
            pool: pool.name.clone(),
            deployment: deployment.as_ref().map(|deployment| format!("{}/{}", flow.name, deployment.name)),
            infrastructure: plan.requested,
            code: steps,
        };
        let rendering = Rendering {
            flow_run: flow_run.name.clone(),
            deployment: asked.deployment.clone(),
            pool: pool.name.clone(),
            kind: kind.to_owned(),
            code,
            policy: self.policy.map(|policy| asked.judged_by(policy)),
            asked,
            plan: values::without_secrets(plan.shown, &spec),
            values,
        };
        Ok((rendering, seen))
    }

    /// Puts into the spec where the code would be, and says who would bring it and by which steps.
    async fn expect_code(
        &self,
        spec: &mut RunSpec,
        plugin: &dyn infra_contract::InfraPlugin,
        deployment: Option<&Deployment>,
    ) -> Result<(String, Vec<CodeStep>), RenderError> {
        let Some(deployment) = deployment else { return Ok(("the run has no deployment".to_owned(), Vec::new())) };
        let as_deployed = |text: String| (text, policy::code::of_deployment(deployment));
        let client = self.client;
        let fetch =
            |reference| async move { references::fetch(client, &reference).await.map_err(RenderError::Reference) };
        if plugin.has_code_brought(&spec.fields) {
            let site = pulling::elsewhere(spec.env.clone());
            let planned = pulling::plan(deployment, &site, fetch).await?;
            spec.entrypoint = planned.ok().and_then(|pull| pulling::entrypoint_elsewhere(&pull));
            if spec.entrypoint.is_some() {
                return Ok(as_deployed("`worker pull` brings it, in a container of its own".to_owned()));
            }
        }
        if !pulling::starts_the_engine(spec) {
            let left = "left to the command, or to the flow's process in its working directory";
            return Ok(as_deployed(left.to_owned()));
        }
        let site = pulling::site(plugin, &self.settings.worker_environment, spec);
        Ok(match pulling::plan(deployment, &site, fetch).await? {
            Ok(pull) => {
                let start = self.settings.code_directory.join(format!("{}-code", spec.key));
                spec.code = Some(pull.expected(&start));
                let text = match pull.storage() {
                    Some(storage) => format!("the worker fetches it from {} first", storage.pull),
                    None => format!("the worker runs the {} pull steps first", pull.steps().len()),
                };
                (text, policy::code::of_pull(&pull))
            }
            Err(reason) => as_deployed(format!("the flow's own process brings it: {reason}")),
        })
    }
}
