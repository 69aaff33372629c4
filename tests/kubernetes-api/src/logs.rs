//! `pods/{name}/log`: what a container wrote, and what it goes on to write.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch::Receiver;

use crate::answer::Asked;
use crate::failure::Failure;
use crate::query::Query;
use crate::resource::Resource;
use crate::state::{Key, Shared, State, is_over, text};
use crate::waiting;

/// What a container wrote: lines, the last of which may go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Vec<Written>);

#[derive(Clone, Debug)]
struct Written {
    at: Timestamp,
    text: String,
    starts_line: bool,
}

impl Log {
    pub(crate) fn append(&mut self, at: Timestamp, text: &str) {
        for line in text.split_inclusive('\n') {
            let starts_line = self.0.last().is_none_or(|last| last.text.ends_with('\n'));
            self.0.push(Written { at, text: line.to_owned(), starts_line });
        }
    }
}

/// How it is asked for.
#[derive(Clone, Copy)]
struct View {
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: Option<usize>,
}

impl View {
    fn new(query: &Query) -> Result<Self, Failure> {
        let since = match (query.get("sinceTime"), query.number::<i64>("sinceSeconds")) {
            (Some(time), _) => Some(time.parse().map_err(|_| Failure::bad_request("sinceTime is no time"))?),
            (None, Some(seconds)) => Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).ok(),
            (None, None) => None,
        };
        let (tail, limit) = (query.number("tailLines"), query.number("limitBytes"));
        Ok(Self { timestamps: query.flag("timestamps"), since, tail, limit })
    }

    /// Where it begins, by lines.
    fn start(&self, log: &Log) -> usize {
        let since = log.0.iter().position(|line| self.since.is_none_or(|since| line.at >= since));
        let since = since.unwrap_or(log.0.len());
        let Some(tail) = self.tail else { return since };
        let starts = log.0.iter().enumerate().filter(|(_, line)| line.starts_line).map(|(at, _)| at);
        let starts: Vec<usize> = starts.collect();
        let first = starts.len().saturating_sub(tail);
        starts.get(first).copied().unwrap_or(log.0.len()).max(since)
    }

    fn show(&self, log: &Log, from: usize) -> String {
        let shown = log.0.iter().skip(from).map(|line| {
            if self.timestamps && line.starts_line {
                format!("{:.9} {}", line.at, line.text)
            } else {
                line.text.clone()
            }
        });
        shown.collect()
    }
}

/// A log that is followed.
struct Follow {
    shared: Arc<Shared>,
    changed: Receiver<u64>,
    pod: Key,
    uid: String,
    container: String,
    view: View,
    at: usize,
    left: Option<usize>,
    cuts: u64,
    ends: u64,
    _open: Open,
}

enum Step {
    Send(String),
    Wait,
    End,
    Cut,
}

pub(crate) fn log(shared: &Arc<Shared>, asked: &Asked) -> Result<Response, Failure> {
    let key = Key { resource: Resource::Pods, ..asked.key() };
    let view = View::new(&asked.query)?;
    let previous = asked.query.flag("previous");
    let changed = shared.subscribe();
    let (pod, container) = shared.read(|state| {
        let pod = state.need(&key)?;
        let container = container(&pod, asked.query.get("container"))?;
        begun(state, &pod, &container, previous)?;
        Ok((pod, container))
    })?;
    let of = (key.name.clone(), container.clone());
    let plain = [(header::CONTENT_TYPE, "text/plain")];
    if previous || !asked.query.flag("follow") {
        let shown = shared.read(|state| {
            let logs = if previous { &state.previous_logs } else { &state.logs };
            logs.get(&of).map(|log| view.show(log, view.start(log))).unwrap_or_default()
        });
        let bytes = Bytes::from(shown);
        let end = view.limit.unwrap_or(bytes.len()).min(bytes.len());
        return Ok((plain, bytes.slice(..end)).into_response());
    }
    let open = Open::new(shared);
    let follow = shared.read(|state| Follow {
        shared: Arc::clone(shared),
        changed,
        pod: key,
        uid: text(&pod, "/metadata/uid").to_owned(),
        container,
        view,
        at: state.logs.get(&of).map_or(0, |log| view.start(log)),
        left: view.limit,
        cuts: state.faulty.cut_logs,
        ends: state.faulty.end_logs,
        _open: open,
    });
    Ok((plain, Body::from_stream(stream::unfold(follow, Follow::next))).into_response())
}

/// The container that is meant: the only one, if none is named.
fn container(pod: &Value, named: Option<&str>) -> Result<String, Failure> {
    let name = text(pod, "/metadata/name");
    let lists = ["/spec/containers", "/spec/initContainers"];
    let specs = lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    let names: Vec<&str> = specs.map(|spec| text(spec, "/name")).collect();
    match (named, names.as_slice()) {
        (Some(named), names) if names.contains(&named) => Ok(named.to_owned()),
        (Some(named), _) => Err(Failure::bad_request(&format!("container {named} is not valid for pod {name}"))),
        (None, [only]) => Ok((*only).to_owned()),
        (None, names) => Err(Failure::bad_request(&format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            names.join(" ")
        ))),
    }
}

/// There is no log before the container has run, and no previous one before it was started again.
fn begun(state: &State, pod: &Value, container: &str, previous: bool) -> Result<(), Failure> {
    let name = text(pod, "/metadata/name").to_owned();
    if previous {
        let known = state.previous_logs.contains_key(&(name.clone(), container.to_owned()));
        let message = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
        return if known { Ok(()) } else { Err(Failure::bad_request(&message)) };
    }
    if text(pod, "/status/phase") == "Pending" {
        let waiting = pod.pointer("/status/containerStatuses/0/state/waiting/reason").and_then(Value::as_str);
        let reason = waiting.unwrap_or("ContainerCreating");
        let message = format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}");
        return Err(Failure::bad_request(&message));
    }
    Ok(())
}

impl Follow {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            self.changed.borrow_and_update();
            let shared = Arc::clone(&self.shared);
            match shared.read(|state| self.step(state)) {
                Step::Send(text) => return Some((Ok(Bytes::from(text)), self)),
                Step::Wait => waiting::changed_or(&mut self.changed, None).await,
                Step::End => return None,
                Step::Cut => return Some((Err(io::ErrorKind::ConnectionReset.into()), self)),
            }
        }
    }

    fn step(&mut self, state: &State) -> Step {
        if state.faulty.cut_logs != self.cuts {
            return Step::Cut;
        }
        if self.left == Some(0) {
            return Step::End;
        }
        let log = state.logs.get(&(self.pod.name.clone(), self.container.clone()));
        if let Some(log) = log
            && log.0.len() > self.at
        {
            let mut shown = self.view.show(log, self.at);
            self.at = log.0.len();
            if let Some(left) = &mut self.left {
                let fits: String = shown.chars().take(*left).collect();
                *left -= fits.len().min(*left);
                shown = fits;
            }
            return Step::Send(shown);
        }
        let pod = state.get(&self.pod).filter(|pod| text(pod, "/metadata/uid") == self.uid);
        let runs = pod.is_some_and(|pod| !is_over(pod));
        if !runs || state.faulty.end_logs != self.ends { Step::End } else { Step::Wait }
    }
}

/// Counts a log as followed while it is.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.write(|state| state.open_logs += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.write(|state| state.open_logs -= 1);
    }
}
