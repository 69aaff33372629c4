//! The daemon's end of the control socket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::answers::{Course, DrainWish, Refusal, RunNamed};
use super::cancelling::cancel;
use super::desk::{Desk, Drain};
use super::socket;
use super::why::why;
use crate::daemon::Stopped;
use crate::run::ErrorChain;
use crate::state_folder::StateFolder;

/// Answers that are being written at the end get this long. A client that does not read gets no longer.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Serves a desk until it is told how the daemon ended.
pub struct DeskServer {
    desk: Arc<Desk>,
    folder: Arc<StateFolder>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl DeskServer {
    /// Opens the socket in the daemon's folder and serves it, with what is shown of the daemon to everybody. Without it a daemon still does its work, so that it cannot
    /// be opened is said and no more.
    pub fn start(desk: Desk, monitoring: Router, folder: Arc<StateFolder>) -> Option<Self> {
        let desk = Arc::new(desk);
        let listener = match socket::bind(folder.path()) {
            Ok(listener) => listener,
            Err(error) => {
                let path = folder.path();
                tracing::warn!("`worker status` and the like will not find this worker: no socket in {path}: {error}");
                return None;
            }
        };
        let stop = CancellationToken::new();
        let served = serve(listener, routes(Arc::clone(&desk)).merge(monitoring))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!("the control socket is served no more: {error}");
            }
        });
        Some(Self { desk, folder, stop, task })
    }

    /// Tells those who wait how the daemon ended, and closes the socket.
    pub async fn finish(mut self, stopped: Stopped) {
        self.desk.course.send_replace(Course::Ended(stopped));
        self.stop.cancel();
        if tokio::time::timeout(LAST_ANSWERS, &mut self.task).await.is_err() {
            self.task.abort();
        }
        socket::remove(self.folder.path());
    }
}

fn routes(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/status", get(async |State(desk): Desks| Json(desk.status())))
        .route("/runs", get(async |State(desk): Desks| Json(desk.runs())))
        .route("/end", get(async |State(desk): Desks| found(desk.end().await, "the daemon goes on")))
        .route("/why", post(async |State(desk): Desks, Json(named): Json<RunNamed>| given(why(&desk, &named).await)))
        .route(
            "/cancel",
            post(async |State(desk): Desks, Json(named): Json<RunNamed>| given(cancel(&desk, &named).await)),
        )
        .route("/cordon", post(async |State(desk): Desks| cordon(&desk, true).await))
        .route("/uncordon", post(async |State(desk): Desks| cordon(&desk, false).await))
        .route("/drain", post(async |State(desk): Desks, Json(wish): Json<DrainWish>| Json(desk.drain(wish.into()))))
        .with_state(desk)
}

type Desks = State<Arc<Desk>>;

impl From<DrainWish> for Drain {
    fn from(wish: DrainWish) -> Self {
        Self { timeout: wish.timeout_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) }
    }
}

/// Why a question has no answer.
pub(super) enum NoAnswer {
    /// No such run.
    Unknown(String),
    /// More than one.
    Ambiguous(String),
    /// Something is wrong here.
    Broken(String),
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Unknown(error) => (StatusCode::NOT_FOUND, error),
            Self::Ambiguous(error) => (StatusCode::CONFLICT, error),
            Self::Broken(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
        };
        (status, Json(Refusal { error })).into_response()
    }
}

fn given<T: Serialize>(answer: Result<T, NoAnswer>) -> Response {
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(no_answer) => no_answer.into_response(),
    }
}

fn found<T: Serialize>(answer: Option<T>, otherwise: &str) -> Response {
    given(answer.ok_or_else(|| NoAnswer::Broken(otherwise.to_owned())))
}

async fn cordon(desk: &Desk, cordoned: bool) -> Response {
    let broken = |error| NoAnswer::Broken(format!("that would not survive a restart: {}", ErrorChain(&error)));
    given(desk.cordon(cordoned).await.map_err(broken))
}
