//! A worker that is started again whenever it was killed.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::harness::{Daemon, DaemonSpec, Output, kill_offspring_of};

/// How long a stop may take that leaves the runs running.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// A worker, through all of its processes.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) name: String,
    spec: DaemonSpec,
    occupant: Occupant,
    /// The point at which the present process kills itself.
    failpoint: Option<String>,
    frozen: bool,
    /// What all of its processes said, oldest first.
    said: Vec<Output>,
    /// How often it was killed, or killed itself.
    pub(super) kills: u32,
    /// What it did that no worker may do.
    pub(super) violations: Vec<String>,
}

#[derive(Debug)]
enum Occupant {
    Works(Box<Daemon>),
    Away {
        home: TempDir,
        back: Instant,
    },
    /// While one is replaced by the other.
    Nobody,
}

impl Seat {
    /// Starts a worker, which kills itself at a point for the `nth` time if there is one.
    pub(super) fn taken(name: &str, spec: DaemonSpec, failpoint: Option<(&str, u32)>) -> Self {
        let failpoint = failpoint.map(|(point, nth)| format!("{point}:{nth}"));
        let mut seat = Self {
            name: name.to_owned(),
            spec,
            occupant: Occupant::Nobody,
            failpoint: failpoint.clone(),
            frozen: false,
            said: Vec::new(),
            kills: 0,
            violations: Vec::new(),
        };
        let spec = seat.spec.clone();
        let spec = if let Some(failpoint) = failpoint { spec.env("WORKER_FAILPOINT", failpoint) } else { spec };
        seat.works(spec.spawn());
        seat
    }

    fn works(&mut self, daemon: Daemon) {
        self.said.push(daemon.stderr.clone());
        self.occupant = Occupant::Works(Box::new(daemon));
    }

    /// Its home, which all of its processes share.
    pub(super) fn home(&self) -> PathBuf {
        match &self.occupant {
            Occupant::Works(daemon) => daemon.home().to_owned(),
            Occupant::Away { home, .. } => home.path().to_owned(),
            Occupant::Nobody => PathBuf::new(),
        }
    }

    /// Whether the point at which it is to kill itself is still ahead.
    pub(super) const fn awaits_failpoint(&self) -> bool {
        self.failpoint.is_some()
    }

    /// Sees what became of it, and starts it again when its time has come. One that has killed itself stays away for
    /// `back_after`.
    pub(super) async fn tend(&mut self, back_after: Duration) {
        let ended = match &mut self.occupant {
            Occupant::Works(daemon) => daemon.status(),
            Occupant::Away { back, .. } if *back <= Instant::now() => {
                self.back();
                None
            }
            Occupant::Away { .. } | Occupant::Nobody => None,
        };
        let Some(status) = ended else { return };
        if self.failpoint.is_some() && status.signal() == Some(Signal::KILL.as_raw()) {
            self.kills += 1;
        } else {
            self.violations.push(format!("worker {} ended by itself: {status}", self.name));
        }
        self.away(back_after).await;
    }

    fn back(&mut self) {
        if let Occupant::Away { home, .. } = std::mem::replace(&mut self.occupant, Occupant::Nobody) {
            let daemon = self.spec.clone().spawn_in(home);
            self.works(daemon);
        }
    }

    /// Ends what is left of the present process.
    async fn away(&mut self, lasts: Duration) {
        if let Occupant::Works(daemon) = std::mem::replace(&mut self.occupant, Occupant::Nobody) {
            let home = daemon.kill().await;
            self.occupant = Occupant::Away { home, back: Instant::now() + lasts };
        }
        self.failpoint = None;
        self.frozen = false;
    }

    /// Kills it. Nothing happens if it is away.
    pub(super) async fn kill(&mut self, lasts: Duration) {
        if matches!(self.occupant, Occupant::Works(_)) {
            self.kills += 1;
            self.away(lasts).await;
        }
    }

    /// Asks it to stop, once or twice. Nothing happens if it is away.
    pub(super) async fn stop(&mut self, twice: bool, lasts: Duration) {
        self.thaw();
        let Occupant::Works(daemon) = &mut self.occupant else { return };
        daemon.signal(Signal::TERM);
        if twice && daemon.is_running() {
            daemon.signal(Signal::TERM);
        }
        match daemon.exited_within(STOPS_WITHIN).await {
            None => self.violations.push(format!("worker {} did not stop within {STOPS_WITHIN:?}", self.name)),
            // It may get the signal before it listens to it, or be at the point at which it kills itself.
            Some(status) if matches!(status.signal(), Some(9 | 15)) => {}
            Some(status) if twice || status.success() => {}
            Some(status) => self.violations.push(format!("worker {} was asked to stop: {status}", self.name)),
        }
        self.away(lasts).await;
    }

    /// Takes its processor time away. Nothing happens if it is away.
    pub(super) fn freeze(&mut self) {
        if let Occupant::Works(daemon) = &mut self.occupant
            && daemon.is_running()
        {
            daemon.signal(Signal::STOP);
            self.frozen = true;
        }
    }

    /// Gives it back.
    pub(super) fn thaw(&mut self) {
        if let Occupant::Works(daemon) = &mut self.occupant
            && self.frozen
            && daemon.is_running()
        {
            daemon.signal(Signal::CONT);
            self.frozen = false;
        }
    }

    /// Ends its absence.
    pub(super) fn return_now(&mut self) {
        if matches!(self.occupant, Occupant::Away { .. }) {
            self.back();
        }
    }

    /// What its processes said at the end of their lives.
    pub(super) fn tails(&self) -> Vec<String> {
        let all = self.said.iter().enumerate();
        all.map(|(index, said)| format!("--- worker {}, process {}\n{}", self.name, index + 1, said.tail())).collect()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A worker at work sees to that itself.
        if let Occupant::Away { home, .. } = &self.occupant {
            kill_offspring_of(home.path());
        }
    }
}
