//! The flow run or deployment that a command is about.

use std::fmt;

use central_api_client::{ApiError, Client};
use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::FlowRun;
use clap::Args;
use worker_core::ids::{DeploymentId, RunId};

use crate::rendering::{Question, question_of_deployment, question_of_run};
use crate::run::ErrorChain;

/// What the command is about. Whether it has to be named is the command's to say.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Named {
    /// A flow run, by its id
    #[arg(long, value_name = "ID")]
    flow_run: Option<RunId>,
    /// A deployment, as FLOW/DEPLOYMENT or by its id
    #[arg(long, value_name = "NAME", value_parser = DeploymentName::parse)]
    deployment: Option<DeploymentName>,
}

/// A deployment as it was named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeploymentName {
    /// By its id.
    Id(DeploymentId),
    /// By its flow's name and its own.
    OfFlow {
        /// The flow's.
        flow: String,
        /// Its own.
        name: String,
    },
}

impl DeploymentName {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        match text.split_once('/') {
            Some((flow, name)) if !flow.is_empty() && !name.is_empty() => {
                Ok(Self::OfFlow { flow: flow.to_owned(), name: name.to_owned() })
            }
            _ => Err("expected FLOW/DEPLOYMENT or an id".to_owned()),
        }
    }
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::OfFlow { flow, name } => write!(f, "{flow}/{name}"),
        }
    }
}

impl Named {
    /// The flow run, if the command is about one.
    pub(super) async fn flow_run(&self, client: &Client) -> Result<Option<FlowRun>, String> {
        let Some(run) = self.flow_run else { return Ok(None) };
        let found = client.flow_run(run).await;
        found.map(Some).map_err(|error| explained(&format!("the flow run {run}"), &error))
    }

    /// The deployment that is named, or that of the run.
    pub(super) async fn deployment(
        &self,
        client: &Client,
        run: Option<&FlowRun>,
    ) -> Result<Option<Deployment>, String> {
        let of_run = run.and_then(|run| run.deployment_id).map(DeploymentName::Id);
        let Some(wanted) = self.deployment.clone().or(of_run) else { return Ok(None) };
        deployment_named(client, &wanted).await.map(Some)
    }

    /// What is named.
    pub(super) fn target(&self) -> Option<Target> {
        let run = self.flow_run.map(Target::Run);
        run.or_else(|| self.deployment.clone().map(Target::Deployment))
    }
}

/// A flow run or a deployment.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The run.
    Run(RunId),
    /// The deployment.
    Deployment(DeploymentName),
}

impl Target {
    /// An id alone is that of a run.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Run(id));
        }
        DeploymentName::parse(text)
            .map(Self::Deployment)
            .map_err(|_| "expected the id of a flow run, or FLOW/DEPLOYMENT".to_owned())
    }

    /// All that the API says of it, to be worked out for the pool `pool` if not for its own.
    ///
    /// # Errors
    /// The text of what could not be read.
    pub(super) async fn question(&self, client: &Client, pool: Option<&str>) -> Result<Question, String> {
        let asked = match self {
            Self::Run(id) => question_of_run(client, *id, pool).await,
            Self::Deployment(name) => question_of_deployment(client, deployment_named(client, name).await?, pool).await,
        };
        asked.map_err(|error| error.for_people())
    }
}

/// Reads a deployment.
///
/// # Errors
/// The text of why not.
pub(super) async fn deployment_named(client: &Client, wanted: &DeploymentName) -> Result<Deployment, String> {
    let found = match wanted {
        DeploymentName::Id(id) => client.deployment(*id).await,
        DeploymentName::OfFlow { flow, name } => client.deployment_by_name(flow, name).await,
    };
    found.map_err(|error| explained(&format!("the deployment {wanted}"), &error))
}

/// Why something could not be read.
pub(super) fn explained(what: &str, error: &ApiError) -> String {
    if error.is_not_found() {
        format!("{what} does not exist. Check it, and that PREFECT_API_URL is the API it is from")
    } else {
        format!("{what} could not be read: {}", ErrorChain(error))
    }
}
