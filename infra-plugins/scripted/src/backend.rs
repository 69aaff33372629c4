//! Where scripted infrastructure lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infra_contract::{InfraEvent, Killed, LogStream, Severity};
use tokio::sync::watch;
use tokio::time::Instant;
use worker_core::exit::{Conclusion, Exit, ExitReport};
use worker_core::handle::Handle;
use worker_core::ids::{LaunchKey, RunId};
use worker_core::machine::KillIntent;

use crate::script::Script;

/// The world in which scripted runs exist. Clones are the same world.
#[derive(Clone, Debug, Default)]
pub struct Backend(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    infrastructure: HashMap<LaunchKey, Infrastructure>,
    attempts: HashMap<LaunchKey, u32>,
    started: Vec<LaunchKey>,
}

#[derive(Debug)]
struct Infrastructure {
    handle: Handle,
    script: Script,
    /// What a watcher has not been told yet.
    told: Vec<InfraEvent>,
    end: watch::Sender<Option<End>>,
}

/// An end, in the past or to come.
#[derive(Clone, Debug)]
pub(crate) struct End {
    at: Instant,
    pub(crate) report: ExitReport,
    pub(crate) killed: Killed,
}

impl End {
    fn has_come(&self) -> bool {
        self.at <= Instant::now()
    }
}

impl Backend {
    /// How many times infrastructure was started for a run, over all its executions.
    pub fn started(&self, run: RunId) -> usize {
        self.world().started.iter().filter(|key| key.run == run).count()
    }

    /// How many runs are running now.
    pub fn running(&self) -> usize {
        self.world().infrastructure.values().filter(|infrastructure| !infrastructure.has_ended()).count()
    }

    /// Counts a launch of this key; the first is 0.
    pub(crate) fn next_attempt(&self, key: LaunchKey) -> u32 {
        let mut world = self.world();
        let attempts = world.attempts.entry(key).or_default();
        *attempts += 1;
        *attempts - 1
    }

    /// Starts it unless it exists; the handle of what exists now.
    pub(crate) fn start(&self, handle: Handle, script: Script) -> Handle {
        let mut world = self.world();
        if let Some(existing) = world.infrastructure.get(&handle.key) {
            return existing.handle.clone();
        }
        world.started.push(handle.key);
        world.infrastructure.insert(handle.key, Infrastructure::started_now(handle.clone(), script));
        handle
    }

    pub(crate) fn find(&self, key: &LaunchKey) -> Option<Handle> {
        self.world().infrastructure.get(key).map(|infrastructure| infrastructure.handle.clone())
    }

    pub(crate) fn all(&self) -> Vec<Handle> {
        self.world().infrastructure.values().map(|infrastructure| infrastructure.handle.clone()).collect()
    }

    pub(crate) fn remove(&self, key: &LaunchKey) {
        self.world().infrastructure.remove(key);
    }

    pub(crate) fn script(&self, key: &LaunchKey) -> Option<Script> {
        self.world().infrastructure.get(key).map(|infrastructure| infrastructure.script.clone())
    }

    /// What has not been told yet; nobody is told it again.
    pub(crate) fn take_events(&self, key: &LaunchKey) -> Vec<InfraEvent> {
        let mut world = self.world();
        world
            .infrastructure
            .get_mut(key)
            .map(|infrastructure| std::mem::take(&mut infrastructure.told))
            .unwrap_or_default()
    }

    /// The end, if it has come.
    pub(crate) fn ended(&self, key: &LaunchKey) -> Option<ExitReport> {
        let world = self.world();
        let end = world.infrastructure.get(key)?.end.borrow().clone();
        end.filter(End::has_come).map(|end| end.report)
    }

    /// The end, to wait for with [`wait_for_end`]; `None` if nothing is there.
    pub(crate) fn end(&self, key: &LaunchKey) -> Option<watch::Receiver<Option<End>>> {
        self.world().infrastructure.get(key).map(|infrastructure| infrastructure.end.subscribe())
    }

    /// Moves the end forward as the script says; without effect if it would end before that anyway.
    pub(crate) fn stop(&self, key: &LaunchKey, intent: KillIntent, grace: Duration) {
        if let Some(infrastructure) = self.world().infrastructure.get(key) {
            infrastructure.stop(intent, grace);
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Infrastructure {
    fn started_now(handle: Handle, script: Script) -> Self {
        let warnings =
            script.warnings.iter().cloned().map(|text| InfraEvent::Diagnosis { severity: Severity::Warning, text });
        let output = script.all_output().into_iter().map(|text| InfraEvent::Output { stream: LogStream::Stdout, text });
        let told = std::iter::once(InfraEvent::Started).chain(warnings).chain(output).collect();
        let end = script.runs_for().map(|duration| End {
            at: Instant::now() + duration,
            report: script.own_end(),
            killed: Killed::Gracefully,
        });
        Self { handle, script, told, end: watch::Sender::new(end) }
    }

    fn has_ended(&self) -> bool {
        self.end.borrow().as_ref().is_some_and(End::has_come)
    }

    fn stop(&self, intent: KillIntent, grace: Duration) {
        let obeys_in = Duration::from_millis(self.script.stop_takes_ms);
        let forced = |delay| (delay, ExitReport::bare(Exit::Signal(9)), Killed::Forcibly);
        let (delay, report, killed) = match intent {
            KillIntent::Force => forced(Duration::ZERO),
            KillIntent::Cancel | KillIntent::Shutdown if self.script.ignore_grace || obeys_in > grace => forced(grace),
            KillIntent::Cancel if self.script.acknowledges_cancel => (obeys_in, cancelled_itself(), Killed::Gracefully),
            KillIntent::Cancel | KillIntent::Shutdown => {
                (obeys_in, ExitReport::bare(Exit::Signal(15)), Killed::Gracefully)
            }
        };
        let stopped = End { at: Instant::now() + delay, report, killed };
        self.end.send_if_modified(|end| {
            let sooner = end.as_ref().is_none_or(|end| stopped.at < end.at);
            if sooner {
                *end = Some(stopped);
            }
            sooner
        });
    }
}

fn cancelled_itself() -> ExitReport {
    ExitReport { concluded: Some(Conclusion::CancelAcknowledged), ..ExitReport::bare(Exit::Code(0)) }
}

/// Waits for the end, which may be moved forward meanwhile. Infrastructure removed before its end has vanished.
pub(crate) async fn wait_for_end(mut end: watch::Receiver<Option<End>>) -> End {
    loop {
        let expected = end.borrow_and_update().clone();
        let come = async {
            match expected {
                Some(expected) => {
                    tokio::time::sleep_until(expected.at).await;
                    expected
                }
                None => std::future::pending().await,
            }
        };
        // Biased: an end that has come is not taken back by a later stop.
        tokio::select! {
            biased;
            end = come => return end,
            moved = end.changed() => if moved.is_err() {
                let report = ExitReport::bare(Exit::Vanished);
                return End { at: Instant::now(), report, killed: Killed::AlreadyGone };
            },
        }
    }
}
