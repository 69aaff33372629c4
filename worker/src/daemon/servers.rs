//! The servers that a worker may offer to its surroundings.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::health::{self, Watched};
use crate::liveness::Liveness;
use crate::metrics::{self, Counted};
use crate::plan::DaemonPlan;
use crate::start_error::StartError;

/// Ports are bound before anything else, so that one in use is an error at the start.
pub(super) struct Servers {
    health: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Servers {
    pub(super) async fn bind(plan: &DaemonPlan) -> Result<Self, StartError> {
        Ok(Self {
            health: bind("health", plan.health.as_ref()).await?,
            metrics: bind("metrics", plan.metrics.as_ref()).await?,
        })
    }

    /// Serves until `stop`.
    pub(super) fn serve(self, watched: Vec<Watched>, counted: Counted, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Some(listener) = self.health {
            tasks.spawn(health::serve(listener, watched, Liveness::default(), stop.clone()));
        }
        if let Some(listener) = self.metrics {
            tasks.spawn(metrics::serve(listener, counted, stop.clone()));
        }
    }
}

async fn bind(server: &'static str, address: Option<&(String, u16)>) -> Result<Option<TcpListener>, StartError> {
    let Some((host, port)) = address else { return Ok(None) };
    let bound = TcpListener::bind((host.as_str(), *port)).await;
    bound.map(Some).map_err(|source| StartError::Port { server, host: host.clone(), port: *port, source })
}
