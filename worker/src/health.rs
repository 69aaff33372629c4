//! The health server of `--with-healthcheck`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::liveness::Liveness;
use crate::pool::poller::LastPoll;

/// A worker is taken for unresponsive after this many query intervals without a poll.
const INTERVALS: u32 = 30;

/// One pool's poller and how often it should poll.
#[derive(Clone, Debug)]
pub struct Watched {
    /// When it last polled.
    pub last_poll: Arc<LastPoll>,
    /// Mean time between polls.
    pub query_interval: Duration,
}

/// Serves until told to stop. `GET /health`: 200 while every pool's poller polls, 503 otherwise. `GET /livez`: 200 while
/// every loop turns, whatever the API does, 503 with the names of those that hang otherwise.
pub async fn serve(listener: TcpListener, watched: Vec<Watched>, liveness: Liveness, stop: CancellationToken) {
    let address = listener.local_addr().map_or_else(|_| String::new(), |address: SocketAddr| address.to_string());
    tracing::info!("health is served on http://{address}/health");
    let of_polls = get(health).with_state(Arc::new(watched));
    let app = Router::new().route("/health", of_polls).route("/livez", get(livez).with_state(liveness));
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!("the health server ended: {error}");
    }
}

async fn health(State(watched): State<Arc<Vec<Watched>>>) -> Response {
    match watched.iter().find_map(silent_for) {
        None => Json(json!({"message": "OK"})).into_response(),
        Some(silent) => {
            tracing::error!("Worker has not polled in the last {} seconds and should be restarted", silent.as_secs());
            let message = json!({"message": "Worker may be unresponsive at this time"});
            (StatusCode::SERVICE_UNAVAILABLE, Json(message)).into_response()
        }
    }
}

fn silent_for(watched: &Watched) -> Option<Duration> {
    let age = watched.last_poll.age();
    (age > watched.query_interval * INTERVALS).then_some(age)
}

async fn livez(State(liveness): State<Liveness>) -> Response {
    let stalled = liveness.stalled();
    if stalled.is_empty() {
        return Json(json!({"message": "OK"})).into_response();
    }
    tracing::error!("the worker should be restarted: {} hangs", stalled.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"message": "Loops hang", "stalled": stalled}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn c035_health_is_200_while_the_last_poll_is_at_most_thirty_intervals_old() {
        let watched = Watched { last_poll: Arc::default(), query_interval: Duration::from_secs(10) };
        let status = || async { health(State(Arc::new(vec![watched.clone()]))).await.status() };
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
