//! Asking for due runs.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use central_api_client::{ApiError, Client};
use central_api_wire::MAX_RUNS_PER_POLL;
use central_api_wire::flow_run::{FlowRun, ScheduledRunsRequest};
use central_api_wire::work_pool::WorkPool;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker_core::ids::{DeploymentId, RunId};

use super::pick_up::PickUp;
use super::{Announcements, PoolSettings, PoolView, Trouble, pace};
use crate::admission::{Admission, Hold};
use crate::dispatcher::{Dispatched, Dispatcher};
use crate::liveness::Pulse;

/// The client gives up a poll after half a minute; this leaves it some room.
const LONGEST_POLL: Duration = Duration::from_secs(40);
/// A full page of runs that are live already would be answered the same at once. This is the first pause after one; each
/// further is twice as long.
const FIRST_LOOK_BEHIND: Duration = Duration::from_millis(50);
/// How long runs that this machine cannot bear yet are held on to. Then the API is asked again, because others may have
/// taken them.
const HELD: Duration = Duration::from_millis(500);
/// Time between two looks at whether it can.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Time between two looks at whether a slot is free: one that is left to another pool becomes free without a word.
pub(super) const SLOT_LOOK: Duration = Duration::from_secs(1);

/// When the last poll ended well, or was skipped with reason, for the health server; and what kept us from what it showed, for
/// the operator.
#[derive(Debug)]
pub struct LastPoll {
    begun: Instant,
    millis: AtomicU64,
    hold: Mutex<Option<Hold>>,
    waiting_since: Mutex<Option<Timestamp>>,
}

impl Default for LastPoll {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            millis: AtomicU64::new(0),
            hold: Mutex::default(),
            waiting_since: Mutex::default(),
        }
    }
}

impl LastPoll {
    /// It is now, or there is nothing to poll and that is as it should be.
    pub fn tick(&self) {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// There will never be one, and nobody is to wait for it: the pool is not served.
    pub fn retire(&self) {
        self.millis.store(u64::MAX, Ordering::Relaxed);
    }

    /// How long ago it was.
    pub fn age(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.millis.load(Ordering::Relaxed)))
    }

    /// Why due runs of the pool are left where they are, if the last poll showed some that are.
    pub fn hold(&self) -> Option<Hold> {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the oldest run was due that the last poll showed and that was not taken.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        *self.waiting_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waits(&self, since: Option<Timestamp>) {
        *self.waiting_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn holds(&self, hold: Option<Hold>) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = hold;
    }
}

/// The poll loop of one pool worker.
pub struct Poller {
    /// The API, attributed to this worker.
    pub client: Client,
    /// The settings.
    pub settings: Arc<PoolSettings>,
    /// The pool as it is now.
    pub view: PoolView,
    /// Where runs go.
    pub dispatcher: Dispatcher,
    /// When the last poll was.
    pub last_poll: Arc<LastPoll>,
    /// What the event stream tells.
    pub announcements: Announcements,
    /// Whether what earlier processes left is known. Until then nothing new is taken.
    pub first_pass: watch::Receiver<bool>,
    /// Whether the operator lets nothing new be taken.
    pub cordoned: watch::Receiver<bool>,
    /// Whether this machine can bear more runs.
    pub admission: Admission,
    /// That the loop turns.
    pub pulse: Pulse,
}

/// What a poll says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There may be more at once: the server had a full page.
    AtOnce,
    /// The server had a full page of runs that are live here already: what is behind them shows once they are claimed.
    BehindLiveRuns,
    /// There was more than we have slots.
    WhenASlotIsFree,
    /// There was more than this machine can bear, and some time has gone by already.
    Held,
    /// Nothing is waiting.
    AfterTheInterval,
}

/// A poll that was answered, and what was done about the answer.
#[derive(Debug)]
struct Polled {
    next: Next,
    /// The runs that the answer showed.
    shown: HashSet<RunId>,
    /// Whether any was taken.
    taken: bool,
    /// How long the answer took.
    took: Duration,
    /// Whether a schedule made any of them.
    schedules: bool,
}

impl Poller {
    /// Polls until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut trouble = Trouble::new("ask the API for due runs");
        let mut absence = Absence::default();
        let mut pick_up = PickUp::new(self.settings.query_interval, self.settings.prefetch);
        let mut behind = FIRST_LOOK_BEHIND;
        if !self.until_the_first_pass(&stop).await {
            return;
        }
        loop {
            let ahead = pick_up.polls(Timestamp::now());
            let polled = tokio::select! {
                () = stop.cancelled() => return,
                polled = self.once(&mut absence, ahead) => polled,
            };
            let polled = polled.map(|polled| self.noted(polled, &mut pick_up));
            if polled.is_err() {
                self.dispatcher.budget.waits_no_more(self.dispatcher.pool);
            }
            self.last_poll.holds(if matches!(polled, Ok(Next::Held)) { self.admission.hold() } else { None });
            let mut changes = self.dispatcher.live_runs().changes();
            changes.mark_unchanged();
            let pause = match polled {
                Ok(Next::AtOnce | Next::Held) => Duration::ZERO,
                Ok(Next::BehindLiveRuns) => behind.min(self.settings.query_interval),
                Ok(Next::WhenASlotIsFree | Next::AfterTheInterval) => pace::jittered(self.settings.query_interval),
                Err(ref error) => {
                    pace::after_failure(trouble.failed(error), self.settings.query_interval, error.retry_after())
                }
            };
            if polled.is_ok() {
                trouble.worked();
            }
            behind = if matches!(polled, Ok(Next::BehindLiveRuns)) { behind * 2 } else { FIRST_LOOK_BEHIND };
            let slot = async {
                let waits = matches!(polled, Ok(Next::WhenASlotIsFree));
                if !waits {
                    std::future::pending::<()>().await;
                }
                while !self.dispatcher.has_free_slot() {
                    drop(tokio::time::timeout(SLOT_LOOK, changes.changed()).await);
                }
            };
            let mut cordoned = self.cordoned.clone();
            cordoned.mark_unchanged();
            // After a failure there is a pause, whatever is announced meanwhile.
            let announced = async {
                if polled.is_err() || !self.settings.pick_up_events {
                    std::future::pending::<()>().await;
                }
                self.announced(&mut pick_up).await;
            };
            let next = async {
                tokio::select! {
                    Ok(()) = cordoned.changed() => {}
                    () = slot => {}
                    () = announced => {}
                    () = tokio::time::sleep(pause) => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.pulse.idle(next) => {}
            }
        }
    }

    fn noted(&self, polled: Option<Polled>, pick_up: &mut PickUp) -> Next {
        let Some(Polled { next, shown, taken, took, schedules }) = polled else { return Next::AfterTheInterval };
        let live = self.dispatcher.live_runs();
        pick_up.polled(|run| shown.contains(&run) || live.is_live(run), taken, took, Instant::now());
        if schedules {
            pick_up.saw_a_schedule();
        }
        next
    }

    /// False if the worker stops first.
    async fn until_the_first_pass(&self, stop: &CancellationToken) -> bool {
        let mut first_pass = self.first_pass.clone();
        tokio::select! {
            () = stop.cancelled() => false,
            // The sender is the repair loop's, which does not end before.
            _ = self.pulse.idle(first_pass.wait_for(|done| *done)) => true,
        }
    }

    /// One poll, once the pool is known. Polls go on while no slot is free: the server takes them for a sign of life.
    ///
    /// # Errors
    /// What the API answered, or that it did not.
    ///
    /// # Cancel safety
    /// Cancel safe: runs are handed over without waiting.
    pub async fn poll_and_dispatch(&self) -> Result<(), ApiError> {
        let mut absence = Absence::default();
        // A single round takes all that is due, however long this machine needs for it.
        while self.once(&mut absence, HashSet::new()).await?.is_some_and(|polled| polled.next == Next::Held) {}
        Ok(())
    }

    /// None if the operator lets nothing be taken. `ahead` are deployments of which runs will be shown.
    async fn once(&self, absence: &mut Absence, ahead: HashSet<DeploymentId>) -> Result<Option<Polled>, ApiError> {
        let pool = self.pulse.idle(self.known_pool()).await;
        if *self.cordoned.borrow() {
            self.dispatcher.budget.waits_no_more(self.dispatcher.pool);
            self.last_poll.tick();
            self.last_poll.waits(None);
            return Ok(None);
        }
        let queues = &self.settings.work_queues;
        let request = ScheduledRunsRequest {
            work_queue_names: Some(queues.clone()),
            scheduled_before: Some(due_before(Timestamp::now(), self.settings.prefetch)),
            ..ScheduledRunsRequest::default()
        };
        // The answer may have been long under way: what it says is as old as the question.
        let shown = Instant::now();
        self.dispatcher.read_ahead(ahead, shown);
        let asked = self.client.scheduled_runs(&self.settings.pool, &request);
        let runs = match self.pulse.during(LONGEST_POLL, asked).await {
            Ok(runs) => {
                absence.ended();
                runs
            }
            // The pool or a queue is gone, or was never there; it may come.
            Err(error) if error.is_not_found() => {
                absence.noted(&self.settings.pool, &error);
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let took = shown.elapsed();
        self.last_poll.tick();
        let full = runs.len() >= MAX_RUNS_PER_POLL;
        let mut runs: Vec<FlowRun> = runs.into_iter().map(|run| run.flow_run).collect();
        runs.retain(|run| !retries_in_process(run));
        let schedules = runs.iter().any(is_of_a_schedule);
        let ids = runs.iter().map(|run| run.id).collect();
        let (runs, skipped) = self.without_skipped(runs, &pool).await;
        let (next, started) = self.dispatch_all(&runs, skipped, &pool, shown, full).await;
        let live = self.dispatcher.live_runs();
        self.last_poll.waits(oldest_due(runs.iter().filter(|run| !live.is_live(run.id))));
        Ok(Some(Polled { next, shown: ids, taken: started > 0, took, schedules }))
    }

    async fn dispatch_all(
        &self,
        runs: &[FlowRun],
        skipped: usize,
        pool: &Arc<WorkPool>,
        shown: Instant,
        full: bool,
    ) -> (Next, usize) {
        let mut started = 0_usize;
        let (budget, place, priority) = (&self.dispatcher.budget, self.dispatcher.pool, self.dispatcher.priority);
        for (at, flow_run) in runs.iter().enumerate() {
            match self.pulse.idle(self.dispatch(flow_run, pool, shown)).await {
                Dispatched::Started => started += 1,
                Dispatched::Passed => {}
                Dispatched::LimitReached => {
                    budget.waits_no_more(place);
                    return (Next::WhenASlotIsFree, started);
                }
                Dispatched::BudgetSpent => {
                    budget.waits(place, priority, runs.len() - at);
                    return (Next::WhenASlotIsFree, started);
                }
                Dispatched::Held => return (Next::Held, started),
            }
        }
        budget.waits_no_more(place);
        let next = if !full {
            Next::AfterTheInterval
        } else if started > 0 || skipped > 0 {
            Next::AtOnce
        } else {
            Next::BehindLiveRuns
        };
        (next, started)
    }

    /// Hands a run over as soon as this machine can bear it, if that is soon.
    async fn dispatch(&self, flow_run: &FlowRun, pool: &Arc<WorkPool>, shown: Instant) -> Dispatched {
        loop {
            let dispatched = self.dispatcher.dispatch(flow_run, Arc::clone(pool), shown, &self.admission);
            if dispatched != Dispatched::Held || shown.elapsed() >= HELD {
                return dispatched;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits for the pool. That it is missing is no reason to restart the worker, so the wait counts as polling.
    async fn known_pool(&self) -> Arc<WorkPool> {
        loop {
            tokio::select! {
                biased;
                pool = self.view.known() => return pool,
                () = tokio::time::sleep(self.settings.query_interval) => self.last_poll.tick(),
            }
        }
    }
}

/// Says once that a pool or queue is missing: with one queue misspelt, the whole poll yields nothing, for ever.
#[derive(Debug, Default)]
struct Absence {
    said: Option<String>,
}

impl Absence {
    fn noted(&mut self, pool: &str, error: &ApiError) {
        let text = error.to_string();
        if self.said.as_ref() != Some(&text) {
            tracing::warn!("no runs are taken from work pool '{pool}' until what it asks for exists: {text}");
            self.said = Some(text);
        }
    }

    fn ended(&mut self) {
        self.said = None;
    }
}

fn is_of_a_schedule(run: &FlowRun) -> bool {
    run.other.get("auto_scheduled").and_then(Value::as_bool).unwrap_or(false)
}

fn oldest_due<'r>(runs: impl Iterator<Item = &'r FlowRun>) -> Option<Timestamp> {
    runs.filter_map(|run| run.next_scheduled_start_time).min()
}

fn due_before(now: Timestamp, prefetch: Duration) -> Timestamp {
    let ahead = SignedDuration::from_secs(i64::try_from(prefetch.as_secs()).unwrap_or(i64::MAX));
    now.checked_add(ahead).unwrap_or(Timestamp::MAX)
}

/// A run that its own process will retry must not be started a second time.
pub(crate) fn retries_in_process(run: &FlowRun) -> bool {
    run.empirical_policy.get("retry_type").is_some_and(|kind| kind == "in_process")
        && run.state_name.as_deref() == Some("AwaitingRetry")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn run(state_name: &str, retry_type: Option<&str>) -> FlowRun {
        serde_json::from_value(json!({
            "id": Uuid::nil(), "flow_id": Uuid::nil(), "state_type": "SCHEDULED", "state_name": state_name,
            "empirical_policy": {"retry_type": retry_type},
        }))
        .unwrap()
    }

    #[test]
    fn c045_in_process_retries_are_not_submitted() {
        assert!(retries_in_process(&run("AwaitingRetry", Some("in_process"))));
        assert!(!retries_in_process(&run("AwaitingRetry", Some("reschedule"))));
        assert!(!retries_in_process(&run("Scheduled", Some("in_process"))));
        assert!(!retries_in_process(&run("Scheduled", None)));
    }

    #[test]
    fn c041_runs_are_asked_for_up_to_now_plus_prefetch_in_whole_seconds() {
        let now: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
        assert_eq!(due_before(now, Duration::ZERO), now);
        assert_eq!(due_before(now, Duration::from_millis(10_900)).to_string(), "2026-11-21T01:00:10Z");
        assert_eq!(due_before(now, Duration::MAX), Timestamp::MAX);
    }
}
