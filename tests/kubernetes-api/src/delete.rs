//! DELETE: graceful, with finalizers, and what becomes of dependents.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::answer::{Asked, object_response};
use crate::change::finish_deletion;
use crate::failure::Failure;
use crate::query::Query;
use crate::resource::Resource;
use crate::selector::Filter;
use crate::state::{Key, Shared, State, finalizers, in_seconds, is_deleting, is_over, now, owners, text};

pub(crate) const FOREGROUND: &str = "foregroundDeletion";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Propagation {
    Foreground,
    Background,
    Orphan,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    grace: Option<i64>,
    propagation: Option<Propagation>,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

impl Options {
    /// From the body and from the query.
    fn read(body: &Value, query: &Query) -> Result<Self, Failure> {
        let owned = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let propagation = owned("/propagationPolicy").or_else(|| query.get("propagationPolicy").map(str::to_owned));
        let propagation = match propagation.as_deref() {
            None => None,
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Background") => Some(Propagation::Background),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let why = format!("DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: {other}");
                return Err(Failure::new(422, "Invalid", &why));
            }
        };
        let grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
        Ok(Self {
            grace: grace.or_else(|| query.number("gracePeriodSeconds")),
            propagation,
            uid: owned("/preconditions/uid"),
            version: owned("/preconditions/resourceVersion"),
            dry_run: query.get("dryRun").is_some() || body.get("dryRun").is_some_and(|value| !value.is_null()),
        })
    }
}

pub(crate) fn delete(shared: &Shared, asked: &Asked) -> Result<Response, Failure> {
    let options = Options::read(&asked.body, &asked.query)?;
    let key = asked.key();
    let (object, gone) = shared.write(|state| {
        let object = one(state, &key, &options)?;
        let gone = state.get(&key).is_none();
        Ok((object, gone))
    })?;
    if gone && key.resource != Resource::Pods {
        let uid = text(&object, "/metadata/uid");
        return Ok(Json(json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": key.name, "group": key.resource.group(), "kind": key.resource.plural(), "uid": uid},
        }))
        .into_response());
    }
    Ok(object_response(StatusCode::OK, asked, &object))
}

pub(crate) fn delete_collection(shared: &Shared, asked: &Asked) -> Result<Response, Failure> {
    let options = Options::read(&asked.body, &asked.query)?;
    let filter = Filter::new(&asked.target, &asked.query)?;
    let (version, items) = shared.write(|state| {
        let meant = state.of(filter.resource).filter(|(_, object)| filter.matches(object));
        let keys: Vec<Key> = meant.map(|(key, _)| key.clone()).collect();
        let items: Result<Vec<Value>, Failure> =
            keys.iter().map(|key| Ok((*one(state, key, &options)?).clone())).collect();
        Ok((state.version().to_string(), items?))
    })?;
    let (kind, api_version) = asked.presentation.list_kind(&asked.target);
    let items: Vec<Value> = items.iter().map(|item| asked.presentation.object(item)).collect();
    let metadata = json!({"resourceVersion": version});
    Ok(Json(json!({"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items})).into_response())
}

/// Deletes one object and returns its last state.
pub(crate) fn one(state: &mut State, key: &Key, options: &Options) -> Result<Arc<Value>, Failure> {
    let object = state.need(key)?;
    for (name, wanted, pointer) in
        [("UID", &options.uid, "/metadata/uid"), ("ResourceVersion", &options.version, "/metadata/resourceVersion")]
    {
        let is = text(&object, pointer);
        if let Some(wanted) = wanted
            && wanted != is
        {
            let why = format!("Precondition failed: {name} in precondition: {wanted}, {name} in object meta: {is}");
            return Err(Failure::conflict(key.resource, &key.name, &why));
        }
    }
    if options.dry_run {
        return Ok(object);
    }
    if key.resource == Resource::Pods {
        pod(state, key, &object, options.grace);
    } else {
        other(state, key, &object, options.propagation);
    }
    Ok(state.get(key).map_or(object, Arc::clone))
}

/// A pod that no node has, or that is over, needs no grace.
fn pod(state: &mut State, key: &Key, pod: &Value, grace: Option<i64>) {
    let default = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
    let unscheduled = text(pod, "/spec/nodeName").is_empty();
    let grace = if unscheduled || is_over(pod) { 0 } else { grace.unwrap_or(default).max(0) };
    let left = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    if grace > 0 && left.is_some_and(|left| left <= grace) {
        return;
    }
    if grace == 0 && finalizers(pod).is_empty() {
        state.remove(key);
        return;
    }
    let until = Timestamp::now().checked_add(SignedDuration::from_secs(grace)).unwrap_or(Timestamp::MAX);
    state.edit(key, |pod| {
        pod["metadata"]["deletionTimestamp"] = json!(in_seconds(until));
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    });
}

fn other(state: &mut State, key: &Key, object: &Value, propagation: Option<Propagation>) {
    // For compatibility a real server orphans the pods of a batch/v1 Job unless it is told otherwise.
    let default = if key.resource == Resource::Jobs { Propagation::Orphan } else { Propagation::Background };
    let uid = text(object, "/metadata/uid").to_owned();
    let propagation = propagation.unwrap_or(default);
    if propagation == Propagation::Orphan {
        for (dependent, _) in state.owned_by(&uid) {
            state.edit(&dependent, |object| {
                if let Some(references) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut)
                {
                    references.retain(|reference| text(reference, "/uid") != uid);
                }
            });
        }
    }
    let mut names = finalizers(object).to_vec();
    if propagation == Propagation::Foreground && !names.contains(&json!(FOREGROUND)) {
        names.push(json!(FOREGROUND));
    }
    if names.is_empty() {
        state.remove(key);
        return;
    }
    state.edit(key, |object| {
        object["metadata"]["finalizers"] = json!(names);
        if !is_deleting(object) {
            object["metadata"]["deletionTimestamp"] = json!(now());
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        }
    });
}

/// The garbage collector at one object: a dependent of what is gone goes, and an owner that waits for its dependents.
pub(crate) fn collect_garbage(state: &mut State, key: &Key) {
    let Some(object) = state.get(key).map(Arc::clone) else { return };
    let mut doomed = Vec::new();
    let mut owners = owners(&object).peekable();
    if owners.peek().is_some() && owners.all(|owner| state.with_uid(owner).is_none()) && !is_deleting(&object) {
        doomed.push(key.clone());
    }
    if is_deleting(&object) && finalizers(&object).contains(&json!(FOREGROUND)) {
        let dependents = state.owned_by(text(&object, "/metadata/uid"));
        if dependents.is_empty() {
            state.edit(key, |object| {
                let left: Vec<Value> = finalizers(object).iter().filter(|name| **name != FOREGROUND).cloned().collect();
                object["metadata"]["finalizers"] = json!(left);
            });
            finish_deletion(state, key);
        }
        let living = dependents.into_iter().filter(|(_, object)| !is_deleting(object));
        doomed.extend(living.map(|(key, _)| key));
    }
    for key in doomed {
        if let Err(failure) = one(state, &key, &Options::default()) {
            tracing::debug!(?failure, "a dependent was gone already");
        }
    }
}
