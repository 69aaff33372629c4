//! What the server knows, behind one lock, and the wait for it to change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::faults::Faulty;
use crate::jobs::Track;
use crate::logs::Log;
use crate::records::Request;
use crate::resource::Resource;
use crate::verb::Verb;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) resource: Resource,
    /// Empty for what belongs to no namespace.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn of(resource: Resource, object: &Value) -> Self {
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        Self { resource, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One step of the history.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) at: Instant,
    pub(crate) resource: Resource,
    pub(crate) kind: ChangeKind,
    /// For a deletion the last state, with the version of the deletion.
    pub(crate) object: Arc<Value>,
    pub(crate) before: Option<Arc<Value>>,
}

pub(crate) type Reviewer = Arc<dyn Fn(&Value) -> bool + Send + Sync>;

pub(crate) struct Settings {
    pub(crate) minor: u32,
    pub(crate) job_controller: bool,
    pub(crate) garbage_collector: bool,
    /// The delay before each step of a pod's life; nothing means that the test is the kubelet.
    pub(crate) kubelet: Option<Duration>,
    pub(crate) missing_namespaces: Vec<String>,
    pub(crate) unknown_fields: Vec<String>,
    pub(crate) forbidden: Vec<(Verb, String)>,
    pub(crate) reviewer: Option<Reviewer>,
    pub(crate) bookmark_every: Duration,
}

/// The rest of a list whose first pages were handed out.
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) rest: Vec<Arc<Value>>,
}

pub(crate) struct State {
    version: u64,
    pub(crate) compacted: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    by_uid: HashMap<String, Key>,
    /// The objects that name an owner, by its uid.
    dependents: HashMap<String, BTreeSet<Key>>,
    /// What the controllers have not looked at since it, or something of it, changed. Without this each change would cost a
    /// look at everything, and thousands of Jobs would take hours.
    pub(crate) to_control: BTreeSet<Key>,
    pub(crate) history: Vec<Change>,
    pub(crate) pages: HashMap<String, Page>,
    pub(crate) settings: Settings,
    pub(crate) faulty: Faulty,
    /// By pod and container.
    pub(crate) logs: HashMap<(String, String), Log>,
    pub(crate) previous_logs: HashMap<(String, String), Log>,
    pub(crate) records: Vec<Request>,
    pub(crate) open_watches: HashMap<Resource, usize>,
    pub(crate) open_logs: usize,
    pub(crate) tracks: HashMap<String, Track>,
    pub(crate) bookmarks: u64,
    /// Cancelled, all connections of the moment are cut.
    pub(crate) connections: CancellationToken,
}

impl State {
    fn new() -> Self {
        Self {
            version: 1,
            compacted: 0,
            objects: BTreeMap::new(),
            by_uid: HashMap::new(),
            dependents: HashMap::new(),
            to_control: BTreeSet::new(),
            history: Vec::new(),
            pages: HashMap::new(),
            settings: Settings {
                minor: 33,
                job_controller: true,
                garbage_collector: true,
                kubelet: None,
                missing_namespaces: Vec::new(),
                unknown_fields: Vec::new(),
                forbidden: Vec::new(),
                reviewer: None,
                bookmark_every: Duration::from_mins(1),
            },
            faulty: Faulty::default(),
            logs: HashMap::new(),
            previous_logs: HashMap::new(),
            records: Vec::new(),
            open_watches: HashMap::new(),
            open_logs: 0,
            tracks: HashMap::new(),
            bookmarks: 0,
            connections: CancellationToken::new(),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    pub(crate) fn need(&self, key: &Key) -> Result<Arc<Value>, Failure> {
        self.get(key).map(Arc::clone).ok_or_else(|| Failure::not_found(key.resource, &key.name))
    }

    /// Has the controllers look at everything again.
    pub(crate) fn control_all(&mut self) {
        self.to_control = self.objects.keys().cloned().collect();
    }

    pub(crate) fn of(&self, resource: Resource) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let first = Key { resource, namespace: String::new(), name: String::new() };
        self.objects.range(first..).take_while(move |(key, _)| key.resource == resource)
    }

    pub(crate) fn with_uid(&self, uid: &str) -> Option<&Key> {
        self.by_uid.get(uid)
    }

    /// By name, in whatever namespace.
    pub(crate) fn find(&self, resource: Resource, name: &str) -> Option<(Key, Arc<Value>)> {
        self.of(resource).find(|(key, _)| key.name == name).map(|(key, object)| (key.clone(), Arc::clone(object)))
    }

    /// The objects that name the owner.
    pub(crate) fn owned_by(&self, uid: &str) -> Vec<(Key, Arc<Value>)> {
        let keys = self.dependents.get(uid).into_iter().flatten();
        keys.filter_map(|key| Some((key.clone(), Arc::clone(self.get(key)?)))).collect()
    }

    /// Puts a new object, which gets what the server gives: uid, creation time, version.
    pub(crate) fn insert(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        object["kind"] = json!(key.resource.kind());
        object["apiVersion"] = json!(key.resource.api_version());
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if key.resource.namespaced() {
            metadata["namespace"] = json!(key.namespace);
        }
        metadata["uid"] = json!(uuid::Uuid::new_v4().to_string());
        metadata["creationTimestamp"] = json!(now());
        self.record(key, ChangeKind::Added, object)
    }

    /// Puts a new state of an object. One that differs in nothing is no change.
    pub(crate) fn replace(&mut self, key: &Key, object: Value) -> Arc<Value> {
        match self.objects.get(key) {
            Some(before) if **before == object => Arc::clone(before),
            Some(_) | None => self.record(key, ChangeKind::Modified, object),
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(before) = self.get(key).map(Arc::clone) {
            self.record(key, ChangeKind::Deleted, (*before).clone());
        }
    }

    fn record(&mut self, key: &Key, kind: ChangeKind, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let before = match kind {
            ChangeKind::Added | ChangeKind::Modified => self.objects.insert(key.clone(), Arc::clone(&object)),
            ChangeKind::Deleted => self.objects.remove(key),
        };
        self.index(key, before.as_deref(), self.objects.get(key).map(Arc::clone).as_deref());
        self.history.push(Change {
            version: self.version,
            at: Instant::now(),
            resource: key.resource,
            kind,
            object: Arc::clone(&object),
            before,
        });
        object
    }

    /// Follows a change: who is who, who belongs to whom, and who has to be looked at because of it.
    fn index(&mut self, key: &Key, before: Option<&Value>, after: Option<&Value>) {
        if let Some(before) = before {
            self.by_uid.remove(text(before, "/metadata/uid"));
            for owner in owners(before) {
                if let Some(keys) = self.dependents.get_mut(owner) {
                    keys.remove(key);
                }
            }
        }
        if let Some(after) = after {
            self.by_uid.insert(text(after, "/metadata/uid").to_owned(), key.clone());
            for owner in owners(after) {
                self.dependents.entry(owner.to_owned()).or_default().insert(key.clone());
            }
        }
        self.to_control.insert(key.clone());
        for object in [before, after].into_iter().flatten() {
            self.to_control.extend(owners(object).filter_map(|owner| self.by_uid.get(owner)).cloned());
        }
        if let Some(gone) = before.filter(|_| after.is_none()) {
            self.to_control.extend(self.dependents.remove(text(gone, "/metadata/uid")).into_iter().flatten());
        }
    }

    /// Changes an object that was put just now, as a part of that: no version of its own, no step of the history.
    pub(crate) fn amend(&mut self, key: &Key, amend: impl FnOnce(&mut Value)) {
        if let (Some(object), Some(change)) = (self.objects.get_mut(key), self.history.last_mut()) {
            amend(Arc::make_mut(object));
            change.object = Arc::clone(object);
        }
    }

    /// Puts a new state of an object that the body of `edit` makes of the old one.
    pub(crate) fn edit(&mut self, key: &Key, edit: impl FnOnce(&mut Value)) {
        if let Some(before) = self.get(key) {
            let mut object = (**before).clone();
            edit(&mut object);
            self.replace(key, object);
        }
    }
}

/// The state, shared by the connections and the test.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::new()), changed: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state, lets the controllers follow, and wakes all who wait.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let out = {
            let mut state = self.lock();
            let out = change(&mut state);
            state.control();
            out
        };
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        out
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// The time as objects have it, in whole seconds.
pub(crate) fn now() -> String {
    in_seconds(Timestamp::now())
}

pub(crate) fn in_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

pub(crate) fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    references.filter_map(|reference| reference.get("uid")?.as_str())
}

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Whether a pod has come to its end.
pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

pub(crate) fn finalizers(object: &Value) -> &[Value] {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
