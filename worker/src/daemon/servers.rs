//! The servers that a worker may offer to its surroundings.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pool_worker::Shared;
use crate::health::{self, Watched};
use crate::liveness::systemd::Systemd;
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

    /// Serves until `stop`, and tells systemd how the daemon is; `intake` ends when the stop begins.
    pub(super) fn serve(
        self,
        watched: Vec<Watched>,
        counted: Counted,
        shared: &Shared,
        tasks: &TaskTracker,
        intake: &CancellationToken,
        stop: &CancellationToken,
    ) {
        if Systemd::is_listening() {
            let (liveness, live) = (shared.liveness.clone(), shared.resources.live.clone());
            let systemd = Systemd { liveness, live, serves: shared.serves.subscribe() };
            tasks.spawn(systemd.run(intake.clone(), stop.clone()));
        }
        if let Some(listener) = self.health {
            tasks.spawn(health::serve(listener, watched, shared.liveness.clone(), stop.clone()));
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
