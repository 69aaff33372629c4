//! Metrics in the text format of Prometheus.
//!
//! [`Metrics`] counts what happens and is handed down to where it does; [`Present`] looks up what is so when it is asked.
//! Both take their names from [`METRICS`], of which `docs/metrics.md` is made.

mod catalogue;
mod causes;
mod events;
mod present;
mod process;
mod reference;
mod series;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

pub use catalogue::{Kind, METRICS, Metric};
pub use causes::{ApiStream, End, Refusal, Repaired};
pub use events::{Metrics, RunMetrics};
pub use present::Present;
pub use reference::reference;

/// What is scraped. Clones share it.
#[derive(Clone, Debug)]
pub struct Exposition(Arc<Registry>);

impl Exposition {
    /// Of what a daemon counts and shows.
    pub fn new(present: Present) -> Self {
        let mut registry = Registry::default();
        present.metrics.register(&mut registry);
        registry.register_collector(Box::new(present));
        Self(Arc::new(registry))
    }

    /// Answers a scrape.
    pub fn route(&self) -> MethodRouter {
        get(async |State(Self(registry)): State<Self>| scraped(&registry)).with_state(self.clone())
    }
}

fn scraped(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_text::encode(&mut text, registry) {
        Ok(()) => ([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        // Text can always be written into memory.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
