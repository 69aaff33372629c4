//! Asking what is said of pods that do not start, and what autoscalers say of those that find no node: they say it by events that
//! are no warnings, which nothing watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::judgement::{HappeningDigest, PodDigest, PodPhase};
use crate::watching::View;

/// About one pod is asked so often.
const ASK_AGAIN: Duration = Duration::from_mins(1);
/// Of a new pod the scheduler may still think.
const FIRST: Duration = Duration::from_secs(3);
/// All questions together come no faster.
const SPACING: Duration = Duration::from_millis(200);

impl Asked {
    /// A turn of its own, at this time or later: ten thousand pods that wait must not all wake at once.
    fn turn(&mut self, earliest: Instant) -> Instant {
        let turn = self.last.map_or(earliest, |last| earliest.max(last + SPACING));
        self.last = Some(turn);
        turn
    }
}

/// What was asked, of all runs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inquiries(Arc<Mutex<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    /// The latest turn that was given.
    last: Option<Instant>,
    /// When pods were forgotten last.
    tidied: Option<Instant>,
    pods: HashMap<Box<str>, (Instant, Vec<HappeningDigest>)>,
}

impl Inquiries {
    /// Adds the events of pods that find no node to what is known, or of all that have not started: a step that was taken is
    /// progress. When to ask again, if there are such pods.
    pub(crate) async fn add_to(&self, cluster: &Cluster, view: &mut View, of_all: bool) -> Option<Instant> {
        let is_meant = |pod: &&Arc<PodDigest>| {
            pod.unscheduled.is_some() || of_all && pod.phase == PodPhase::Pending && !pod.has_started()
        };
        let unplaced: Vec<_> = view.pods.iter().filter(is_meant).cloned().collect();
        let mut next = None;
        for pod in unplaced {
            let due = self.due(&pod);
            if due <= Instant::now() {
                match cluster.events_of(&pod.namespace, &pod.uid).await {
                    Ok(events) => {
                        if let Some((_, known)) = self.lock().pods.get_mut(&pod.uid) {
                            *known = events.iter().filter_map(HappeningDigest::of).collect();
                        }
                    }
                    Err(error) => tracing::debug!(pod = &*pod.name, "its events cannot be read: {error}"),
                }
            }
            let asked = self.lock();
            if let Some((due, events)) = asked.pods.get(&pod.uid) {
                view.events.extend(events.iter().cloned());
                next = Some(next.map_or(*due, |next: Instant| next.min(*due)));
            }
        }
        next
    }

    /// When its events are to be read: now, if it is its turn.
    fn due(&self, pod: &PodDigest) -> Instant {
        let now = Instant::now();
        let mut asked = self.lock();
        if asked.tidied.is_none_or(|tidied| now >= tidied + ASK_AGAIN) {
            // Pods that were asked about long ago have found a node or are gone.
            asked.pods.retain(|_, (due, _)| now < *due + 10 * ASK_AGAIN);
            asked.tidied = Some(now);
        }
        let known = asked.pods.get(&pod.uid).map(|(due, _)| *due);
        match known {
            Some(due) if due > now => due,
            // Its turn has come: the next one is a minute later.
            Some(_) => {
                let next = asked.turn(now + ASK_AGAIN);
                if let Some((due, _)) = asked.pods.get_mut(&pod.uid) {
                    *due = next;
                }
                now
            }
            None => {
                let due = asked.turn(now + FIRST);
                asked.pods.insert(pod.uid.clone(), (due, Vec::new()));
                due
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
