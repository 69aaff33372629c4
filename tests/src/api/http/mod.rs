//! The HTTP face of the API: routes, and what stands in front of them.

mod blocks;
mod deployments;
mod events;
mod filters;
mod flow_runs;
mod flows;
mod gate;
mod input;
mod leases;
mod logs;
mod refusal;
mod root;
mod shapes;
mod task_runs;
mod variables;
mod work_pools;
mod work_queues;
mod workers;

pub(super) use input::InPath;
pub(super) use shapes::{event_json, pool_json};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio_util::task::TaskTracker;

use super::sockets::{self, Registry};
use super::store::Store;
pub(super) use refusal::Refusal;

/// What every handler has at hand.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) store: Store,
    /// The open websockets.
    pub(super) registry: Registry,
    /// Their tasks.
    pub(super) sockets: TaskTracker,
}

/// All routes, under `/api`.
pub(super) fn router(api: Api) -> Router {
    let routes = Router::new()
        .merge(root::routes())
        .merge(flows::routes())
        .merge(deployments::routes())
        .merge(flow_runs::routes())
        .merge(task_runs::routes())
        .merge(work_pools::routes())
        .merge(work_queues::routes())
        .merge(workers::routes())
        .merge(blocks::routes())
        .merge(variables::routes())
        .merge(logs::routes())
        .merge(events::routes())
        .merge(leases::routes())
        .route("/events/in", get(sockets::events_in))
        .route("/events/out", get(sockets::events_out))
        .route("/work_pools/{name}/workers/connect", get(sockets::worker_channel))
        .fallback(|| async { Refusal::NoSuchRoute })
        .method_not_allowed_fallback(|| async { Refusal::NoSuchMethod })
        .layer(from_fn_with_state(api.clone(), gate::gate))
        .with_state(api);
    Router::new().nest("/api", routes)
}
