//! POST.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::answer::{Asked, object_response};
use crate::failure::Failure;
use crate::resource::Resource;
use crate::state::{Key, Shared, State, text};
use crate::verb::Verb;
use crate::{admission, unknown_fields};

pub(crate) fn create(shared: &Shared, asked: &Asked) -> Result<Response, Failure> {
    let object = shared.write(|state| {
        let mut object = asked.body.clone();
        if !object.is_object() {
            return Err(Failure::bad_request("the body is no object"));
        }
        if asked.target.new_events {
            old_event(&mut object);
        }
        let strict = asked.query.get("fieldValidation") == Some("Strict");
        unknown_fields::check(&state.settings, strict, asked.target.resource, &mut object)?;
        let key = new_key(asked, &mut object);
        known_namespace(state, &key)?;
        if state.get(&key).is_some() {
            return Err(Failure::already_exists(key.resource, &key.name));
        }
        admission::admit(state.settings.minor, &key, &mut object)?;
        if asked.query.get("dryRun").is_some() {
            return Ok(object);
        }
        let made = state.insert(&key, object);
        if key.resource == Resource::Jobs {
            let minor = state.settings.minor;
            let uid = text(&made, "/metadata/uid").to_owned();
            // The selector names the uid, so it can only come after it; nobody sees the state before.
            state.amend(&key, |job| admission::select_pods(minor, &uid, job));
        }
        Ok((*state.need(&key)?).clone())
    })?;
    Ok(object_response(StatusCode::CREATED, asked, &object))
}

fn known_namespace(state: &State, key: &Key) -> Result<(), Failure> {
    if state.settings.missing_namespaces.contains(&key.namespace) {
        return Err(Failure::not_found(Resource::Namespaces, &key.namespace));
    }
    Ok(())
}

/// The key of a new object, whose name may be the server's to choose.
fn new_key(asked: &Asked, object: &mut Value) -> Key {
    let metadata = &mut object["metadata"];
    if let Some(fields) = metadata.as_object_mut() {
        for given in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"] {
            fields.shift_remove(given);
        }
    }
    let name = match (text(metadata, "/name"), text(metadata, "/generateName")) {
        ("", "") => String::new(),
        ("", prefix) => admission::generated_name(prefix),
        (name, _) => name.to_owned(),
    };
    Key { name, ..asked.key() }
}

/// An event of `events.k8s.io/v1` as `v1` has it.
fn old_event(event: &mut Value) {
    let mut take = |key: &str| event.as_object_mut().and_then(|fields| fields.remove(key)).unwrap_or_default();
    let (involved, message) = (take("regarding"), take("note"));
    event["involvedObject"] = involved;
    event["message"] = message;
}

/// Answers a question about access: by the test's rule, or else by what is forbidden.
pub(crate) fn review(shared: &Shared, asked: &Asked) -> Response {
    let attributes = asked.body.pointer("/spec/resourceAttributes").cloned().unwrap_or_default();
    let allowed = shared.read(|state| match &state.settings.reviewer {
        Some(reviewer) => reviewer(&attributes),
        None => !state.settings.forbidden.iter().any(|(verb, resource)| is_about(&attributes, *verb, resource)),
    });
    let mut body = asked.body.clone();
    body["kind"] = json!("SelfSubjectAccessReview");
    body["apiVersion"] = json!("authorization.k8s.io/v1");
    body["status"] = json!({"allowed": allowed});
    (StatusCode::CREATED, Json(body)).into_response()
}

fn is_about(attributes: &Value, verb: Verb, resource: &str) -> bool {
    let subresource = text(attributes, "/subresource");
    let mut asked = text(attributes, "/resource").to_owned();
    if !subresource.is_empty() {
        asked = format!("{asked}/{subresource}");
    }
    text(attributes, "/verb") == verb.as_str() && asked == resource
}
