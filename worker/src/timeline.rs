//! What was decided about a run, and when: what `worker why` tells.
//!
//! A bounded number of notes for each run that is live, and for a bounded number of others. The notes of live runs are also in
//! the journal, so a restart does not lose them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use worker_core::ids::{InfraId, RunId};

use crate::redaction::KnownSecrets;

/// So many notes of a run are kept: the first half and the last half of them.
const MOST_NOTES: usize = 60;
/// So many runs are remembered that are not live: those that waited, or have ended.
const MOST_AT_REST: usize = 4_096;

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
    runs: HashMap<RunId, Story>,
    /// The runs that are not live, by the turn at which they came to rest. The first makes room.
    at_rest: BTreeMap<u64, RunId>,
    next_turn: u64,
    /// What is left out of notes: they are on disk, and shown to people.
    secrets: KnownSecrets,
}

#[derive(Debug, Default)]
struct Story {
    timeline: Timeline,
    /// How many executions of it are live.
    live: usize,
    /// Its turn among the runs at rest, while it is one of them.
    turn: Option<u64>,
}

/// For as long as it exists the timeline of a run is kept, however many others there are.
#[derive(Debug)]
#[must_use]
pub struct LiveTimeline {
    timelines: Timelines,
    run: RunId,
}

impl Timelines {
    /// Of a process that knows these secrets.
    pub fn without(secrets: KnownSecrets) -> Self {
        Self(Arc::new(Mutex::new(Kept { secrets, ..Kept::default() })))
    }

    /// Begins the timeline of a run, or goes on with it.
    pub fn begin(&self, run: RunId, name: &str, pool: &str) {
        let mut kept = self.kept();
        let timeline = &mut kept.runs.entry(run).or_default().timeline;
        name.clone_into(&mut timeline.name);
        pool.clone_into(&mut timeline.pool);
        kept.comes_to_rest(run);
    }

    /// The run is executed from now on.
    pub fn live(&self, run: RunId) -> LiveTimeline {
        let mut kept = self.kept();
        let story = kept.runs.entry(run).or_default();
        story.live += 1;
        if let Some(turn) = story.turn.take() {
            kept.at_rest.remove(&turn);
        }
        LiveTimeline { timelines: self.clone(), run }
    }

    /// Begins a timeline with what an earlier process wrote down.
    pub fn resume(&self, run: RunId, name: &str, pool: &str, notes: &[Note]) {
        self.begin(run, name, pool);
        if let Some(story) = self.kept().runs.get_mut(&run) {
            story.timeline.notes = notes.to_vec();
        }
    }

    /// Adds a note to a timeline that was begun. A note that repeats the last one is not added.
    pub fn note(&self, run: RunId, text: impl Into<String>) {
        let mut kept = self.kept();
        let text = kept.secrets.redact(text.into());
        let Some(Story { timeline, .. }) = kept.runs.get_mut(&run) else { return };
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
        self.kept().runs.get(&run).map(|story| story.timeline.clone())
    }

    /// Remembers on what a run is executed.
    pub fn executed_on(&self, run: RunId, infrastructure: &InfraId) {
        if let Some(Story { timeline, .. }) = self.kept().runs.get_mut(&run)
            && timeline.infrastructure.as_ref() != Some(infrastructure)
        {
            timeline.infrastructure = Some(infrastructure.clone());
        }
    }

    /// Whether a run was last executed on this infrastructure.
    pub fn was_executed_on(&self, run: RunId, infrastructure: &str) -> bool {
        let kept = self.kept();
        let last = kept.runs.get(&run).and_then(|story| story.timeline.infrastructure.as_ref());
        last.is_some_and(|last| last.0 == infrastructure)
    }

    /// The notes of a run.
    pub fn notes(&self, run: RunId) -> Vec<Note> {
        self.kept().runs.get(&run).map(|story| story.timeline.notes.clone()).unwrap_or_default()
    }

    /// The names of the runs that are remembered.
    pub fn names(&self) -> Vec<(RunId, String)> {
        self.kept().runs.iter().map(|(run, story)| (*run, story.timeline.name.clone())).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A run that is not live gets its turn, and the one that rested longest makes room.
    fn comes_to_rest(&mut self, run: RunId) {
        let Some(story) = self.runs.get_mut(&run) else { return };
        if story.live > 0 || story.turn.is_some() {
            return;
        }
        story.turn = Some(self.next_turn);
        self.at_rest.insert(self.next_turn, run);
        self.next_turn += 1;
        if self.at_rest.len() > MOST_AT_REST
            && let Some((_, oldest)) = self.at_rest.pop_first()
        {
            self.runs.remove(&oldest);
        }
    }
}

impl Drop for LiveTimeline {
    fn drop(&mut self) {
        let mut kept = self.timelines.kept();
        if let Some(story) = kept.runs.get_mut(&self.run) {
            story.live = story.live.saturating_sub(1);
            if story.live == 0 {
                // Thousands of them are kept, and little is added to them any more.
                story.timeline.notes.shrink_to_fit();
            }
        }
        kept.comes_to_rest(self.run);
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
    fn runs_at_rest_make_room_for_new_ones() {
        let timelines = Timelines::default();
        for number in 0..=MOST_AT_REST {
            timelines.begin(run(number), "x", "p");
        }
        assert_eq!(timelines.of(run(0)), None);
        assert!(timelines.of(run(MOST_AT_REST)).is_some());
        assert_eq!(timelines.names().len(), MOST_AT_REST);
    }

    #[test]
    fn live_runs_are_kept_whatever_comes_after_them_and_rest_once_they_have_ended() {
        let timelines = Timelines::default();
        let live: Vec<LiveTimeline> = (0..10)
            .map(|number| {
                timelines.begin(run(number), "x", "p");
                timelines.note(run(number), "claimed");
                timelines.live(run(number))
            })
            .collect();
        for number in 10..10 + 2 * MOST_AT_REST {
            timelines.begin(run(number), "x", "p");
            drop(timelines.live(run(number)));
        }
        assert_eq!(timelines.names().len(), MOST_AT_REST + 10);
        assert!((0..10).all(|number| timelines.notes(run(number)).len() == 1));
        drop(live);
        assert_eq!(timelines.names().len(), MOST_AT_REST);
        assert!((0..10).all(|number| timelines.of(run(number)).is_some()), "they ended last");
        for number in 0..MOST_AT_REST {
            timelines.begin(run(100_000 + number), "x", "p");
        }
        assert!((0..10).all(|number| timelines.of(run(number)).is_none()));
    }

    #[test]
    fn a_run_that_is_executed_anew_is_live_until_both_executions_are_over() {
        let timelines = Timelines::default();
        timelines.begin(run(1), "x", "p");
        let (first, second) = (timelines.live(run(1)), timelines.live(run(1)));
        drop(first);
        for number in 2..MOST_AT_REST + 3 {
            timelines.begin(run(number), "x", "p");
        }
        assert!(timelines.of(run(1)).is_some());
        drop(second);
        assert!(timelines.of(run(1)).is_some());
    }
}
