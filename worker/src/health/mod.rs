//! Health over HTTP: whether the daemon has to be restarted, whether it may take work, and what upstream's probe asks.

mod backends;
mod readiness;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;

pub use backends::Backends;
pub use readiness::Readiness;

use crate::liveness::Liveness;
use crate::operator::{PlannedPool, Pools};

/// A worker is taken for unresponsive after this many query intervals without a poll.
const INTERVALS: u32 = 30;

/// `GET /health`: 200 while every pool's poller polls, 503 otherwise. `GET /livez`: 200 while every loop turns, whatever the
/// API does, 503 with the names of those that hang otherwise. `GET /readyz`: 200 while a run could be taken from at least one
/// pool; the body says what is in the way of the others.
pub fn routes(pools: Pools, liveness: Liveness, readiness: Readiness) -> Router {
    Router::new()
        .route("/health", get(health).with_state(pools))
        .route("/livez", get(livez).with_state(liveness))
        .route("/readyz", get(readyz).with_state(Arc::new(readiness)))
}

async fn health(State(pools): State<Pools>) -> Response {
    match pools.all().iter().find_map(silent_for) {
        None => Json(json!({"message": "OK"})).into_response(),
        Some(silent) => {
            tracing::error!("Worker has not polled in the last {} seconds and should be restarted", silent.as_secs());
            let message = json!({"message": "Worker may be unresponsive at this time"});
            (StatusCode::SERVICE_UNAVAILABLE, Json(message)).into_response()
        }
    }
}

fn silent_for(pool: &PlannedPool) -> Option<Duration> {
    let age = pool.last_poll.age();
    (age > pool.plan.query_interval * INTERVALS).then_some(age)
}

async fn livez(State(liveness): State<Liveness>) -> Response {
    let stalled = liveness.stalled();
    if stalled.is_empty() {
        return Json(json!({"message": "OK"})).into_response();
    }
    tracing::error!("the worker should be restarted: {} hangs", stalled.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"message": "Loops hang", "stalled": stalled}))).into_response()
}

/// Asked again and again by probes, so it is not logged: what is in the way has been logged where it happened.
async fn readyz(State(readiness): State<Arc<Readiness>>) -> Response {
    let found = readiness.look().await;
    let (status, message) =
        if found.is_ready { (StatusCode::OK, "OK") } else { (StatusCode::SERVICE_UNAVAILABLE, "Not ready") };
    (status, Json(json!({"message": message, "reasons": found.reasons}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live_runs::{PoolIndex, WorkspaceIndex};
    use crate::plan::PoolPlan;

    #[tokio::test(start_paused = true)]
    async fn c035_health_is_200_while_the_last_poll_is_at_most_thirty_intervals_old() {
        let pools = Pools::default();
        pools.add(PlannedPool::new(PoolIndex::new(WorkspaceIndex(0), 0), PoolPlan::of_tests()));
        let status = || async { health(State(pools.clone())).await.status() };
        tokio::time::advance(Duration::from_mins(5)).await;
        assert_eq!(status().await, StatusCode::OK);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn liveness_names_the_loop_that_hangs() {
        let liveness = Liveness::default();
        let pulse = liveness.pulse("poller of 'p'", Duration::from_secs(10));
        let status = || async { livez(State(liveness.clone())).await.status() };
        assert_eq!(status().await, StatusCode::OK);
        tokio::time::advance(Duration::from_secs(31)).await;
        let answer = livez(State(liveness.clone())).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("poller of 'p'"));
        pulse.beat();
        assert_eq!(status().await, StatusCode::OK);
    }
}
