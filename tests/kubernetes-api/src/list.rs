//! Lists, in pages.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::answer::Asked;
use crate::failure::Failure;
use crate::selector::Filter;
use crate::state::{Page, Shared, State};

pub(crate) fn list(shared: &Shared, asked: &Asked) -> Result<Response, Failure> {
    let limit = asked.query.number::<usize>("limit").unwrap_or(0);
    let filter = Filter::new(&asked.target, &asked.query)?;
    let (page, token, remaining) = shared.write(|state| {
        let mut page = match asked.query.get("continue") {
            Some(token) => state.pages.remove(token).ok_or_else(Failure::continue_expired)?,
            None => first(state, asked, &filter)?,
        };
        // A list out of the server's cache, version 0, has one page.
        let whole = asked.query.get("resourceVersion") == Some("0");
        if limit == 0 || whole || page.rest.len() <= limit {
            return Ok((page, None, 0));
        }
        let rest = page.rest.split_off(limit);
        let token = uuid::Uuid::new_v4().simple().to_string();
        let (version, remaining) = (page.version, rest.len());
        state.pages.insert(token.clone(), Page { version, rest });
        Ok((page, Some(token), remaining))
    })?;
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Some(token) = token {
        metadata["continue"] = json!(token);
        metadata["remainingItemCount"] = json!(remaining);
    }
    let items: Vec<Value> = page.rest.iter().map(|object| item(asked, object)).collect();
    let (kind, version) = asked.presentation.list_kind(&asked.target);
    Ok(Json(json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items})).into_response())
}

/// Objects in a list do not say what they are.
fn item(asked: &Asked, object: &Value) -> Value {
    let mut shown = asked.presentation.object(object);
    if let Some(fields) = shown.as_object_mut() {
        fields.shift_remove("kind");
        fields.shift_remove("apiVersion");
    }
    shown
}

fn first(state: &State, asked: &Asked, filter: &Filter) -> Result<Page, Failure> {
    let version = state.version();
    if let Some(wanted) = asked.query.get("resourceVersion") {
        let wanted: u64 = wanted
            .parse()
            .map_err(|_| Failure::bad_request(&format!("resourceVersion: Invalid value: \"{wanted}\"")))?;
        if wanted > version {
            let message = format!("Too large resource version: {wanted}, current: {version}");
            return Err(Failure::new(504, "Timeout", &message).retry_after(std::time::Duration::from_secs(1)));
        }
        let exact = asked.query.get("resourceVersionMatch") == Some("Exact");
        if exact && wanted < state.compacted {
            return Err(Failure::too_old(wanted, state.compacted));
        }
    }
    let rest = state.of(filter.resource).filter(|(_, object)| filter.matches(object));
    Ok(Page { version, rest: rest.map(|(_, object)| Arc::clone(object)).collect() })
}
