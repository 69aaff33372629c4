//! When runs are left where they are because this machine could not bear more.
//!
//! The look at the machine is apart from the decision, which is pure. A run that is held stays Scheduled: it has no slot and
//! was not claimed, so another worker may take it.

mod decision;
mod machine;
mod memory;
mod rate;
mod starting;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use worker_config::AdmissionSettings;

use crate::live_runs::{Glance, LiveRuns};
pub use decision::Hold;
use decision::{Limits, Load};
use machine::Machine;
use rate::Rate;
use starting::Starting;

/// A look at the machine holds for so long. Short commands come and go within it.
const FRESH: Duration = Duration::from_millis(100);
/// Starts that are held for a moment are only paced, which is not worth a word; between two holds that are closer the machine
/// was not relieved.
const WORTH_SAYING: Duration = Duration::from_secs(1);

/// So many runs for each processor are between their claim and their launch at the same time. More are not launched sooner,
/// since a launch is work for the processors; fewer would wait for an API that answers slowly.
const UNLAUNCHED_PER_CORE: u64 = 32;

/// Decides for all pools of a daemon together. The default holds nothing.
#[derive(Clone, Debug, Default)]
pub struct Admission(Option<Arc<Gate>>);

#[derive(Debug)]
struct Gate {
    limits: Limits,
    live: LiveRuns,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Absent if it is not to be looked at.
    machine: Option<Machine>,
    seen: Option<(Instant, Load)>,
    starting: Starting,
    rate: Option<Rate>,
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    hold: Hold,
    since: Instant,
    last: Instant,
    said: bool,
}

impl Admission {
    /// Looks at this machine, if the settings want it, and keeps the rate, if they name one.
    pub fn new(settings: AdmissionSettings, live: LiveRuns) -> Self {
        let per_core = count(settings.max_runnable_per_core);
        let limits = Limits {
            memory_percent: count(settings.max_memory_percent),
            runnable: per_core.saturating_mul(machine::processors()),
            starting: per_core.saturating_mul(2 * machine::own_processors()),
            unlaunched: UNLAUNCHED_PER_CORE * machine::own_processors(),
        };
        let rate = settings.starts_per_second.map(|most| Rate::new(count(most), Instant::now()));
        let machine = settings.enabled.then(Machine::here);
        let state = State { machine, seen: None, starting: Starting::default(), rate, held: None };
        Self(Some(Arc::new(Gate { limits, live, state: Mutex::new(state) })))
    }

    /// Whether one more run may be started now. An answer that it may is used up by it.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self) -> Result<(), Hold> {
        let Some(gate) = &self.0 else { return Ok(()) };
        gate.admit(Instant::now())
    }

    /// Why runs are held at present, if they are: for people.
    pub fn hold(&self) -> Option<Hold> {
        self.0.as_ref().and_then(|gate| gate.state().hold(Instant::now()))
    }

    /// A run that was admitted is on its way. It counts until what it executes can be seen on the machine.
    pub fn started(&self, glance: Glance) {
        if let Some(gate) = &self.0 {
            gate.state().starting.begun(glance, Instant::now());
        }
    }
}

impl Gate {
    fn admit(&self, now: Instant) -> Result<(), Hold> {
        let mut state = self.state();
        let load = state.load(now);
        let on_the_way = state.starting.count(&self.live, now);
        let nothing_runs = self.live.total() == 0;
        let decided = decision::decide(&load, on_the_way, nothing_runs, self.limits);
        let decided = decided.map_or_else(|| state.rate.as_mut().map_or(Ok(()), |rate| rate.take(now)), Err);
        match decided {
            Ok(()) => state.goes_on(now),
            Err(hold) => state.holds(hold, now),
        }
        decided
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn load(&mut self, now: Instant) -> Load {
        if let Some((at, load)) = self.seen
            && now.duration_since(at) < FRESH
        {
            return load;
        }
        let load = self.machine.as_mut().map(|machine| machine.load(now)).unwrap_or_default();
        self.seen = Some((now, load));
        load
    }

    fn holds(&mut self, hold: Hold, now: Instant) {
        let held = self.held.get_or_insert(Held { hold, since: now, last: now, said: false });
        (held.hold, held.last) = (hold, now);
        if !held.said && now.duration_since(held.since) >= WORTH_SAYING {
            held.said = true;
            tracing::info!("due runs have to wait: {hold}");
        }
    }

    /// Nobody says that no run is due any more, so a hold is over once it is not repeated.
    fn hold(&self, now: Instant) -> Option<Hold> {
        self.held.filter(|held| now.duration_since(held.last) < WORTH_SAYING).map(|held| held.hold)
    }

    fn goes_on(&mut self, now: Instant) {
        let Some(held) = self.held.filter(|held| now.duration_since(held.last) >= WORTH_SAYING) else { return };
        self.held = None;
        if held.said {
            let seconds = held.last.duration_since(held.since).as_secs();
            tracing::info!("runs are started again without waiting, after {seconds} s");
        }
    }
}

fn count(number: NonZeroUsize) -> u64 {
    u64::try_from(number.get()).unwrap_or(u64::MAX)
}
