//! The calls, each of which is made in one place only.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::AsyncBufRead;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::{
    DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Api, Client, Config};
use serde_json::Value;

use super::access::AccessError;
use super::call::{CallError, answered, chain, found};

/// So many objects at most are in one answer.
const PAGE: u32 = 500;
/// Lines can be long; so many bytes of the last ones are read.
const LAST_BYTES: i64 = 256 * 1024;
/// A watched log may be silent for long.
const SILENT_LOG: Duration = Duration::from_mins(30);

/// A cluster and a client for it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Tells it from the others; empty for the one of the worker's own settings.
    pub(crate) id: String,
    /// Address of its API server.
    pub(crate) server: String,
    /// The namespace of the kubeconfig's context, or of the worker's own pod.
    pub(crate) default_namespace: String,
    clients: Arc<RwLock<Clients>>,
}

#[derive(Clone)]
struct Clients {
    client: Client,
    /// For logs, which may be silent for long.
    logs: Client,
}

impl Clients {
    fn new(config: Config) -> Result<Self, AccessError> {
        let client = |config| Client::try_from(config).map_err(|error| AccessError::Client(chain(&error)));
        let mut logs = config.clone();
        logs.read_timeout = Some(SILENT_LOG);
        Ok(Self { client: client(config)?, logs: client(logs)? })
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("id", &self.id).field("server", &self.server).finish_non_exhaustive()
    }
}

/// How something is deleted.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    /// So many seconds until it is forced.
    pub(crate) grace: Option<u32>,
    /// What becomes of what belongs to it.
    pub(crate) propagation: Option<PropagationPolicy>,
    /// Only the very object that was looked at.
    pub(crate) uid: Option<String>,
}

impl Cluster {
    pub(crate) fn new(id: String, config: Config) -> Result<Self, AccessError> {
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let default_namespace = config.default_namespace.clone();
        Ok(Self { id, server, default_namespace, clients: Arc::new(RwLock::new(Clients::new(config)?)) })
    }

    /// Comes with other credentials from now on, everywhere.
    pub(crate) fn renew(&self, config: Config) -> Result<(), AccessError> {
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = Clients::new(config)?;
        Ok(())
    }

    /// For what is watched.
    pub(crate) fn client(&self) -> Client {
        self.clients().client
    }

    fn clients(&self) -> Clients {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn version(&self) -> Result<String, CallError> {
        Ok(answered(self.client().apiserver_version()).await?.git_version)
    }

    /// Creates a Job. A server that checks strictly (from 1.27 on by itself) says which fields it does not know.
    pub(crate) async fn create_job(&self, namespace: &str, job: &Value) -> Result<Job, CallError> {
        let body = serde_json::to_vec(job).map_err(|error| CallError::Unreadable(error.to_string()))?;
        let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs?fieldValidation=Strict");
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| CallError::Unreadable(error.to_string()))?;
        answered(self.client().request(request)).await
    }

    pub(crate) async fn job(&self, namespace: &str, name: &str) -> Result<Option<Job>, CallError> {
        found(self.jobs(namespace).get(name)).await
    }

    pub(crate) async fn pods_of(&self, namespace: &str, job: &str) -> Result<Vec<Pod>, CallError> {
        let params = ListParams::default().labels(&format!("job-name={job}"));
        Ok(answered(self.pods(namespace).list(&params)).await?.items)
    }

    /// All Jobs with these labels, in one namespace or in all.
    pub(crate) async fn jobs_labelled(&self, namespace: Option<&str>, labels: &str) -> Result<Vec<Job>, CallError> {
        let api = namespace.map_or_else(|| Api::all(self.client()), |namespace| self.jobs(namespace));
        let mut params = ListParams::default().labels(labels).limit(PAGE);
        let mut jobs = Vec::new();
        loop {
            let page = answered(api.list(&params)).await?;
            jobs.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(jobs),
            }
        }
    }

    /// False if it was not there.
    pub(crate) async fn delete_job(&self, namespace: &str, name: &str, how: &Deletion) -> Result<bool, CallError> {
        is_deleted(found(self.jobs(namespace).delete(name, &how.params())).await)
    }

    /// False if it was not there.
    pub(crate) async fn delete_pod(&self, namespace: &str, name: &str, how: &Deletion) -> Result<bool, CallError> {
        is_deleted(found(self.pods(namespace).delete(name, &how.params())).await)
    }

    pub(crate) async fn create_secret(&self, namespace: &str, secret: &Secret) -> Result<(), CallError> {
        answered(self.secrets(namespace).create(&PostParams::default(), secret)).await.map(drop)
    }

    pub(crate) async fn patch_secret(&self, namespace: &str, name: &str, patch: &Value) -> Result<(), CallError> {
        let (secrets, patch) = (self.secrets(namespace), Patch::Merge(patch));
        answered(secrets.patch(name, &PatchParams::default(), &patch)).await.map(drop)
    }

    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, CallError> {
        found(self.secrets(namespace).get(name)).await
    }

    pub(crate) async fn delete_secret(&self, namespace: &str, name: &str) -> Result<(), CallError> {
        found(self.secrets(namespace).delete(name, &DeleteParams::default())).await.map(drop)
    }

    /// The events of one object, newest last.
    pub(crate) async fn events_of(&self, namespace: &str, uid: &str) -> Result<Vec<Event>, CallError> {
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(PAGE);
        let api: Api<Event> = Api::namespaced(self.client(), namespace);
        Ok(answered(api.list(&params)).await?.items)
    }

    /// Whether pods of all namespaces may be listed.
    pub(crate) async fn lists_everywhere(&self) -> Result<bool, CallError> {
        let one = ListParams::default().labels(crate::marks::FLOW_RUN_ID).limit(1);
        let (jobs, pods): (Api<Job>, Api<Pod>) = (Api::all(self.client()), Api::all(self.client()));
        for answer in [answered(jobs.list(&one)).await.map(drop), answered(pods.list(&one)).await.map(drop)] {
            match answer {
                Ok(()) => {}
                Err(error) if error.code() == Some(403) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The last lines of a container, each with its time.
    pub(crate) async fn last_lines(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        lines: i64,
        previous: bool,
    ) -> Result<Option<String>, CallError> {
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(lines),
            limit_bytes: Some(LAST_BYTES),
            timestamps: true,
            previous,
            ..LogParams::default()
        };
        found(self.pods(namespace).logs(pod, &params)).await
    }

    /// Follows what a container writes, each line with its time.
    pub(crate) async fn follow(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        since: Option<Timestamp>,
    ) -> Result<impl AsyncBufRead + use<>, CallError> {
        let params = LogParams {
            container: Some(container.to_owned()),
            follow: true,
            // The client rounds to the nearest second, and what was written up to a second after half past would be lost.
            since_time: since.and_then(|since| Timestamp::from_second(since.as_second()).ok()),
            timestamps: true,
            ..LogParams::default()
        };
        let pods: Api<Pod> = Api::namespaced(self.clients().logs, namespace);
        answered(pods.log_stream(pod, &params)).await
    }

    fn jobs(&self, namespace: &str) -> Api<Job> {
        Api::namespaced(self.client(), namespace)
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client(), namespace)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client(), namespace)
    }
}

impl Deletion {
    fn params(&self) -> DeleteParams {
        DeleteParams {
            grace_period_seconds: self.grace,
            propagation_policy: self.propagation.clone(),
            preconditions: self.uid.clone().map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::default()
        }
    }
}

/// One of another uid under the same name is not what was to be deleted.
fn is_deleted<T>(answer: Result<Option<T>, CallError>) -> Result<bool, CallError> {
    match answer {
        Ok(found) => Ok(found.is_some()),
        Err(error) if error.code() == Some(409) => Ok(false),
        Err(error) => Err(error),
    }
}
