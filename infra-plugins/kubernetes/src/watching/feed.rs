//! The watches that feed a store.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ClusterEvent, Pod};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch as signal;
use tokio::time::Instant;

use super::store::{JobKey, Listed, Store};
use crate::cluster::chain;
use crate::judgement::{HappeningDigest, JobDigest, PodDigest};

/// A watch is begun anew by a list after so long, whatever it says: what it has missed is then found.
const LIST_AGAIN: Duration = Duration::from_mins(10);
/// The server ends a watch after so many seconds.
const WATCH_SECONDS: u32 = 240;
const PAGE: u32 = 500;
/// Lists come no faster.
const LIST_PAUSE: Duration = Duration::from_secs(1);

/// What a watch feeds its store with.
pub(super) trait Fed:
    Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// What is complete after a list.
    const LISTED: Option<Listed>;
    const WHAT: &'static str;

    fn put(self, store: &Store);
    fn remove(self, store: &Store);
}

impl Fed for Job {
    const LISTED: Option<Listed> = Some(Listed::Jobs);
    const WHAT: &'static str = "Jobs";

    fn put(self, store: &Store) {
        store.put_job(JobDigest::of(&self));
    }

    fn remove(self, store: &Store) {
        let digest = JobDigest::of(&self);
        let (key, uid) = (JobKey::new(digest.namespace.clone(), digest.name.clone()), digest.uid.clone());
        store.remove_job(&key, &uid, Some(digest));
    }
}

impl Fed for Pod {
    const LISTED: Option<Listed> = Some(Listed::Pods);
    const WHAT: &'static str = "pods";

    fn put(self, store: &Store) {
        store.put_pod(PodDigest::of(&self));
    }

    fn remove(self, store: &Store) {
        let digest = PodDigest::of(&self);
        let uid = digest.uid.clone();
        store.remove_pod(&uid, Some(digest));
    }
}

impl Fed for ClusterEvent {
    const LISTED: Option<Listed> = None;
    const WHAT: &'static str = "events";

    fn put(self, store: &Store) {
        if let Some(digest) = HappeningDigest::of(&self) {
            store.put_event(digest);
        }
    }

    fn remove(self, _store: &Store) {}
}

/// Whether a list has come to its end, so that the store is as complete as the cluster was then.
pub(super) type Synced = signal::Sender<bool>;

/// How often watches broke and were begun again. Those that end in good order after their time do not count.
#[derive(Clone, Debug, Default)]
pub(super) struct Restarts(Arc<AtomicU64>);

impl Restarts {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Feeds a store for ever.
pub(super) async fn feed<K: Fed>(
    api: impl Fn() -> Api<K> + Send,
    config: watch::Config,
    store: Arc<Store>,
    synced: Synced,
    restarts: Restarts,
) {
    let config = config.timeout(WATCH_SECONDS).page_size(PAGE);
    let mut trouble = Trouble::default();
    loop {
        let listed_at = Instant::now();
        let mut events = Box::pin(watcher::watcher(api(), config.clone()).default_backoff());
        let (mut unlisted, mut is_listed) = (None, false);
        // A watch that goes on is begun anew between two events, which loses none: the next begins with a list.
        while let Ok(event) = tokio::time::timeout_at(listed_at + LIST_AGAIN, events.next()).await {
            match event {
                Some(Ok(event)) => {
                    trouble.is_over(K::WHAT);
                    is_listed |= matches!(event, Event::InitDone);
                    take(event, &store, &mut unlisted);
                    synced.send_if_modified(|synced| is_listed && !std::mem::replace(synced, is_listed));
                }
                Some(Err(error)) => {
                    restarts.one_more();
                    trouble.is_said(K::WHAT, &error);
                    if !matches!(error, watcher::Error::WatchFailed(_)) {
                        // What the store says from now on may be old.
                        synced.send_replace(false);
                    }
                    if wants_list(&error) || is_unknown(&error) {
                        tokio::time::sleep(LIST_PAUSE).await;
                        break;
                    }
                }
                None => break,
            }
        }
    }
}

/// Whether the server does not know who asks. The credentials may be other ones by now.
fn is_unknown(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    matches!(error, InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) if status.code == 401)
}

/// Whether a watch is refused for where it begins. The client's own watcher would ask for the same again and again.
fn wants_list(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else { return false };
    // What is too old, and what a server that was set back does not know.
    matches!(status.code, 400 | 410)
}

fn take<K: Fed>(event: Event<K>, store: &Store, unlisted: &mut Option<std::collections::HashSet<Box<str>>>) {
    match event {
        Event::Init => *unlisted = K::LISTED.map(|listed| store.uids(listed)),
        Event::InitApply(object) => {
            if let (Some(unlisted), Some(uid)) = (unlisted.as_mut(), object.meta().uid.as_deref()) {
                unlisted.remove(uid);
            }
            object.put(store);
        }
        Event::InitDone => {
            if let (Some(listed), Some(unlisted)) = (K::LISTED, unlisted.take()) {
                store.remove_unlisted(listed, unlisted);
            }
        }
        Event::Apply(object) => object.put(store),
        Event::Delete(object) => object.remove(store),
    }
}

/// A watch that fails again and again is a warning once.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn is_said(&mut self, what: &str, error: &watcher::Error) {
        let text = chain(error);
        let is_usual = matches!(error, watcher::Error::WatchFailed(_))
            || matches!(error, watcher::Error::WatchError(status) if status.code == 410)
            || wants_list(error);
        if is_usual || self.0.as_ref() == Some(&text) {
            tracing::debug!("the watch of {what} is begun again: {text}");
        } else {
            tracing::warn!("{what} cannot be watched; trying until they can: {text}");
            self.0 = Some(text);
        }
    }

    fn is_over(&mut self, what: &str) {
        if self.0.take().is_some() {
            tracing::info!("{what} are watched again");
        }
    }
}
