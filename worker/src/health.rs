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

/// Serves `GET /health` until told to stop: 200 while every pool's poller polls, 503 otherwise.
pub async fn serve(listener: TcpListener, watched: Vec<Watched>, stop: CancellationToken) {
    let address = listener.local_addr().map_or_else(|_| String::new(), |address: SocketAddr| address.to_string());
    tracing::info!("health is served on http://{address}/health");
    let app = Router::new().route("/health", get(health)).with_state(Arc::new(watched));
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
}
