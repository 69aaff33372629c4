//! From a plan to a container that runs.

use std::collections::BTreeMap;

use bollard::models::{ContainerCreateBody, ContainerSummaryStateEnum};
use infra_contract::LaunchLog;
use worker_core::ids::LaunchKey;
use worker_core::spec::python_path;

use crate::container_user;
use crate::engine::{Engine, Removal};
use crate::error::DockerError;
use crate::handle::Container;
use crate::image::{self, Image};
use crate::network;
use crate::plan::DockerPlan;
use crate::pull::Pulls;
use crate::secrets::{self, SecretValues};

/// So many names with a number are tried; then a name that nobody else has.
const NUMBERED_NAMES: u32 = 20;
const PYTHON_PATH: &str = "PYTHONPATH";

/// What the engine has of an execution.
pub(crate) enum Standing {
    /// Its container was started.
    Started(Container),
    /// Only a container that never ran.
    Made(Container),
    Nothing,
}

/// Looks for what an earlier launch of the execution left.
pub(crate) async fn standing(engine: &Engine, key: &LaunchKey) -> Result<Standing, DockerError> {
    let mut made = None;
    for summary in engine.of_execution(key).await? {
        let Some(container) = Container::of_summary(&summary) else { continue };
        if summary.state != Some(ContainerSummaryStateEnum::CREATED) {
            return Ok(Standing::Started(container));
        }
        made.get_or_insert(container);
    }
    Ok(made.map_or(Standing::Nothing, Standing::Made))
}

/// One launch.
pub(crate) struct Launching<'l> {
    pub(crate) engine: &'l Engine,
    pub(crate) pulls: &'l Pulls,
    /// The worker's own environment, for its Docker configuration.
    pub(crate) environment: &'l BTreeMap<String, String>,
    pub(crate) key: LaunchKey,
    pub(crate) plan: DockerPlan,
    pub(crate) log: &'l dyn LaunchLog,
}

impl Launching<'_> {
    /// Has the image brought.
    pub(crate) async fn image(&self) -> Result<Image, DockerError> {
        image::ensure(self.engine, self.pulls, &self.plan, self.environment, self.log).await
    }

    /// Makes the container; its id.
    pub(crate) async fn make(&self, image: &Image) -> Result<String, DockerError> {
        let body = self.body(image);
        let mut number = 0;
        loop {
            let name = self.plan.name.as_ref().map(|name| match number {
                0 => name.clone(),
                1..=NUMBERED_NAMES => format!("{name}-{number}"),
                _ => format!("{name}-{}", self.key.claim.0.simple()),
            });
            let made = self.engine.create(name.as_deref(), self.plan.platform.as_deref(), body.clone()).await;
            match made {
                // Somebody has the name.
                Err(error) if error.is_name_conflict() && name.is_some() && number <= NUMBERED_NAMES => number += 1,
                made => {
                    let (name, image) = (name.unwrap_or_default(), &self.plan.image);
                    return made.map_err(|error| {
                        error.about(|| format!("container `{name}` cannot be made from image `{image}`"))
                    });
                }
            }
        }
    }

    /// Puts into a container what it needs besides its configuration, and starts it.
    pub(crate) async fn start(&self, id: &str, image: &Image) -> Result<(), DockerError> {
        let name = self.plan.name.as_deref().unwrap_or_default();
        for network in &self.plan.more_networks {
            match self.engine.connect_to_network(network, id).await {
                // An earlier try did it.
                Err(error) if error.status() == Some(403) => {}
                connected => connected.map_err(|error| {
                    error.about(|| format!("container `{name}` cannot be connected to network `{network}`"))
                })?,
            }
        }
        self.put_secrets(id, image)
            .await
            .map_err(|error| error.about(|| format!("the secrets of container `{name}` cannot be put into it")))?;
        let started = self.engine.start(id).await;
        started.map_err(|error| error.about(|| format!("container `{name}` cannot be started")))
    }

    async fn put_secrets(&self, id: &str, image: &Image) -> Result<(), DockerError> {
        let secrets = &self.plan.secrets;
        if secrets.variables.is_empty() && secrets.files.is_empty() {
            return Ok(());
        }
        let user = self.plan.body.user.as_deref().or(image.config.user.as_deref()).unwrap_or_default();
        let uid = container_user::uid(self.engine, id, user).await?;
        if !secrets.variables.is_empty() {
            let script = secrets.script_archive(uid).map_err(DockerError::Archive)?;
            self.engine.unpack(id, secrets::FOLDER, script).await?;
        }
        if !secrets.files.is_empty() {
            let files = secrets.files_archive(uid).map_err(DockerError::Archive)?;
            self.engine.unpack(id, "/", files).await?;
        }
        Ok(())
    }

    /// What was planned, with what only the engine and the image could tell.
    fn body(&self, image: &Image) -> ContainerCreateBody {
        let plan = &self.plan;
        let mut body = plan.body.clone();
        let hosts =
            network::extra_hosts(plan.extra_hosts.clone(), plan.api_url.as_deref(), self.engine.knows_host_gateway());
        if !hosts.is_empty() {
            body.host_config.get_or_insert_default().extra_hosts = Some(hosts);
        }
        if let Some(directory) = &plan.importable {
            add_to_python_path(body.env.get_or_insert_default(), image, directory);
        }
        if !plan.secrets.variables.is_empty() {
            let entrypoint = body.entrypoint.take().or_else(|| image.config.entrypoint.clone());
            body.entrypoint = Some(SecretValues::wrapped(entrypoint.unwrap_or_default()));
        }
        body
    }

    /// Removes a container that could not be started: nobody can learn anything from it.
    pub(crate) async fn discard(&self, id: &str) {
        if let Err(error) = self.engine.remove(id, Removal::Stopped).await {
            tracing::debug!("a container that could not be started is left behind: {}", crate::error::chain(&error));
        }
    }
}

fn add_to_python_path(environment: &mut Vec<String>, image: &Image, directory: &str) {
    let prefix = format!("{PYTHON_PATH}=");
    let of =
        |environment: &[String]| environment.iter().find_map(|entry| entry.strip_prefix(&prefix).map(str::to_owned));
    let before = of(environment).or_else(|| of(image.config.env.as_deref().unwrap_or_default()));
    environment.retain(|entry| !entry.starts_with(&prefix));
    environment.push(format!("{prefix}{}", python_path(before.as_deref(), directory)));
}
