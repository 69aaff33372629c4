//! The API in memory, and looking into it.

use std::time::Duration;

use worker_tests::api::store::{RequestRecord, Store, Tables};
use worker_tests::api::{ApiOptions, TestApi, Version};
use worker_tests::harness::{Lab, SOON};

/// An API in memory with a place for scenarios around it.
pub(crate) struct InMemory {
    pub(crate) api: TestApi,
    pub(crate) lab: Lab,
}

impl InMemory {
    pub(crate) async fn start() -> Self {
        Self::with(ApiOptions::default()).await
    }

    pub(crate) async fn with(options: ApiOptions) -> Self {
        let api = TestApi::start(options).await.unwrap();
        let lab = Lab::new(api.url().as_str());
        Self { api, lab }
    }

    /// A server of a version, open to everybody.
    pub(crate) async fn of_version(major: u16, minor: u16, patch: u16) -> Self {
        Self::with(ApiOptions::of_version(Version::new(major, minor, patch))).await
    }

    /// A server without a worker channel, so that everything goes over REST.
    pub(crate) async fn over_rest() -> Self {
        Self::with(ApiOptions { worker_channel: false, ..ApiOptions::default() }).await
    }

    pub(crate) fn store(&self) -> &Store {
        self.api.store()
    }

    /// Waits for something to be true of the tables.
    pub(crate) async fn wait<T>(&self, what: &str, look: impl FnMut(&Tables) -> Option<T>) -> T {
        self.store().wait_until(what, SOON, look).await.unwrap()
    }

    /// The requests of a method to a path, without `/api`.
    pub(crate) fn requests(&self, method: &str, path: &str) -> Vec<RequestRecord> {
        self.store().read(|tables| tables.requests_to(method, path).cloned().collect())
    }

    /// Waits for at least so many of them.
    pub(crate) async fn requested(&self, method: &str, path: &str, times: usize) {
        let what = format!("{times} times {method} {path}");
        self.wait(&what, |tables| (tables.requests_to(method, path).count() >= times).then_some(())).await;
    }

    /// Waits for the pool to be polled so many more times.
    pub(crate) async fn polls(&self, pool: &str, times: usize) {
        let path = poll_path(pool);
        let before = self.requests("POST", &path).len();
        self.requested("POST", &path, before + times).await;
    }

    /// A path of the worker channel is open, past its greeting.
    pub(crate) async fn channel_is_open(&self, pool: &str) {
        let path = channel_path(pool);
        let is_open = |tables: &Tables| tables.sockets().iter().any(|it| it.path == path && it.established && it.open);
        self.wait("an open worker channel", |tables| is_open(tables).then_some(())).await;
    }
}

pub(crate) fn poll_path(pool: &str) -> String {
    format!("/work_pools/{pool}/get_scheduled_flow_runs")
}

pub(crate) fn heartbeat_path(pool: &str) -> String {
    format!("/work_pools/{pool}/workers/heartbeat")
}

pub(crate) fn channel_path(pool: &str) -> String {
    format!("/work_pools/{pool}/workers/connect")
}

/// How long a stop may take that has nothing to wait for.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);
