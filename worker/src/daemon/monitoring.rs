//! What the daemon shows of itself over HTTP: health and metrics.

use axum::Router;
use camino::Utf8PathBuf;
use tokio::sync::watch;

use super::shared::Shared;
use crate::health::{self, Backends, Readiness};
use crate::metrics::{Exposition, Present};
use crate::operator::Course;

/// Health and metrics, ready to be served at any number of addresses.
pub(super) struct Monitoring {
    health: Router,
    metrics: Exposition,
}

impl Monitoring {
    /// `journals` are the files of all APIs.
    pub(super) fn new(shared: &Shared, course: &watch::Sender<Course>, journals: Vec<Utf8PathBuf>) -> Self {
        let readiness = Readiness {
            course: course.subscribe(),
            cordoned: shared.cordoned.subscribe(),
            pools: shared.pools.clone(),
            live: shared.live.clone(),
            liveness: shared.liveness.clone(),
            backends: Backends::default(),
        };
        let present = Present {
            pools: shared.pools.clone(),
            live: shared.live.clone(),
            liveness: shared.liveness.clone(),
            course: course.subscribe(),
            cordoned: shared.cordoned.subscribe(),
            admission: shared.admission.clone(),
            journals,
            metrics: shared.metrics.clone(),
        };
        // Also of pools whose kind is not known yet, so that one which never opens is noticed.
        let health = health::routes(shared.pools.clone(), shared.liveness.clone(), readiness);
        Self { health, metrics: Exposition::new(present) }
    }

    /// `/livez`, `/readyz`, `/health` and `/metrics`.
    pub(super) fn routes(&self) -> Router {
        self.health.clone().route("/metrics", self.metrics.route())
    }

    /// The metrics at every path, as where Prefect's client metrics are.
    pub(super) fn metrics_only(&self) -> Router {
        Router::new().fallback_service(self.metrics.route())
    }
}
