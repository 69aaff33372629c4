//! From the command's end to the written word about it.

use std::time::{Duration, Instant};

use worker_core::exit::{Exit, ExitReport};

use super::durability::Durability;
use super::service::Service;
use super::stderr;
use crate::claim_file::Word;
use crate::exit_detail;

/// How long the engine's last words may take after its end. They are in the socket by then.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Between two attempts to write the end down: a full disk may have room again.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// What a shell says of a command that was killed.
const KILLED_CODE: i32 = 128 + 9;

/// How far a run is.
#[derive(Debug)]
pub(super) enum Phase {
    Running,
    /// The command has ended; what it left is being killed, and its end is to be written down.
    Ending {
        exit: Exit,
        since: Instant,
        next_attempt: Instant,
    },
    /// The end is written.
    Ended,
}

impl Phase {
    pub(super) const fn ending(exit: Exit, now: Instant) -> Self {
        Self::Ending { exit, since: now, next_attempt: now }
    }
}

impl Service {
    /// Writes the end down once nothing of the run is left and the engine has nothing more to say.
    pub(super) fn advance_ending(&mut self, now: Instant) {
        let Phase::Ending { exit, since, next_attempt } = self.phase else { return };
        if self.may_speak(since, now) || now < next_attempt || !self.sweep.is_over(now) {
            return;
        }
        let is_written = self.claim_file.add(&Word::Exit(self.report(exit))).is_ok();
        // Where somebody has removed the folder there is nobody to tell either.
        if is_written || !self.folder.path().exists() {
            self.phase = Phase::Ended;
            self.durability = Durability::written(now);
            self.engine = None;
            self.limit.look(now);
        } else {
            self.phase = Phase::Ending { exit, since, next_attempt: now + WRITE_INTERVAL };
        }
    }

    pub(super) fn ending_deadline(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Ending { since, .. } if self.may_speak(since, now) => Some(since + LAST_WORDS),
            // The sweep has a deadline of its own.
            Phase::Ending { next_attempt, .. } if self.sweep.deadline().is_none() => Some(next_attempt),
            Phase::Running | Phase::Ending { .. } | Phase::Ended => None,
        }
    }

    /// Whether the engine's last words may be still to come. What the command left may hold its connection open for long.
    fn may_speak(&self, since: Instant, now: Instant) -> bool {
        let is_open = self.engine.as_ref().is_some_and(crate::control::EnginePort::is_open);
        is_open && now < since + LAST_WORDS
    }

    fn report(&self, exit: Exit) -> ExitReport {
        let looks_killed = matches!(exit, Exit::Signal(9) | Exit::Code(KILLED_CODE)) && !self.was_killed;
        let evidence = looks_killed.then(|| self.oom.evidence()).flatten();
        let exit = if evidence.is_some() { Exit::OutOfMemory } else { exit };
        // One word is an interpreter; more are a program that finds one.
        let interpreter = match self.spec.python.as_slice() {
            [interpreter] => Some(interpreter.as_str()),
            _ => None,
        };
        let detail = || exit_detail::of(exit, &stderr::end_of(&self.folder), interpreter, &self.spec.environment);
        let stderr = if exit.is_success() { None } else { detail() };
        let detail: Vec<String> = self.time.evidence().into_iter().chain(evidence).chain(stderr).collect();
        ExitReport {
            exit,
            concluded: self.engine.as_ref().and_then(|engine| engine.concluded().cloned()),
            detail: (!detail.is_empty()).then(|| detail.join("; ")),
        }
    }
}
