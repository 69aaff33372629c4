//! The loop: everything a supervisor does between the start of its run and its own end.

use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use worker_core::exit::Exit;

use super::clients::Clients;
use super::durability::Durability;
use super::ending::Phase;
use super::hooks::RunningHooks;
use super::orphans;
use super::output_limit::OutputLimit;
use super::spec::{LaunchSpec, Started};
use super::sweep::Sweep;
use super::time_limit::TimeLimit;
use crate::cgroup::Cgroup;
use crate::claim_file::ClaimFile;
use crate::confinement::Limits;
use crate::control::{ACKNOWLEDGEMENT_LIMIT, EnginePort};
use crate::folder::RunFolder;
use crate::oom::OomWitness;
use crate::orders::{Announced, Order};
use crate::procfs::Identity;
use crate::tree::Tree;

/// How long what outlasts being killed may keep a supervisor that was told to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(6);

/// How often the folder of an ended run is looked for.
const FOLDER_INTERVAL: Duration = Duration::from_mins(1);

/// What the start hands over.
pub(super) struct Parts {
    pub(super) spec: LaunchSpec,
    pub(super) folder: RunFolder,
    pub(super) claim_file: ClaimFile,
    pub(super) supervisor: Identity,
    pub(super) process: Identity,
    pub(super) control: UnixListener,
    pub(super) engine: Option<EnginePort>,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) limits: Limits,
    pub(super) oom: OomWitness,
    pub(super) signals: UnixStream,
}

/// A run under supervision.
pub(super) struct Service {
    pub(super) spec: LaunchSpec,
    pub(super) folder: RunFolder,
    pub(super) claim_file: ClaimFile,
    /// Gone once the end is written.
    pub(super) engine: Option<EnginePort>,
    pub(super) oom: OomWitness,
    /// What is in force for the run and its hooks.
    pub(super) limits: Limits,
    pub(super) time: TimeLimit,
    pub(super) sweep: Sweep,
    pub(super) phase: Phase,
    /// Whether a kill was ordered: what then ends by SIGKILL is no riddle.
    pub(super) was_killed: bool,
    pub(super) hooks: Option<RunningHooks>,
    pub(super) limit: OutputLimit,
    pub(super) durability: Durability,
    supervisor: Identity,
    process: Identity,
    cgroup: Option<Cgroup>,
    signals: UnixStream,
    clients: Clients,
    terminated: bool,
    leaving_since: Option<Instant>,
}

impl Service {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { spec, folder, claim_file, supervisor, process, control, engine, cgroup, limits, oom, signals } =
            parts;
        Self {
            sweep: Sweep::over(Tree::below_this_process(process, spec.key)),
            limit: OutputLimit::of(&folder),
            clients: Clients::of(control),
            phase: Phase::Running,
            durability: Durability::written(Instant::now()),
            time: TimeLimit::of(&spec.confinement),
            limits,
            was_killed: false,
            hooks: None,
            terminated: false,
            leaving_since: None,
            spec,
            folder,
            claim_file,
            engine,
            oom,
            supervisor,
            process,
            cgroup,
            signals,
        }
    }

    pub(super) const fn started(&self) -> Started {
        Started { process: self.process, supervisor: self.supervisor }
    }

    /// Serves until it is told to leave.
    pub(super) fn run(mut self) {
        loop {
            let now = Instant::now();
            for (pid, exit) in orphans::reap(&mut self.signals) {
                self.note_end(pid, exit, now);
            }
            if let Some(engine) = &mut self.engine {
                engine.advance(now);
            }
            self.clients.advance(now);
            self.carry_out_orders(now);
            self.sweep.advance(self.cgroup.as_ref(), now);
            self.watch_the_time(now);
            self.advance_ending(now);
            self.limit_hooks(now);
            self.limit.advance(now);
            self.durability.advance(&self.folder, now);
            if self.may_leave(now) {
                break;
            }
            self.wait(now);
        }
        if let Some(cgroup) = &self.cgroup {
            // The worker tries once more, and says so if it cannot.
            drop(cgroup.remove());
        }
        self.limits.remove();
    }

    fn note_end(&mut self, pid: i32, exit: Exit, now: Instant) {
        if pid == self.process.pid && matches!(self.phase, Phase::Running) {
            self.phase = Phase::ending(exit, now);
            self.sweep.begin(now);
            // Just now the number of the group is still its own; later ones look by descent alone.
            self.sweep.advance(self.cgroup.as_ref(), now);
            self.sweep.leader_is_reaped();
        } else {
            self.note_end_of_hooks(pid, exit, now);
        }
    }

    fn carry_out_orders(&mut self, now: Instant) {
        // Taken out meanwhile: an order may concern everything else.
        for mut client in self.clients.take() {
            let Some((order, asked)) = client.order() else {
                self.clients.keep(client);
                continue;
            };
            match self.carry_out(order, asked, now) {
                Some(answer) => client.answer(&answer),
                None => self.clients.keep(client),
            }
        }
    }

    /// Carries out an order; `None` as long as it has no answer. It is then asked for again.
    fn carry_out(&mut self, order: Order, asked: Instant, now: Instant) -> Option<Value> {
        match order {
            Order::Cancel => self.announce_cancellation(asked, now).map(|announced| json!(announced)),
            Order::Terminate => {
                self.terminate();
                Some(json!("done"))
            }
            Order::Kill => {
                self.was_killed = true;
                self.sweep.begin(now);
                self.sweep.advance(self.cgroup.as_ref(), now);
                Some(json!("done"))
            }
            Order::RunHooks(hooks) => self.run_hooks(hooks, now).map(|answer| json!(answer)),
            Order::Leave => {
                self.was_killed = true;
                self.leaving_since.get_or_insert(now);
                self.sweep.begin(now);
                Some(json!("done"))
            }
        }
    }

    fn announce_cancellation(&mut self, asked: Instant, now: Instant) -> Option<Announced> {
        let Some(engine) = &mut self.engine else { return Some(Announced::Unheard) };
        engine.cancel();
        engine.advance(now);
        engine.announced(asked, now)
    }

    /// Once only: a second signal would interrupt the engine's cancellation hooks.
    pub(super) fn terminate(&mut self) {
        let is_first = !std::mem::replace(&mut self.terminated, true);
        if is_first
            && matches!(self.phase, Phase::Running)
            && let Some(pid) = self.process.raw()
        {
            // It has not been waited for, so the number is its own.
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
    }

    fn may_leave(&self, now: Instant) -> bool {
        if matches!(self.phase, Phase::Ended) && !self.folder.path().exists() {
            return true;
        }
        let Some(since) = self.leaving_since else { return false };
        let is_done = matches!(self.phase, Phase::Ended) && self.sweep.is_over(now);
        is_done || now >= since + LEAVE_LIMIT
    }

    /// Blocks until there is something to do that there was not at `now`.
    fn wait(&self, now: Instant) {
        let deadlines = [
            self.sweep.deadline(),
            self.ending_deadline(now),
            self.time_deadline(),
            self.engine.as_ref().and_then(EnginePort::deadline),
            self.hooks.as_ref().and_then(RunningHooks::deadline),
            self.clients.deadline(),
            // An engine that does not answer wakes nobody.
            self.clients.asked(Order::Cancel).map(|asked| asked + ACKNOWLEDGEMENT_LIMIT),
            self.limit_deadline(),
            self.durability.deadline(),
            self.leaving_since.map(|since| since + LEAVE_LIMIT),
            // Whoever removes the folder by hand takes away all that could end this process.
            matches!(self.phase, Phase::Ended).then(|| Instant::now() + FOLDER_INTERVAL),
        ];
        let next = deadlines.into_iter().flatten().min();
        let timeout = next.and_then(|next| Timespec::try_from(next.saturating_duration_since(Instant::now())).ok());
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![readable(self.signals.as_fd())];
        fds.extend(self.clients.descriptors().map(readable));
        fds.extend(self.engine.iter().flat_map(EnginePort::descriptors).map(|(fd, has_outgoing)| {
            let wanted = if has_outgoing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            PollFd::from_borrowed_fd(fd, wanted)
        }));
        // Interrupted or not, the next round looks at everything.
        poll(&mut fds, timeout.as_ref()).unwrap_or_default();
    }

    /// Output is looked at as long as somebody may write.
    fn limit_deadline(&self) -> Option<Instant> {
        let may_grow =
            !matches!(self.phase, Phase::Ended) || self.hooks.as_ref().is_some_and(RunningHooks::are_under_way);
        may_grow.then(|| self.limit.deadline())
    }
}
