//! Work pools, their queues, the heartbeat and the poll.

use central_api_wire::flow_run::{AnyOf, ScheduledRun, ScheduledRunsRequest};
use central_api_wire::work_pool::{
    Heartbeat, WorkPool, WorkPoolCreate, WorkPoolUpdate, WorkPoolsFilterRequest, WorkQueue, WorkQueueFilter,
    WorkQueuesFilterRequest,
};
use http::Method;
use serde::de::{Error as _, IgnoredAny};
use worker_core::ids::WorkerId;

use super::{json, nothing};
use crate::undecodable::readable_rows;
use crate::{ApiError, CallKind, Client};

/// The most that a server lists at once.
const POOLS_AT_ONCE: u32 = 200;

impl Client {
    /// A work pool. [`CallKind::Poll`]. `GET /work_pools/{name}`.
    pub async fn work_pool(&self, name: &str) -> Result<WorkPool, ApiError> {
        let call = self.call(CallKind::Poll, Method::GET, "read a work pool", &["work_pools", name]);
        self.exchange(call, json).await
    }

    /// All work pools. A pool that cannot be decoded is left out with one warning. [`CallKind::Poll`].
    /// `POST /work_pools/filter`, which answers with 200 at most.
    pub async fn work_pools(&self) -> Result<Vec<WorkPool>, ApiError> {
        let mut pools = Vec::new();
        let mut offset = 0;
        loop {
            let request = WorkPoolsFilterRequest { limit: POOLS_AT_ONCE, offset };
            let call = self.call(CallKind::Poll, Method::POST, "list work pools", &["work_pools", "filter"]);
            let name = call.name;
            let decode = |body: &[u8]| {
                let rows = serde_json::from_slice::<Vec<IgnoredAny>>(body)?.len();
                Ok((rows, readable_rows(name, body, &self.shared.complaints)?))
            };
            let (rows, readable): (usize, Vec<WorkPool>) = self.exchange(call.json(&request)?, decode).await?;
            pools.extend(readable);
            offset += POOLS_AT_ONCE;
            if u32::try_from(rows).is_ok_and(|rows| rows < POOLS_AT_ONCE) {
                return Ok(pools);
            }
        }
    }

    /// Creates a work pool. [`CallKind::Poll`]. `POST /work_pools/`: 409 if it exists, 403 for the reserved names that
    /// begin with `prefect`.
    pub async fn create_work_pool(&self, pool: &WorkPoolCreate) -> Result<WorkPool, ApiError> {
        let call = self.call(CallKind::Poll, Method::POST, "create a work pool", &["work_pools", ""]);
        self.exchange(call.json(pool)?, json).await
    }

    /// Changes a work pool. [`CallKind::Poll`]. `PATCH /work_pools/{name}`.
    pub async fn update_work_pool(&self, name: &str, update: &WorkPoolUpdate) -> Result<(), ApiError> {
        let call = self.call(CallKind::Poll, Method::PATCH, "change a work pool", &["work_pools", name]);
        self.exchange(call.json(update)?, nothing).await
    }

    /// The queues of a pool, or those of the given names. [`CallKind::Read`]. `POST /work_pools/{pool}/queues/filter`.
    pub async fn work_queues(&self, pool: &str, names: Option<&[String]>) -> Result<Vec<WorkQueue>, ApiError> {
        let work_queues = names.map(|names| WorkQueueFilter { name: Some(AnyOf { any_: names.to_vec() }) });
        let request = WorkQueuesFilterRequest { work_queues, ..WorkQueuesFilterRequest::default() };
        let path = ["work_pools", pool, "queues", "filter"];
        let call = self.call(CallKind::Read, Method::POST, "list work queues", &path);
        self.exchange(call.json(&request)?, json).await
    }

    /// Says that the worker is alive. The worker's id comes back if it was asked for and the API is Prefect Cloud.
    /// [`CallKind::Poll`]. `POST /work_pools/{pool}/workers/heartbeat`.
    pub async fn heartbeat(&self, pool: &str, heartbeat: &Heartbeat) -> Result<Option<WorkerId>, ApiError> {
        let path = ["work_pools", pool, "workers", "heartbeat"];
        let call = self.call(CallKind::Poll, Method::POST, "heartbeat", &path);
        self.exchange(call.json(heartbeat)?, worker_id).await
    }

    /// The runs that are due, in the server's order. A run that cannot be decoded is left out with one warning.
    /// [`CallKind::Poll`]. `POST /work_pools/{pool}/get_scheduled_flow_runs`: 404 for an unknown pool or queue.
    pub async fn scheduled_runs(
        &self,
        pool: &str,
        request: &ScheduledRunsRequest,
    ) -> Result<Vec<ScheduledRun>, ApiError> {
        let path = ["work_pools", pool, "get_scheduled_flow_runs"];
        let call = self.call(CallKind::Poll, Method::POST, "poll", &path);
        let name = call.name;
        self.exchange(call.json(request)?, |body| readable_rows(name, body, &self.shared.complaints)).await
    }
}

/// The id in the answer to a heartbeat: a uuid, with or without quotes; nothing from a self-hosted server.
fn worker_id(body: &[u8]) -> Result<Option<WorkerId>, serde_json::Error> {
    let text = str::from_utf8(body).map_err(serde_json::Error::custom)?.trim().trim_matches('"');
    if text.is_empty() || text == "null" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde_json::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_id_comes_with_or_without_quotes_or_not_at_all() {
        let id = "6f8b1c34-0000-4000-8000-00000000000a";
        for body in [id.to_owned(), format!("\"{id}\""), format!("{id}\n")] {
            assert_eq!(worker_id(body.as_bytes()).unwrap().unwrap().to_string(), id);
        }
        assert_eq!(worker_id(b"").unwrap(), None);
        assert_eq!(worker_id(b"null").unwrap(), None);
        assert!(worker_id(b"<html>").is_err());
    }
}
