//! What was decided about a run, and when: what `worker why` tells.
//!
//! A bounded number of notes for each of a bounded number of runs. The notes of live runs are also in the journal, so a
//! restart does not lose them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use worker_core::ids::{InfraId, RunId};

use crate::redaction::KnownSecrets;

/// So many notes of a run are kept: the first half and the last half of them.
const MOST_NOTES: usize = 60;
/// So many runs are remembered.
const MOST_RUNS: usize = 4_096;

/// Something that was decided or happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

/// What happened to a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The flow run's name.
    pub name: String,
    /// The pool that offered it.
    pub pool: String,
    /// What it was last executed on, by the backend's own name.
    #[serde(default)]
    pub infrastructure: Option<InfraId>,
    /// What happened, oldest first.
    pub notes: Vec<Note>,
    /// How many notes in the middle were left out.
    #[serde(default)]
    pub dropped: usize,
}

/// The timelines of a daemon's runs.
#[derive(Clone, Debug, Default)]
pub struct Timelines(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    runs: HashMap<RunId, Timeline>,
    /// Oldest first.
    order: VecDeque<RunId>,
    /// What is left out of notes: they are on disk, and shown to people.
    secrets: KnownSecrets,
}

impl Timelines {
    /// Of a process that knows these secrets.
    pub fn without(secrets: KnownSecrets) -> Self {
        Self(Arc::new(Mutex::new(Kept { secrets, ..Kept::default() })))
    }

    /// Begins the timeline of a run, or goes on with it.
    pub fn begin(&self, run: RunId, name: &str, pool: &str) {
        let mut kept = self.kept();
        if !kept.runs.contains_key(&run) {
            kept.order.push_back(run);
            if kept.order.len() > MOST_RUNS
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.runs.remove(&oldest);
            }
        }
        let timeline = kept.runs.entry(run).or_default();
        name.clone_into(&mut timeline.name);
        pool.clone_into(&mut timeline.pool);
    }

    /// Begins a timeline with what an earlier process wrote down.
    pub fn resume(&self, run: RunId, name: &str, pool: &str, notes: &[Note]) {
        self.begin(run, name, pool);
        if let Some(timeline) = self.kept().runs.get_mut(&run) {
            timeline.notes = notes.to_vec();
        }
    }

    /// Adds a note to a timeline that was begun. A note that repeats the last one is not added.
    pub fn note(&self, run: RunId, text: impl Into<String>) {
        let mut kept = self.kept();
        let text = kept.secrets.redact(text.into());
        let Some(timeline) = kept.runs.get_mut(&run) else { return };
        if timeline.notes.last().is_some_and(|last| last.text == text) {
            return;
        }
        timeline.notes.push(Note { at: Timestamp::now(), text });
        if timeline.notes.len() > MOST_NOTES {
            timeline.notes.remove(MOST_NOTES / 2);
            timeline.dropped += 1;
        }
    }

    /// What is known of a run.
    pub fn of(&self, run: RunId) -> Option<Timeline> {
        self.kept().runs.get(&run).cloned()
    }

    /// Remembers on what a run is executed.
    pub fn executed_on(&self, run: RunId, infrastructure: &InfraId) {
        if let Some(timeline) = self.kept().runs.get_mut(&run)
            && timeline.infrastructure.as_ref() != Some(infrastructure)
        {
            timeline.infrastructure = Some(infrastructure.clone());
        }
    }

    /// Whether a run was last executed on this infrastructure.
    pub fn was_executed_on(&self, run: RunId, infrastructure: &str) -> bool {
        let kept = self.kept();
        let last = kept.runs.get(&run).and_then(|timeline| timeline.infrastructure.as_ref());
        last.is_some_and(|last| last.0 == infrastructure)
    }

    /// The notes of a run.
    pub fn notes(&self, run: RunId) -> Vec<Note> {
        self.kept().runs.get(&run).map(|timeline| timeline.notes.clone()).unwrap_or_default()
    }

    /// The names of the runs that are remembered.
    pub fn names(&self) -> Vec<(RunId, String)> {
        self.kept().runs.iter().map(|(run, timeline)| (*run, timeline.name.clone())).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn run(number: usize) -> RunId {
        RunId(Uuid::from_u128(u128::try_from(number).unwrap()))
    }

    #[test]
    fn the_beginning_and_the_end_of_a_long_story_are_kept() {
        let timelines = Timelines::default();
        timelines.begin(run(1), "calm-fox", "p");
        for number in 0..MOST_NOTES + 10 {
            timelines.note(run(1), format!("note {number}"));
        }
        let timeline = timelines.of(run(1)).unwrap();
        assert_eq!((timeline.notes.len(), timeline.dropped), (MOST_NOTES, 10));
        assert_eq!(timeline.notes.first().unwrap().text, "note 0");
        assert_eq!(timeline.notes.last().unwrap().text, format!("note {}", MOST_NOTES + 9));
    }

    #[test]
    fn a_repetition_is_noted_once_and_a_stranger_not_at_all() {
        let timelines = Timelines::default();
        timelines.begin(run(1), "calm-fox", "p");
        timelines.note(run(1), "waits");
        timelines.note(run(1), "waits");
        timelines.note(run(2), "waits");
        assert_eq!(timelines.notes(run(1)).len(), 1);
        assert_eq!(timelines.of(run(2)), None);
    }

    #[test]
    fn it_is_known_on_what_a_run_was_last_executed() {
        let timelines = Timelines::default();
        timelines.begin(run(1), "calm-fox", "p");
        timelines.executed_on(run(1), &InfraId("6".to_owned()));
        timelines.executed_on(run(1), &InfraId("7".to_owned()));
        assert!(timelines.was_executed_on(run(1), "7") && !timelines.was_executed_on(run(1), "6"));
    }

    #[test]
    fn old_runs_make_room_for_new_ones() {
        let timelines = Timelines::default();
        for number in 0..=MOST_RUNS {
            timelines.begin(run(number), "x", "p");
        }
        assert_eq!(timelines.of(run(0)), None);
        assert!(timelines.of(run(MOST_RUNS)).is_some());
        assert_eq!(timelines.names().len(), MOST_RUNS);
    }
}
