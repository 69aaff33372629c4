//! From a request to its answer, through the faults.

use std::future;
use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::create::{self, review};
use crate::failure::Failure;
use crate::faults::Fault;
use crate::presentation::Presentation;
use crate::query::Query;
use crate::resource::{Resource, Target};
use crate::server::Cut;
use crate::state::{Key, Shared};
use crate::verb::Verb;
use crate::{change, delete, list, logs, records, watch};

/// A request that was read.
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) query: Query,
    pub(crate) body: Value,
    pub(crate) content_type: String,
    pub(crate) presentation: Presentation,
}

impl Asked {
    /// The object that is meant.
    pub(crate) fn key(&self) -> Key {
        Key {
            resource: self.target.resource,
            namespace: self.target.namespace.clone().unwrap_or_default(),
            name: self.target.name.clone().unwrap_or_default(),
        }
    }
}

/// Everything there is no other way for: all of the API.
pub(crate) async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(Cut(cut)): Extension<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Failure::bad_request("the body broke off").into_response();
    };
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let target = Target::parse(&path);
    let asked_for = Query::parse(&query);
    let verb = verb(&parts.method, target.as_ref(), &asked_for);
    let record = records::Request {
        verb: verb.unwrap_or(Verb::Get),
        method: parts.method.to_string(),
        path: path.clone(),
        query,
        resource: target.as_ref().map(|target| target.resource.plural().to_owned()).unwrap_or_default(),
        subresource: target.as_ref().and_then(|target| target.subresource.clone()).unwrap_or_default(),
        body: String::from_utf8_lossy(&body).into_owned(),
        authorization: header(&parts.headers, &header::AUTHORIZATION),
        status: None,
    };
    let rule_name = record.rule_name();
    let (number, fault) = shared.write(|state| {
        state.records.push(record);
        (state.records.len() - 1, state.faulty.take(verb.unwrap_or(Verb::Get), &rule_name))
    });
    let lost = matches!(fault, Some(Fault::LoseReply));
    let response = match fault {
        Some(Fault::Fail(failure)) => failure.into_response(),
        Some(Fault::LoseReply | Fault::Hang) | None => {
            if matches!(fault, Some(Fault::Hang)) {
                released(&shared).await;
            }
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let content_type = header(&parts.headers, &header::CONTENT_TYPE).unwrap_or_default();
            match (target, verb) {
                (Some(target), Some(verb)) => {
                    let accept = header(&parts.headers, &header::ACCEPT).unwrap_or_default();
                    let presentation = Presentation::new(&target, &accept);
                    let asked = Asked { target, query: asked_for, body, content_type, presentation };
                    resource(&shared, verb, &asked).unwrap_or_else(IntoResponse::into_response)
                }
                (Some(_), None) => Failure::no_such_method().into_response(),
                (None, _) => other(&shared, &path),
            }
        }
    };
    if lost {
        drop(response);
        cut.cancel();
        return future::pending().await;
    }
    shared.write(|state| {
        if let Some(record) = state.records.get_mut(number) {
            record.status = Some(response.status().as_u16());
        }
    });
    response
}

fn header(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn verb(method: &Method, target: Option<&Target>, query: &Query) -> Option<Verb> {
    let named = target.is_some_and(|target| target.name.is_some());
    match (method.as_str(), named) {
        ("GET", true) => Some(Verb::Get),
        ("GET", false) if target.is_none() => Some(Verb::Get),
        ("GET", false) if query.flag("watch") => Some(Verb::Watch),
        ("GET", false) => Some(Verb::List),
        ("POST", false) => Some(Verb::Create),
        ("PUT", true) => Some(Verb::Update),
        ("PATCH", true) => Some(Verb::Patch),
        ("DELETE", true) => Some(Verb::Delete),
        ("DELETE", false) => Some(Verb::DeleteCollection),
        _ => None,
    }
}

async fn released(shared: &Shared) {
    let mut changed = shared.subscribe();
    let before = shared.read(|state| state.faulty.released);
    while shared.read(|state| state.faulty.released) == before {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

fn resource(shared: &Arc<Shared>, verb: Verb, asked: &Asked) -> Result<Response, Failure> {
    permitted(shared, verb, asked)?;
    match asked.target.subresource.as_deref() {
        None => {}
        Some("status") if asked.target.resource.has_status() => {}
        Some("log") if asked.target.resource == Resource::Pods && verb == Verb::Get => {
            return logs::log(shared, asked);
        }
        Some(_) => return Err(Failure::no_such_path()),
    }
    if asked.target.resource == Resource::AccessReviews {
        return if verb == Verb::Create { Ok(review(shared, asked)) } else { Err(Failure::no_such_method()) };
    }
    match verb {
        Verb::Get => get(shared, asked),
        Verb::List => list::list(shared, asked),
        Verb::Watch => watch::watch(shared, asked),
        Verb::Create => create::create(shared, asked),
        Verb::Update => change::update(shared, asked),
        Verb::Patch => change::patch(shared, asked),
        Verb::Delete => delete::delete(shared, asked),
        Verb::DeleteCollection => delete::delete_collection(shared, asked),
    }
}

fn permitted(shared: &Shared, verb: Verb, asked: &Asked) -> Result<(), Failure> {
    let name = asked.target.rule_name();
    let forbidden =
        shared.read(|state| state.settings.forbidden.iter().any(|(no, resource)| *no == verb && *resource == name));
    if forbidden {
        let why = format!(
            "User \"system:serviceaccount:default:worker\" cannot {verb} resource \"{name}\" in API group \"{}\" in the \
             namespace \"{}\"",
            asked.target.resource.group(),
            asked.target.namespace.as_deref().unwrap_or_default()
        );
        let object = asked.target.name.as_deref().unwrap_or_default();
        return Err(Failure::forbidden(asked.target.resource, object, &why));
    }
    Ok(())
}

fn get(shared: &Shared, asked: &Asked) -> Result<Response, Failure> {
    let key = asked.key();
    let object = shared.read(|state| {
        let missing = state.settings.missing_namespaces.contains(&key.name);
        if key.resource == Resource::Namespaces && state.get(&key).is_none() && !missing {
            return Ok(Arc::new(namespace(&key.name)));
        }
        state.need(&key)
    })?;
    Ok(object_response(StatusCode::OK, asked, &object))
}

/// Namespaces exist without having been made.
fn namespace(name: &str) -> Value {
    json!({
        "kind": "Namespace", "apiVersion": "v1",
        "metadata": {"name": name, "uid": format!("namespace-{name}"), "resourceVersion": "1"},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}

pub(crate) fn object_response(status: StatusCode, asked: &Asked, object: &Value) -> Response {
    (status, Json(asked.presentation.object(object))).into_response()
}

fn other(shared: &Shared, path: &str) -> Response {
    match path {
        "/version" => {
            let minor = shared.read(|state| state.settings.minor);
            let body = json!({
                "major": "1", "minor": minor.to_string(), "gitVersion": format!("v1.{minor}.0"), "gitCommit": "",
                "gitTreeState": "clean", "buildDate": "2025-01-01T00:00:00Z", "goVersion": "go1.24", "compiler": "gc",
                "platform": "linux/amd64",
            });
            Json(body).into_response()
        }
        "/healthz" | "/livez" | "/readyz" => "ok".into_response(),
        _ => Failure::no_such_path().into_response(),
    }
}
