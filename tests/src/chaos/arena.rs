//! Where a round takes place: an API that can be made to misbehave, pools, and a folder in which runs leave their marks.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use central_api_wire::state::State;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;
use worker_core::ids::{DeploymentId, RunId};

use super::case::{Case, Suffered};
use super::job::{self, Job};
use super::plan::Place;
use super::record::Record;
use crate::api::{ApiOptions, TestApi};
use crate::faults::FaultProxy;
use crate::harness::{DaemonSpec, DeploymentSpec, Lab, LabPool, PrefectServer, kill_working_in};

/// The queue that may be deleted.
const QUEUE: &str = "forlorn";
/// What fills a disk.
const BALLAST: &str = "ballast";

/// An API with a proxy before it, and pools in it.
pub struct Arena {
    pub(super) lab: Lab,
    pub(super) proxy: FaultProxy,
    pub(super) record: Record,
    main: LabPool,
    doomed: LabPool,
    folder: TempDir,
    /// Where the state directories of workers are, or the one that they share.
    state: PathBuf,
    /// The API in memory, which ends with this.
    api: Option<TestApi>,
}

impl Arena {
    /// Around an API in memory.
    pub async fn in_memory(seed: u64) -> Self {
        let api = TestApi::start(ApiOptions::default()).await.expect("the system gives ports");
        let lab = Lab::new(api.url().as_str());
        let mut arena = Self::around(lab, seed).await;
        arena.api = Some(api);
        arena
    }

    /// Around a real server.
    pub async fn on_server(server: &PrefectServer, seed: u64) -> Self {
        Self::around(Lab::on_server(server.rest.api_url()), seed).await
    }

    async fn around(lab: Lab, seed: u64) -> Self {
        let upstream = Url::parse(lab.api.api_url()).expect("the address of a running API");
        let proxy = FaultProxy::start(&upstream, seed).await.expect("the system gives ports");
        let folder = tempfile::Builder::new().prefix("chaos-").tempdir().expect("a temporary directory");
        fs_err::write(folder.path().join(job::SCRIPT_NAME), job::SCRIPT).expect("the folder was just made");
        let (main, doomed) = (lab.pool().await, lab.pool().await);
        lab.api.create_queue(&main.name, QUEUE, 5).await;
        let (record, state) = (Record::in_folder(folder.path()), folder.path().join("state"));
        Self { lab, proxy, record, main, doomed, folder, state, api: None }
    }

    /// Puts the state of the workers on another disk.
    #[must_use]
    pub fn with_state_in(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.state);
        self
    }

    /// The folder in which the commands of runs work.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the state directories of workers are, or the one that they share.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// A worker for both pools.
    pub(super) fn worker(&self, name: &str, limit: usize) -> DaemonSpec {
        self.main
            .daemon()
            .pool(&self.doomed.name)
            .name(name)
            .args(["--limit", &limit.to_string(), "--wait-for-api"])
            .env("PREFECT_API_URL", self.proxy.url().as_str())
            .env("PREFECT_API_REQUEST_TIMEOUT", "2")
            .env("WORKER_SHUTDOWN_RUNS", "leave")
    }

    /// Makes a run.
    pub(super) async fn make(&self, job: Job, seconds: f64, place: Place) -> Case {
        let job_variables = job.variables(self.folder(), seconds);
        let (pool, queue) = match place {
            Place::Main => (&self.main, None),
            Place::Queue => (&self.main, Some(QUEUE.to_owned())),
            Place::Pool => (&self.doomed, None),
        };
        let spec = DeploymentSpec { queue, job_variables, ..DeploymentSpec::default() };
        let deployment = pool.deployment(spec).await;
        let run = pool.run(deployment).await;
        Case { run, deployment, job, place, suffered: Suffered::default() }
    }

    /// Makes runs that end well only if they are executed all at the same time, which they wait for.
    pub(super) async fn meeting(&self, of: usize, patience: Duration) -> Vec<RunId> {
        let name = self.lab.fresh_name("meeting");
        let job_variables = job::meeting(self.folder(), of, &name, patience);
        let deployment = self.main.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await;
        let mut runs = Vec::new();
        for _ in 0..of {
            runs.push(self.main.run(deployment).await);
        }
        runs
    }

    /// Cancels a run, unless it is over.
    pub(super) async fn cancel(&self, run: RunId) {
        let body = json!({"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": false});
        self.ask(Method::POST, &format!("/flow_runs/{run}/set_state"), Some(&body)).await;
    }

    /// Deletes a run.
    pub(super) async fn delete_run(&self, run: RunId) {
        self.ask(Method::DELETE, &format!("/flow_runs/{run}"), None).await;
    }

    /// Deletes a deployment, and its runs that are still Scheduled.
    pub(super) async fn delete_deployment(&self, deployment: DeploymentId) {
        self.ask(Method::DELETE, &format!("/deployments/{deployment}"), None).await;
    }

    /// Deletes the queue that may be deleted.
    pub(super) async fn delete_queue(&self) {
        self.ask(Method::DELETE, &format!("/work_pools/{}/queues/{QUEUE}", self.main.name), None).await;
    }

    /// Deletes the pool that may be deleted.
    pub(super) async fn delete_pool(&self) {
        self.ask(Method::DELETE, &format!("/work_pools/{}", self.doomed.name), None).await;
    }

    /// Pauses the pool that is there to the end, or lets it go on.
    pub(super) async fn pause_pool(&self, paused: bool) {
        self.lab.api.update_pool(&self.main.name, json!({"is_paused": paused})).await;
    }

    /// Leaves no space on the disk with the state.
    pub(super) fn fill_disk(&self) {
        let mut ballast = fs_err::File::create(self.state.join(BALLAST)).expect("the state is on a disk of this test");
        let block = [0; 4096];
        while ballast.write_all(&block).is_ok() {}
    }

    /// Gives it back.
    pub(super) fn free_disk(&self) {
        // It was not even made if there was no space for its name.
        fs_err::remove_file(self.state.join(BALLAST)).unwrap_or_default();
    }

    /// All states of a run, oldest first; `None` if it is gone.
    pub(super) async fn history(&self, run: RunId) -> Option<Vec<State>> {
        self.lab.api.run(run).await?;
        Some(self.lab.api.states(run).await)
    }

    /// What it concerns may be gone already, or over.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) {
        let (status, answer) = self.lab.api.call(method.clone(), path, body).await;
        let is_known = status.is_success() || status == StatusCode::NOT_FOUND;
        assert!(is_known, "{method} {path}: {status} {answer}");
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        kill_working_in(self.folder());
    }
}
