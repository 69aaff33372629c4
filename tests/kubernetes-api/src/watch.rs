//! Watches: a line for each change, until something ends them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use crate::answer::Asked;
use crate::failure::Failure;
use crate::presentation::Presentation;
use crate::resource::{Resource, Target};
use crate::selector::Filter;
use crate::state::{Change, ChangeKind, Shared, State};
use crate::waiting;

struct Watch {
    shared: Arc<Shared>,
    changed: Receiver<u64>,
    target: Target,
    filter: Filter,
    presentation: Presentation,
    /// All up to here was sent.
    at: u64,
    queue: VecDeque<Bytes>,
    ends_at: Option<Instant>,
    bookmarks: Option<Bookmarks>,
    cuts: u64,
    ends: u64,
    replays: u64,
    ending: Option<Ending>,
    _open: Open,
}

struct Bookmarks {
    asked: u64,
    due: Instant,
    every: Duration,
}

#[derive(Clone, Copy)]
enum Ending {
    Cut,
    Clean,
}

enum Step {
    Send(Bytes),
    Wait(Option<Instant>),
    End(Ending),
}

pub(crate) fn watch(shared: &Arc<Shared>, asked: &Asked) -> Result<Response, Failure> {
    let filter = Filter::new(&asked.target, &asked.query)?;
    if asked.query.get("sendInitialEvents").is_some() && shared.read(|state| state.settings.minor >= 27) {
        let why = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature \
                   gate is enabled";
        return Err(Failure::new(422, "Invalid", &format!("ListOptions.meta.k8s.io \"\" is invalid: {why}")));
    }
    let from = match asked.query.get("resourceVersion") {
        None | Some("0") => None,
        Some(version) => Some(version.parse::<u64>().map_err(|_| {
            Failure::new(400, "BadRequest", &format!("resourceVersion: Invalid value: \"{version}\": invalid"))
        })?),
    };
    let timeout = asked.query.number::<u64>("timeoutSeconds").filter(|seconds| *seconds > 0);
    let changed = shared.subscribe();
    let open = Open::new(shared, filter.resource);
    let watch = shared.write(|state| {
        let every = state.settings.bookmark_every;
        let bookmarks = asked.query.flag("allowWatchBookmarks").then(|| Bookmarks {
            asked: state.bookmarks,
            due: Instant::now() + every,
            every,
        });
        let mut watch = Watch {
            shared: Arc::clone(shared),
            changed,
            target: asked.target.clone(),
            filter,
            presentation: asked.presentation,
            at: from.unwrap_or_else(|| state.version()),
            queue: VecDeque::new(),
            ends_at: timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            bookmarks,
            cuts: state.faulty.cut_watches,
            ends: state.faulty.end_watches,
            replays: state.faulty.replays,
            ending: None,
            _open: open,
        };
        watch.start(state, from);
        watch
    });
    let stream = stream::unfold(watch, Watch::next);
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(stream)).into_response())
}

impl Watch {
    fn start(&mut self, state: &mut State, from: Option<u64>) {
        let injected = state.faulty.gone > 0;
        state.faulty.gone = state.faulty.gone.saturating_sub(1);
        let too_old = from.is_some_and(|from| from < state.compacted);
        if injected || too_old {
            let failure = Failure::too_old(self.at, state.compacted);
            self.queue.push_back(line("ERROR", &failure.status()));
            self.ending = Some(Ending::Clean);
        } else if from.is_none() {
            let known = state.of(self.filter.resource).filter(|(_, object)| self.filter.matches(object));
            self.queue.extend(known.map(|(_, object)| line("ADDED", &self.presentation.object(object))));
        }
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            self.changed.borrow_and_update();
            let shared = Arc::clone(&self.shared);
            match shared.read(|state| self.step(state)) {
                Step::Send(line) => return Some((Ok(line), self)),
                Step::Wait(until) => waiting::changed_or(&mut self.changed, until).await,
                Step::End(Ending::Clean) => return None,
                Step::End(Ending::Cut) => return Some((Err(io::ErrorKind::ConnectionReset.into()), self)),
            }
        }
    }

    fn step(&mut self, state: &State) -> Step {
        if state.faulty.cut_watches != self.cuts {
            self.cuts = state.faulty.cut_watches;
            self.queue.clear();
            self.ending = Some(Ending::Cut);
            return Step::Send(Bytes::from_static(b"{\"type\":\"MODIFIED\",\"obj"));
        }
        if state.faulty.silent && !matches!(self.ending, Some(Ending::Cut)) {
            return Step::Wait(None);
        }
        if let Some(line) = self.queue.pop_front() {
            return Step::Send(line);
        }
        if let Some(ending) = self.ending {
            return Step::End(ending);
        }
        if state.faulty.end_watches != self.ends {
            return Step::End(Ending::Clean);
        }
        if state.faulty.replays != self.replays {
            self.replays = state.faulty.replays;
            let told = state.history.iter().filter(|change| change.version <= self.at);
            self.queue = told.filter_map(|change| self.event(change)).collect();
            return self.step(state);
        }
        self.live(state)
    }

    /// The next change, bookmark or end.
    fn live(&mut self, state: &State) -> Step {
        let now = Instant::now();
        let first_new = state.history.partition_point(|change| change.version <= self.at);
        for change in state.history.iter().skip(first_new) {
            let Some(line) = self.event(change) else {
                self.at = change.version;
                continue;
            };
            let due = change.at + state.faulty.delay;
            if due > now {
                return self
                    .ended(now)
                    .unwrap_or_else(|| Step::Wait(Some(self.ends_at.map_or(due, |end| end.min(due)))));
            }
            self.at = change.version;
            return Step::Send(line);
        }
        if let Some(step) = self.ended(now) {
            return step;
        }
        let at = self.at;
        let mut wake = self.ends_at;
        let (kind, version) = self.presentation.kind(&self.target);
        if let Some(bookmarks) = &mut self.bookmarks {
            if bookmarks.asked != state.bookmarks || bookmarks.due <= now {
                bookmarks.asked = state.bookmarks;
                bookmarks.due = now + bookmarks.every;
                return Step::Send(bookmark(&kind, &version, at));
            }
            wake = Some(wake.map_or(bookmarks.due, |end| end.min(bookmarks.due)));
        }
        Step::Wait(wake)
    }

    /// What is left to say when the time is over.
    fn ended(&mut self, now: Instant) -> Option<Step> {
        if self.ends_at? > now {
            return None;
        }
        self.ending = Some(Ending::Clean);
        let (kind, version) = self.presentation.kind(&self.target);
        Some(match self.bookmarks {
            Some(_) => Step::Send(bookmark(&kind, &version, self.at)),
            None => Step::End(Ending::Clean),
        })
    }

    /// A change as this watch sees it: an object may come into, or go out of, what it selects.
    fn event(&self, change: &Change) -> Option<Bytes> {
        if change.resource != self.filter.resource {
            return None;
        }
        let before = change.before.as_ref().is_some_and(|before| self.filter.matches(before));
        let now = change.kind != ChangeKind::Deleted && self.filter.matches(&change.object);
        let (kind, object) = match (before, now) {
            (false, false) => return None,
            (false, true) => ("ADDED", (*change.object).clone()),
            (true, true) => ("MODIFIED", (*change.object).clone()),
            (true, false) => {
                let mut last = change.before.as_deref().cloned().unwrap_or_default();
                last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                ("DELETED", last)
            }
        };
        Some(line(kind, &self.presentation.object(&object)))
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({"type": kind, "object": object})))
}

fn bookmark(kind: &str, version: &str, at: u64) -> Bytes {
    let metadata = json!({"resourceVersion": at.to_string(), "creationTimestamp": null});
    line("BOOKMARK", &json!({"kind": kind, "apiVersion": version, "metadata": metadata}))
}

/// Counts a watch as open while it lives.
struct Open {
    shared: Arc<Shared>,
    resource: Resource,
}

impl Open {
    fn new(shared: &Arc<Shared>, resource: Resource) -> Self {
        shared.write(|state| *state.open_watches.entry(resource).or_default() += 1);
        Self { shared: Arc::clone(shared), resource }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.write(|state| {
            if let Some(open) = state.open_watches.get_mut(&self.resource) {
                *open -= 1;
            }
        });
    }
}
