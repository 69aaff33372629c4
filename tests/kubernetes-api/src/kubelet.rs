//! What a node does to pods, at the word of the test or by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::pod_state::PodState;
use crate::resource::Resource;
use crate::state::{ChangeKind, Key, Shared, State, is_deleting, is_over, text};
use crate::waiting;

pub(crate) const NODE: &str = "node-1";

/// Brings a pod to a state, with a node if that takes one.
pub(crate) fn set_pod(state: &mut State, key: &Key, to: &PodState) {
    state.edit(key, |pod| {
        if to.has_node() && text(pod, "/spec/nodeName").is_empty() {
            pod["spec"]["nodeName"] = json!(NODE);
        }
        pod["status"] = to.status(pod);
    });
}

/// What a kubelet does next to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Run,
    Succeed,
    /// The containers heed SIGTERM.
    Stop,
    Remove,
}

impl Task {
    fn next(pod: &Value) -> Option<Self> {
        match (is_deleting(pod), is_over(pod), text(pod, "/status/phase")) {
            (true, true, _) => Some(Self::Remove),
            (true, false, _) => Some(Self::Stop),
            (false, false, "Pending") => Some(Self::Run),
            (false, false, "Running") => Some(Self::Succeed),
            (false, _, _) => None,
        }
    }

    fn perform(self, state: &mut State, key: &Key) {
        match self {
            Self::Run => set_pod(state, key, &PodState::Running),
            Self::Succeed => set_pod(state, key, &PodState::Succeeded),
            Self::Stop => set_pod(state, key, &PodState::failed(143)),
            Self::Remove => state.remove(key),
        }
    }
}

/// What a pod waits for; one with the same name may be another pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    uid: String,
    task: Task,
}

/// What the kubelet knows of its pods. It follows the history: to look at all pods with each change would take a server with
/// thousands of them more than a core.
#[derive(Debug, Default)]
struct Agenda {
    delay: Option<Duration>,
    /// So much of the history was looked at.
    seen: usize,
    pods: HashMap<Key, Waiting>,
    due: BTreeMap<(Instant, Key), Waiting>,
}

/// The kubelet of its own will, while it is on.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.subscribe();
    let mut agenda = Agenda::default();
    loop {
        changed.borrow_and_update();
        shared.read(|state| agenda.follow(state));
        for (key, waiting) in agenda.take_due() {
            shared.write(|state| {
                let same = state.get(&key).is_some_and(|pod| Waiting::of(pod).as_ref() == Some(&waiting));
                if same {
                    waiting.task.perform(state, &key);
                }
            });
        }
        let until = agenda.due.first_key_value().map(|((due, _), _)| *due);
        waiting::changed_or(&mut changed, until).await;
    }
}

impl Waiting {
    fn of(pod: &Value) -> Option<Self> {
        Some(Self { uid: text(pod, "/metadata/uid").to_owned(), task: Task::next(pod)? })
    }
}

impl Agenda {
    fn follow(&mut self, state: &State) {
        let Some(delay) = state.settings.kubelet else {
            *self = Self::default();
            return;
        };
        if self.delay != Some(delay) {
            *self = Self { delay: Some(delay), seen: state.history.len(), ..Self::default() };
            for (key, pod) in state.of(Resource::Pods) {
                self.note(key, Waiting::of(pod), delay);
            }
            return;
        }
        let news = state.history.iter().skip(self.seen).filter(|change| change.resource == Resource::Pods);
        for change in news {
            let gone = change.kind == ChangeKind::Deleted;
            let waiting = if gone { None } else { Waiting::of(&change.object) };
            self.note(&Key::of(Resource::Pods, &change.object), waiting, delay);
        }
        self.seen = state.history.len();
    }

    fn note(&mut self, key: &Key, waiting: Option<Waiting>, delay: Duration) {
        let Some(waiting) = waiting else {
            self.pods.remove(key);
            return;
        };
        if self.pods.get(key) != Some(&waiting) {
            self.due.insert((Instant::now() + delay, key.clone()), waiting.clone());
            self.pods.insert(key.clone(), waiting);
        }
    }

    /// What a pod does not wait for any more is in the way of nobody: it is looked at once more before it is done.
    fn take_due(&mut self) -> impl Iterator<Item = (Key, Waiting)> {
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, key), waiting) = first.remove_entry();
            due.push((key, waiting));
        }
        due.into_iter()
    }
}
