//! PUT and PATCH.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::answer::{Asked, object_response};
use crate::failure::Failure;
use crate::resource::Resource;
use crate::state::{Key, Shared, State, finalizers, is_deleting, text};
use crate::unknown_fields;

pub(crate) fn update(shared: &Shared, asked: &Asked) -> Result<Response, Failure> {
    let object = shared.write(|state| {
        let old = state.need(&asked.key())?;
        apply(state, asked, &old, asked.body.clone())
    })?;
    Ok(object_response(StatusCode::OK, asked, &object))
}

pub(crate) fn patch(shared: &Shared, asked: &Asked) -> Result<Response, Failure> {
    if !matches!(asked.content_type.as_str(), "application/merge-patch+json" | "application/strategic-merge-patch+json")
    {
        let message = format!("the media type of the patch is not served here: {}", asked.content_type);
        return Err(Failure::new(415, "UnsupportedMediaType", &message));
    }
    let object = shared.write(|state| {
        let old = state.need(&asked.key())?;
        let mut new = (*old).clone();
        merge(&mut new, &asked.body);
        apply(state, asked, &old, new)
    })?;
    Ok(object_response(StatusCode::OK, asked, &object))
}

/// A JSON merge patch. A strategic one is treated as one too.
fn merge(object: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, change) in changes {
        match (change, object.as_object_mut()) {
            (Value::Null, Some(fields)) => drop(fields.shift_remove(key)),
            (_, _) => merge(&mut object[key.as_str()], change),
        }
    }
}

fn apply(state: &mut State, asked: &Asked, old: &Value, mut new: Value) -> Result<Value, Failure> {
    let key = asked.key();
    let version = text(&new, "/metadata/resourceVersion");
    if !version.is_empty() && version != text(old, "/metadata/resourceVersion") {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(key.resource, &key.name, why));
    }
    let uid = text(&new, "/metadata/uid");
    if !uid.is_empty() && uid != text(old, "/metadata/uid") {
        return Err(Failure::conflict(key.resource, &key.name, "Precondition failed: UID in precondition"));
    }
    let strict = asked.query.get("fieldValidation") == Some("Strict");
    unknown_fields::check(&state.settings, strict, key.resource, &mut new)?;
    if asked.target.subresource.as_deref() == Some("status") {
        let status = new.get("status").cloned().unwrap_or_default();
        new = old.clone();
        new["status"] = status;
    } else if key.resource.has_status() {
        new["status"] = old.get("status").cloned().unwrap_or_default();
        let template = |job: &Value| job.pointer("/spec/template/spec").cloned();
        if key.resource == Resource::Jobs && template(&new) != template(old) {
            return Err(Failure::invalid(key.resource, &key.name, "spec.template: Invalid value: field is immutable"));
        }
    }
    new["kind"] = json!(key.resource.kind());
    new["apiVersion"] = json!(key.resource.api_version());
    for given in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "resourceVersion"] {
        match old.get("metadata").and_then(|metadata| metadata.get(given)) {
            Some(value) => new["metadata"][given] = value.clone(),
            None => drop(new["metadata"].as_object_mut().and_then(|fields| fields.shift_remove(given))),
        }
    }
    let made = state.replace(&key, new);
    finish_deletion(state, &key);
    Ok((*made).clone())
}

/// An object that is being deleted goes when its last finalizer went. A pod goes when its kubelet says so.
pub(crate) fn finish_deletion(state: &mut State, key: &Key) {
    let done = state.get(key).is_some_and(|object| {
        let waits = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0) > 0;
        is_deleting(object) && finalizers(object).is_empty() && !waits
    });
    if done {
        state.remove(key);
    }
}
