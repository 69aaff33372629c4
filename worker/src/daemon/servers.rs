//! The servers that a worker may offer to its surroundings.

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::monitoring::Monitoring;
use super::shared::Shared;
use crate::liveness::systemd::{self, Systemd};
use crate::plan::DaemonPlan;
use crate::start_error::StartError;

/// Ports are bound before anything else, so that one in use is an error at the start.
pub(super) struct Servers {
    health: Option<TcpListener>,
    metrics: Option<TcpListener>,
    monitoring: Option<TcpListener>,
}

impl Servers {
    pub(super) async fn bind(plan: &DaemonPlan) -> Result<Self, StartError> {
        Ok(Self {
            health: bind("health", plan.health.as_ref()).await?,
            metrics: bind("metrics", plan.metrics.as_ref()).await?,
            monitoring: bind("monitoring", plan.monitoring.as_ref()).await?,
        })
    }

    /// Serves until `stop`, and tells systemd how the daemon is; `intake` ends when the stop begins.
    pub(super) fn serve(
        self,
        monitoring: &Monitoring,
        shared: &Shared,
        tasks: &TaskTracker,
        intake: &CancellationToken,
        stop: &CancellationToken,
    ) {
        if Systemd::is_listening() {
            let (liveness, live) = (shared.liveness.clone(), shared.live.clone());
            let pulse = liveness.pulse("messages to systemd", systemd::PERIOD);
            let systemd = Systemd { liveness, live, serves: shared.serves.subscribe(), pulse };
            tasks.spawn(systemd.run(intake.clone(), stop.clone()));
        }
        let wanted = [
            ("health", self.health, monitoring.routes()),
            ("metrics", self.metrics, monitoring.metrics_only()),
            ("monitoring", self.monitoring, monitoring.routes()),
        ];
        for (what, listener, routes) in wanted {
            if let Some(listener) = listener {
                tasks.spawn(serve(what, listener, routes, stop.clone()));
            }
        }
    }
}

async fn serve(what: &'static str, listener: TcpListener, routes: Router, stop: CancellationToken) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("{what} is served on http://{address}");
    }
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!("{what} is served no more: {error}");
    }
}

async fn bind(server: &'static str, address: Option<&(String, u16)>) -> Result<Option<TcpListener>, StartError> {
    let Some((host, port)) = address else { return Ok(None) };
    let bound = TcpListener::bind((host.as_str(), *port)).await;
    bound.map(Some).map_err(|source| StartError::Port { server, host: host.clone(), port: *port, source })
}
