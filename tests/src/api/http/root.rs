//! The server itself: health, version, storage, kinds of work pools, CSRF tokens.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::refusal::Refusal;
use crate::api::model::now;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/health", get(|| async { Json(true) }))
        .route("/ready", get(|| async { Json(json!({"message": "OK"})) }))
        .route("/hello", get(|| async { Json("👋") }))
        .route("/admin/version", get(version))
        .route("/admin/storage", get(|| async { Json(json!({"default_result_storage_block_id": null})) }))
        .route("/collections/views/aggregate-worker-metadata", get(|| async { Json(kinds_of_pools()) }))
        .route("/csrf-token", get(csrf_token))
}

/// The kinds that have a package of their own, each with the template of its worker.
fn kinds_of_pools() -> Value {
    let kinds = [
        ("docker", include_str!("../../../../infra-plugins/docker/src/template.json")),
        ("kubernetes", include_str!("../../../../infra-plugins/kubernetes/src/template.json")),
    ];
    let described = kinds.map(|(kind, template)| {
        let template: Value = serde_json::from_str(template).unwrap_or_default();
        (format!("prefect-{kind}"), json!({kind: {"type": kind, "default_base_job_configuration": template}}))
    });
    Value::Object(described.into_iter().collect())
}

async fn version(State(api): State<Api>) -> Json<String> {
    Json(api.store.options().version.to_string())
}

#[derive(Deserialize)]
struct Client {
    client: String,
}

async fn csrf_token(State(api): State<Api>, Query(Client { client }): Query<Client>) -> Result<Json<Value>, Refusal> {
    if !api.store.options().csrf {
        let detail = "CSRF protection is disabled.".to_owned();
        return Err(Refusal::Detail(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let now = now();
    let row = api.store.write(|tables| tables.renew_csrf_token(&client, now));
    Ok(Json(json!({
        "id": row.id,
        "created": now,
        "updated": now,
        "token": row.token,
        "client": client,
        "expiration": row.expires,
    })))
}
