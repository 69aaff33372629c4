//! The store: digests by Job.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::judgement::{HappeningDigest, JobDigest, PodDigest};

/// So many pods that are gone are remembered of a Job that somebody takes care of: they tell how it ended.
const REMEMBERED_PODS: usize = 3;
/// So many warnings are kept of a Job and its pods.
const KEPT_EVENTS: usize = 12;
/// So many warnings about objects that are not known (yet) are kept.
const EARLY_EVENTS: usize = 512;

/// A Job by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobKey {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
}

impl JobKey {
    pub(crate) fn new(namespace: impl Into<Box<str>>, name: impl Into<Box<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// What is known of a Job.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Absent: it was never seen, or is gone.
    pub(crate) job: Option<Arc<JobDigest>>,
    /// The last that was seen of a Job that is gone.
    pub(crate) job_before: Option<Arc<JobDigest>>,
    pub(crate) pods: Vec<Arc<PodDigest>>,
    /// Pods that are gone, as they were seen last.
    pub(crate) gone: Vec<Arc<PodDigest>>,
    pub(crate) events: Vec<HappeningDigest>,
}

impl View {
    /// The pods that are there and those that are gone, without distinction.
    pub(crate) fn all_pods(&self) -> Vec<PodDigest> {
        self.gone.iter().chain(&self.pods).map(|pod| PodDigest::clone(pod)).collect()
    }
}

#[derive(Debug, Default)]
struct Entry {
    view: View,
    changed: Option<watch::Sender<()>>,
}

impl Entry {
    fn is_awaited(&self) -> bool {
        self.changed.as_ref().is_some_and(|changed| changed.receiver_count() > 0)
    }

    fn is_empty(&self) -> bool {
        self.view.job.is_none() && self.view.pods.is_empty()
    }
}

/// What one scope has. Every method is short; nothing is awaited.
#[derive(Debug, Default)]
pub(crate) struct Store {
    entries: Mutex<Entries>,
    /// For who takes care of Jobs that nobody else does.
    any: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    jobs: HashMap<JobKey, Entry>,
    /// The Job of an object by its uid, for warnings.
    by_uid: HashMap<Box<str>, JobKey>,
    early: VecDeque<HappeningDigest>,
    /// Jobs that changed since the observer looked. Empty while nobody observes.
    unobserved: BTreeSet<JobKey>,
    is_observed: bool,
}

/// Changes of one Job, as long as it is held.
#[derive(Debug)]
pub(crate) struct Subscription {
    key: JobKey,
    store: Arc<Store>,
    changed: watch::Receiver<()>,
}

impl Subscription {
    /// Waits for a change. Cancel safe: a change that was not seen is told by the next call.
    pub(crate) async fn changed(&mut self) {
        // The sender lives in the store, which is held here.
        drop(self.changed.changed().await);
    }

    pub(crate) fn view(&self) -> View {
        self.store.view(&self.key)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut entries = self.store.lock();
        let is_over = entries.jobs.get(&self.key).is_some_and(|entry| {
            // This subscription is one of them.
            entry.is_empty() && entry.changed.as_ref().is_none_or(|changed| changed.receiver_count() <= 1)
        });
        if is_over {
            entries.jobs.remove(&self.key);
        }
    }
}

impl Store {
    /// Begins to follow a Job; it need not be known yet.
    pub(crate) fn subscribe(self: &Arc<Self>, key: JobKey) -> Subscription {
        let mut entries = self.lock();
        let entry = entries.jobs.entry(key.clone()).or_default();
        let changed = entry.changed.get_or_insert_with(|| watch::Sender::new(())).subscribe();
        drop(entries);
        Subscription { key, store: Arc::clone(self), changed }
    }

    pub(crate) fn view(&self, key: &JobKey) -> View {
        self.lock().jobs.get(key).map(|entry| entry.view.clone()).unwrap_or_default()
    }

    /// All Jobs that are there.
    pub(crate) fn jobs(&self) -> Vec<Arc<JobDigest>> {
        self.lock().jobs.values().filter_map(|entry| entry.view.job.clone()).collect()
    }

    /// Waits until something changed of Jobs, and takes their names. Cancel safe.
    pub(crate) async fn changes(&self) -> Vec<JobKey> {
        loop {
            let told = self.any.notified();
            {
                let mut entries = self.lock();
                if !entries.is_observed {
                    // From now on; what is there already counts as changed.
                    entries.is_observed = true;
                    entries.unobserved = entries.jobs.keys().cloned().collect();
                }
                if !entries.unobserved.is_empty() {
                    return std::mem::take(&mut entries.unobserved).into_iter().collect();
                }
            }
            told.await;
        }
    }

    /// Forgets a Job that is gone and that nobody follows.
    pub(crate) fn forget_gone(&self, key: &JobKey) {
        let mut entries = self.lock();
        if entries.jobs.get(key).is_some_and(|entry| entry.is_empty() && !entry.is_awaited()) {
            entries.jobs.remove(key);
        }
    }

    pub(super) fn put_job(&self, digest: JobDigest) {
        let key = JobKey::new(digest.namespace.clone(), digest.name.clone());
        let uid = digest.uid.clone();
        self.change(&key, &uid, |entry| {
            // A replayed event is older than what is known.
            if entry
                .view
                .job
                .as_ref()
                .is_some_and(|known| known.uid == uid && is_newer(&known.resource_version, &digest.resource_version))
            {
                return false;
            }
            entry.view.job = Some(Arc::new(digest));
            entry.view.job_before = None;
            true
        });
    }

    pub(super) fn remove_job(&self, key: &JobKey, uid: &str, last: Option<JobDigest>) {
        self.change(key, uid, |entry| {
            let Some(known) = entry.view.job.take_if(|known| *known.uid == *uid) else { return false };
            entry.view.job_before = Some(last.map_or(known, Arc::new));
            true
        });
        self.lock().by_uid.remove(uid);
    }

    pub(super) fn put_pod(&self, digest: PodDigest) {
        let Some(job) = digest.job.clone() else { return };
        let key = JobKey::new(digest.namespace.clone(), job);
        let uid = digest.uid.clone();
        self.change(&key, &uid, |entry| {
            let known = entry.view.pods.iter_mut().find(|known| known.uid == uid);
            match known {
                Some(known) if is_newer(&known.resource_version, &digest.resource_version) => return false,
                Some(known) => *known = Arc::new(digest),
                // One that is gone does not come back: the event is a replayed one.
                None if entry.view.gone.iter().any(|gone| gone.uid == uid) => return false,
                None => entry.view.pods.push(Arc::new(digest)),
            }
            true
        });
    }

    pub(super) fn remove_pod(&self, uid: &str, last: Option<PodDigest>) {
        let Some(key) = self.lock().by_uid.get(uid).cloned() else { return };
        let is_observed = self.lock().is_observed;
        self.change(&key, uid, |entry| {
            let Some(place) = entry.view.pods.iter().position(|known| *known.uid == *uid) else { return false };
            let known = entry.view.pods.swap_remove(place);
            if entry.is_awaited() || is_observed {
                let mut last = last.unwrap_or_else(|| PodDigest::clone(&known));
                last.is_gone = true;
                entry.view.gone.push(Arc::new(last));
                if entry.view.gone.len() > REMEMBERED_PODS {
                    entry.view.gone.remove(0);
                }
            }
            true
        });
        self.lock().by_uid.remove(uid);
    }

    /// A warning about a Job or a pod. One about something else is kept for a while: watches are not in step.
    pub(super) fn put_event(&self, digest: HappeningDigest) {
        let key = self.lock().by_uid.get(&digest.uid).cloned();
        let Some(key) = key else {
            let mut entries = self.lock();
            entries.early.push_back(digest);
            if entries.early.len() > EARLY_EVENTS {
                entries.early.pop_front();
            }
            return;
        };
        let uid = digest.uid.clone();
        self.change(&key, &uid, |entry| {
            add_event(&mut entry.view.events, digest);
            true
        });
    }

    /// What is there now, by uid, of which a new list must name all that goes on.
    pub(super) fn uids(&self, of: Listed) -> HashSet<Box<str>> {
        let entries = self.lock();
        let views = entries.jobs.values().map(|entry| &entry.view);
        match of {
            Listed::Jobs => views.filter_map(|view| view.job.as_ref()).map(|job| job.uid.clone()).collect(),
            Listed::Pods => views.flat_map(|view| &view.pods).map(|pod| pod.uid.clone()).collect(),
        }
    }

    /// Takes out what a complete list did not name.
    pub(super) fn remove_unlisted(&self, of: Listed, uids: HashSet<Box<str>>) {
        for uid in uids {
            match of {
                Listed::Pods => self.remove_pod(&uid, None),
                Listed::Jobs => {
                    let key = self.lock().by_uid.get(&uid).cloned();
                    if let Some(key) = key {
                        self.remove_job(&key, &uid, None);
                    }
                }
            }
        }
    }

    fn change(&self, key: &JobKey, uid: &str, apply: impl FnOnce(&mut Entry) -> bool) {
        let mut entries = self.lock();
        let is_new = entries.by_uid.insert(uid.into(), key.clone()).is_none();
        let early: Vec<HappeningDigest> = if is_new && !entries.early.is_empty() {
            let (ours, others): (Vec<_>, Vec<_>) = entries.early.drain(..).partition(|event| *event.uid == *uid);
            entries.early = others.into();
            ours
        } else {
            Vec::new()
        };
        let entry = entries.jobs.entry(key.clone()).or_default();
        for event in early {
            add_event(&mut entry.view.events, event);
        }
        if !apply(entry) {
            return;
        }
        if let Some(changed) = &entry.changed {
            changed.send_replace(());
        }
        let is_over = entry.is_empty() && !entry.is_awaited();
        if entries.is_observed {
            entries.unobserved.insert(key.clone());
            self.any.notify_one();
        } else if is_over {
            entries.jobs.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a list is a list of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Jobs,
    Pods,
}

/// One of each reason and object, the newest.
fn add_event(events: &mut Vec<HappeningDigest>, event: HappeningDigest) {
    events.retain(|known| known.reason != event.reason || known.uid != event.uid);
    events.push(event);
    if events.len() > KEPT_EVENTS {
        events.remove(0);
    }
}

/// Whether a version is newer than another, or the same. Servers promise nothing about versions, so one that is no number
/// proves nothing.
fn is_newer(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version >= than,
        _ => false,
    }
}
