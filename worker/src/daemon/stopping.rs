//! The two-phase stop.
//!
//! First what brings new work ends; heartbeats, health and the cancellation observer go on while runs are still ours. What
//! becomes of those is a setting. Then, when they are over or left to their supervisors, what they still had to say to the
//! API is delivered, or kept for the next process. A second signal does not wait for anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker_config::RunsAtStop;
use worker_core::machine::{Input, StopReason};

use super::{Daemon, Served};
use crate::console;
use crate::liveness::Delivering;
use crate::operator::{Course, Drain};
use crate::signals::StopSignals;
use crate::surroundings;

/// What is still queued for the API gets this long at the end: 3 s of delivering, 2 s of writing down what the API did not take,
/// and a little.
const LAST_WORDS: Duration = Duration::from_secs(6);
/// On top of the grace: killing, reporting, cleaning up.
const AFTER_GRACE: Duration = Duration::from_secs(10);
/// After a second signal.
const HURRY: Duration = Duration::from_secs(2);
/// What was claimed and not started is put back, which takes a call or two. What is not put back by then is in the journal.
const PUT_BACK: Duration = Duration::from_secs(5);

/// How a daemon stopped, which decides its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Every run is over, or goes on without this process as it should.
    InOrder,
    /// Runs were waited for, and had to be stopped.
    DrainTimedOut,
    /// A second signal ended the wait.
    AtOnce,
}

/// The tasks that carry log lines and events to the API.
pub(super) struct Delivery {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Delivery {
    /// Each task is waited for by one that holds its pulse, so that a hang or a panic is seen by whoever looks after the loops.
    pub(super) fn new(stop: CancellationToken, tasks: Vec<Delivering>) -> Self {
        Self { stop, tasks: tasks.into_iter().map(|task| tokio::spawn(task.watched())).collect() }
    }

    /// Lets them deliver what is queued, and waits for that.
    async fn finish(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("a delivery task ended badly: {error}");
            }
        }
    }
}

impl Daemon {
    /// Stops everything, in order and within a bounded time.
    pub(super) async fn stop(self, signals: &mut StopSignals) -> Stopped {
        self.course.send_replace(Course::Stopping);
        self.intake.cancel();
        self.shared.actors.close();
        self.shared.live.close();
        let mut stopped = self.end_runs(signals).await;
        self.stop.cancel();
        self.loops.close();
        for Served { pool, started, .. } in &self.served {
            pool.events.emit(pool.lifecycle_event("stopped", Some(started)));
        }
        let names: Vec<String> = self.served.iter().map(|served| served.pool.settings.worker_name.clone()).collect();
        tokio::select! {
            () = self.last_words() => {}
            signal = signals.next() => {
                tracing::warn!("Received {signal} again. Leaving at once.");
                stopped = Stopped::AtOnce;
            }
        }
        for name in names {
            console::line(&format!("Worker '{name}' stopped!"));
        }
        stopped
    }

    /// What becomes of runs when this daemon stops.
    async fn runs_at_stop(&self) -> RunsAtStop {
        let runs = self.shutdown.borrow().runs;
        match runs {
            RunsAtStop::Auto => {
                let settings = self.workspaces.first().map(|workspace| Arc::clone(&workspace.resources.run_settings));
                let environment = settings.as_ref().map(|settings| &settings.worker_environment);
                match surroundings::end_of_our_children(environment.unwrap_or(&BTreeMap::new())).await {
                    None => RunsAtStop::Leave,
                    Some(why) => {
                        tracing::info!("runs cannot outlive this process, so they are waited for: {why}");
                        RunsAtStop::Wait
                    }
                }
            }
            RunsAtStop::Leave | RunsAtStop::Wait | RunsAtStop::Stop => runs,
        }
    }

    async fn end_runs(&self, signals: &mut StopSignals) -> Stopped {
        let live = &self.shared.live;
        if live.total() == 0 {
            return Stopped::InOrder;
        }
        if let Some(drain) = self.drain
            && let Some(stopped) = self.drain(drain, signals).await
        {
            return stopped;
        }
        let policy = self.runs_at_stop().await;
        let count = live.total();
        match policy {
            RunsAtStop::Auto | RunsAtStop::Leave => {
                tracing::info!("{count} runs go on without this process; the next one takes them over");
                live.tell_all(&Input::Detach);
                self.over_within(PUT_BACK, signals).await
            }
            RunsAtStop::Wait => {
                let limit = self.shutdown.borrow().drain_timeout;
                tracing::info!("waiting up to {limit:?} for {count} runs to end");
                // Asked to wait, we wait for all; for our own reasons, only for those that would end with us.
                let left_alone = self.shutdown.borrow().runs == RunsAtStop::Auto;
                live.tell_each(|run| {
                    let goes_on = left_alone && run.capabilities.outlives_worker;
                    if goes_on { Input::Detach } else { Input::Withdraw }
                });
                match self.until_over(limit, signals).await {
                    Waited::Over => Stopped::InOrder,
                    Waited::Signal(signal) => self.hurry(signal).await,
                    Waited::TimeOut => self.stop_runs_late(signals).await,
                }
            }
            RunsAtStop::Stop => self.stop_runs(signals).await,
        }
    }

    /// Waits as long as the operator wants. None if a signal comes first: it is the first one, so it means what it always
    /// means, and a service manager that stops the unit meanwhile kills no run that could go on.
    async fn drain(&self, drain: Drain, signals: &mut StopSignals) -> Option<Stopped> {
        let live = &self.shared.live;
        let count = live.total();
        let bound =
            drain.timeout.map_or_else(|| "for as long as they take".to_owned(), |limit| format!("up to {limit:?}"));
        tracing::info!("waiting for {count} runs to end, {bound}");
        live.tell_all(&Input::Withdraw);
        match self.until_over(drain.timeout.unwrap_or(Duration::MAX), signals).await {
            Waited::Over => Some(Stopped::InOrder),
            Waited::TimeOut => Some(self.stop_runs_late(signals).await),
            Waited::Signal(signal) => {
                tracing::info!("Received {signal}, which ends the drain. A second signal does not wait for anything.");
                None
            }
        }
    }

    /// Stops runs that had their time.
    async fn stop_runs_late(&self, signals: &mut StopSignals) -> Stopped {
        match self.stop_runs(signals).await {
            Stopped::InOrder => Stopped::DrainTimedOut,
            other @ (Stopped::DrainTimedOut | Stopped::AtOnce) => other,
        }
    }

    async fn stop_runs(&self, signals: &mut StopSignals) -> Stopped {
        let grace = self.shutdown.borrow().grace;
        let live = &self.shared.live;
        tracing::info!("stopping {} runs; they have {grace:?} to end by themselves", live.total());
        live.tell_all(&Input::Stop(StopReason::Shutdown));
        match self.until_over(grace + AFTER_GRACE, signals).await {
            Waited::Over => Stopped::InOrder,
            Waited::Signal(signal) => self.hurry(signal).await,
            Waited::TimeOut => {
                self.stop_runs_at_once().await;
                Stopped::InOrder
            }
        }
    }

    /// Stops runs because of a second signal.
    async fn hurry(&self, signal: &'static str) -> Stopped {
        tracing::warn!("Received {signal} again. Waiting for nothing.");
        self.stop_runs_at_once().await
    }

    async fn stop_runs_at_once(&self) -> Stopped {
        let live = &self.shared.live;
        live.tell_all(&Input::Stop(StopReason::Shutdown));
        live.tell_all(&Input::StopNow);
        if tokio::time::timeout(HURRY, self.shared.actors.wait()).await.is_err() {
            tracing::error!("{} runs did not end in time; the next worker process goes on with them", live.total());
        }
        Stopped::AtOnce
    }

    async fn over_within(&self, limit: Duration, signals: &mut StopSignals) -> Stopped {
        match self.until_over(limit, signals).await {
            Waited::Over => Stopped::InOrder,
            Waited::Signal(signal) => {
                tracing::warn!("Received {signal} again. Waiting for nothing.");
                Stopped::AtOnce
            }
            Waited::TimeOut => {
                let left = self.shared.live.total();
                tracing::warn!("the API does not answer; the next worker process puts {left} runs back");
                Stopped::InOrder
            }
        }
    }

    async fn until_over(&self, limit: Duration, signals: &mut StopSignals) -> Waited {
        tokio::select! {
            () = self.shared.actors.wait() => Waited::Over,
            () = tokio::time::sleep(limit) => Waited::TimeOut,
            signal = signals.next() => Waited::Signal(signal),
        }
    }

    async fn last_words(self) {
        let last = async { tokio::join!(self.delivery.finish(), self.loops.wait()) };
        if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
            tracing::warn!("the API did not take the last log lines or events");
        }
    }
}

enum Waited {
    Over,
    TimeOut,
    Signal(&'static str),
}
