//! Leases on the slots of deployments.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use jiff::SignedDuration;
use serde::Deserialize;
use uuid::Uuid;

use super::Api;
use super::input::{InPath, Input};
use super::refusal::Refusal;
use crate::api::model::now;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v2/concurrency_limits/leases/{id}/renew", post(renew))
}

#[derive(Deserialize)]
struct Renewal {
    #[serde(default = "five_minutes")]
    lease_duration: f64,
}

const fn five_minutes() -> f64 {
    300.0
}

async fn renew(
    State(api): State<Api>,
    InPath(id): InPath<Uuid>,
    Input(body): Input<Renewal>,
) -> Result<StatusCode, Refusal> {
    let duration = SignedDuration::try_from_secs_f64(body.lease_duration).unwrap_or(SignedDuration::ZERO);
    api.store.write(|tables| tables.renew_lease(id, duration, now()))?;
    Ok(StatusCode::NO_CONTENT)
}
