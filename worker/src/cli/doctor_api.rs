//! An API as `worker doctor` looks at it.

use std::collections::BTreeMap;
use std::time::Duration;

use central_api_client::{Client, ClientSettings, Credentials};
use central_api_wire::deployment::Deployment;
use futures::future::join_all;
use tokio::time::timeout;
use worker_config::{PoolSettings, Settings};

use super::daemon_plan::pulling;
use super::deployment::{DeploymentName, deployment_named};
use crate::doctor::{self, ApiUnderLook, Check, CodeUnderLook, PoolUnderLook};
use crate::registry::Registry;

/// How long it may take to find out what is to be looked at.
const QUESTION: Duration = Duration::from_secs(5);

/// An API, with what its pools would be served with.
pub(super) struct Api<'a> {
    pub(super) client: Client,
    pub(super) connection: ClientSettings,
    pub(super) registry: Registry,
    /// Of the worker's environment what its runs may see.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) pools: Vec<&'a PoolSettings>,
}

/// What is known before anything is looked at.
pub(super) struct Foreseen {
    /// The types of the pools and of that of the deployment; none where it is not known.
    pub(super) kinds: Vec<Option<String>>,
    pub(super) deployment: Option<Deployed>,
}

/// A deployment, and where its runs go.
pub(super) struct Deployed {
    name: String,
    found: Result<Deployment, String>,
    pool: Option<String>,
    kind: Option<String>,
}

impl Api<'_> {
    /// Asks which kinds there will be, and for the deployment.
    pub(super) async fn foresee(&self, deployment: Option<&DeploymentName>) -> Foreseen {
        let deployment = match deployment {
            Some(name) => Some(self.deployed(name).await),
            None => None,
        };
        let mut kinds = join_all(self.pools.iter().map(|pool| self.kind_of(pool))).await;
        kinds.extend(deployment.as_ref().and_then(|deployed| deployed.kind.clone()).map(Some));
        Foreseen { kinds, deployment }
    }

    /// The type that the settings say, else that of the API.
    async fn kind_of(&self, pool: &PoolSettings) -> Option<String> {
        match &pool.worker_type {
            Some(kind) => Some(kind.clone()),
            None => self.kind_of_pool(&pool.name).await,
        }
    }

    async fn kind_of_pool(&self, pool: &str) -> Option<String> {
        timeout(QUESTION, self.client.work_pool(pool)).await.ok()?.ok().map(|pool| pool.pool_type)
    }

    /// What is to be known of a deployment.
    async fn deployed(&self, name: &DeploymentName) -> Deployed {
        let late = || Err(format!("the API did not tell of the deployment within {} s", QUESTION.as_secs()));
        let found = timeout(QUESTION, deployment_named(&self.client, name)).await.unwrap_or_else(|_| late());
        let pool = found.as_ref().ok().and_then(pool_name);
        let kind = match &pool {
            Some(pool) => self.kind_of_pool(pool).await,
            None => None,
        };
        Deployed { name: name.to_string(), found, pool, kind }
    }

    /// Looks at it, and at what can be seen through it.
    pub(super) async fn look(&self, foreseen: Foreseen, settings: &Settings) -> Vec<Check> {
        let Foreseen { kinds, deployment } = foreseen;
        let is_here = match deployment.as_ref().and_then(|deployed| deployed.kind.as_deref()) {
            Some(kind) => kind == "process",
            None => kinds.iter().flatten().any(|kind| kind == "process"),
        };
        let mut pools: Vec<PoolUnderLook<'_>> = self.pools.iter().map(|pool| self.pool(pool)).collect();
        if let Some(name) = deployment.as_ref().and_then(|deployed| deployed.pool.clone())
            && pools.iter().all(|pool| pool.name != name)
        {
            pools.push(PoolUnderLook { name, ..self.nothing() });
        }
        let code = deployment.map(|Deployed { name, found, .. }| CodeUnderLook {
            name,
            deployment: found,
            is_here,
            environment: &self.environment,
            options: pulling(&settings.worker),
        });
        let api = ApiUnderLook {
            client: &self.client,
            has_credentials: !matches!(self.connection.credentials, Credentials::None),
            tls: &self.connection.tls,
            pools,
            cancellation_poll: settings.worker.cancellation_poll,
            code,
        };
        doctor::look_at_api(&api).await
    }

    fn pool(&self, pool: &PoolSettings) -> PoolUnderLook<'_> {
        PoolUnderLook {
            name: pool.name.clone(),
            kind: pool.worker_type.clone(),
            queues: pool.work_queues.clone(),
            is_made: pool.create_if_not_found,
            ..self.nothing()
        }
    }

    fn nothing(&self) -> PoolUnderLook<'_> {
        PoolUnderLook {
            name: String::new(),
            kind: None,
            queues: Vec::new(),
            is_made: false,
            registry: &self.registry,
            worker_environment: &self.environment,
        }
    }
}

fn pool_name(deployment: &Deployment) -> Option<String> {
    deployment.other.get("work_pool_name")?.as_str().map(str::to_owned)
}
