//! How a container ended. Pure.

use bollard::models::{ContainerState, ContainerStateStatusEnum as Status};
use jiff::{SignedDuration, Timestamp};
use worker_core::exit::{Exit, ExitReport};

use crate::engine_loss::Away;

/// Exit codes of a container that was ended from outside: by SIGKILL, by SIGTERM, or by an engine that does not know.
const FROM_OUTSIDE: [i64; 3] = [137, 143, 255];
/// An engine that goes away ends its containers a little before its connections.
const BEFORE_THE_LOSS: SignedDuration = SignedDuration::from_secs(30);

/// What else is known when a container has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings {
    /// The exit code that waiting brought.
    pub(crate) waited: Option<i64>,
    /// Whether this worker stopped it.
    pub(crate) was_stopped: bool,
    /// When the engine was lost, and when it was back.
    pub(crate) engine_away: Option<Away>,
    /// When this host was started, if the container was on it.
    pub(crate) boot: Option<Timestamp>,
    /// Its memory limit in bytes, if it had one.
    pub(crate) memory_limit: Option<i64>,
}

/// Whether the engine itself should be looked at, because it may have ended the container.
pub(crate) fn may_be_the_engines_doing(code: i64, was_stopped: bool) -> bool {
    FROM_OUTSIDE.contains(&code) && !was_stopped
}

/// Whether a container runs, or will again.
pub(crate) fn is_live(state: &ContainerState) -> bool {
    match state.status {
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING) => true,
        Some(Status::CREATED | Status::EXITED | Status::DEAD | Status::REMOVING) => false,
        Some(Status::EMPTY) | None => state.running.unwrap_or(false) || state.restarting.unwrap_or(false),
    }
}

/// How a container that does not run any more ended; `None` for the state if it is gone.
pub(crate) fn judge(state: Option<&ContainerState>, around: &Surroundings) -> ExitReport {
    let Some(state) = state else { return of_removed(around) };
    let code = around.waited.or(state.exit_code).unwrap_or(-1);
    if state.oom_killed == Some(true) && code != 0 && !around.was_stopped {
        let limit = around.memory_limit.filter(|limit| *limit > 0);
        let detail = limit.map_or_else(
            || "the kernel ended it because memory ran out".to_owned(),
            |limit| format!("it used more memory than its limit of {} MiB", limit / (1024 * 1024)),
        );
        return told(Exit::OutOfMemory, Some(detail));
    }
    if may_be_the_engines_doing(code, around.was_stopped) {
        let (started, finished) = (time(state.started_at.as_deref()), time(state.finished_at.as_deref()));
        if let (Some(boot), Some(started), Some(finished)) = (around.boot, started, finished)
            && started < boot
            && finished >= boot
        {
            return told(Exit::NodeLost, Some("its host was started anew while it ran".to_owned()));
        }
        if ended_with_the_engine(finished, around.engine_away) {
            return told(Exit::NodeLost, Some("the Docker engine was stopped or restarted while it ran".to_owned()));
        }
    }
    let error = state.error.clone().filter(|error| !error.is_empty());
    told(Exit::Code(i32::try_from(code).unwrap_or(-1)), error)
}

fn of_removed(around: &Surroundings) -> ExitReport {
    match around.waited {
        Some(code) if !may_be_the_engines_doing(code, around.was_stopped) => {
            told(Exit::Code(i32::try_from(code).unwrap_or(-1)), None)
        }
        Some(_) | None => {
            told(Exit::Vanished, Some("the container was removed from outside while the run was not over".to_owned()))
        }
    }
}

fn ended_with_the_engine(finished: Option<Timestamp>, away: Option<Away>) -> bool {
    let (Some(finished), Some((lost, back))) = (finished, away) else { return false };
    let from = lost.checked_sub(BEFORE_THE_LOSS).unwrap_or(lost);
    let until = back.and_then(|back| back.checked_add(BEFORE_THE_LOSS).ok()).unwrap_or(Timestamp::MAX);
    (from..=until).contains(&finished)
}

const fn told(exit: Exit, detail: Option<String>) -> ExitReport {
    ExitReport { exit, concluded: None, detail }
}

/// A time of the engine; its zero means never.
pub(crate) fn time(text: Option<&str>) -> Option<Timestamp> {
    let time: Timestamp = text?.parse().ok()?;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i64, oom_killed: bool) -> ContainerState {
        ContainerState {
            status: Some(Status::EXITED),
            exit_code: Some(code),
            oom_killed: Some(oom_killed),
            started_at: Some("2026-11-26T10:00:00Z".to_owned()),
            finished_at: Some("2026-11-26T11:00:00.5Z".to_owned()),
            ..ContainerState::default()
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn exit(state: &ContainerState, around: Surroundings) -> Exit {
        judge(Some(state), &around).exit
    }

    #[test]
    fn c098_the_exit_code_is_the_one_that_waiting_brought() {
        let waited = Surroundings { waited: Some(7), ..Surroundings::default() };
        assert_eq!(exit(&exited(0, false), waited), Exit::Code(7));
        assert_eq!(exit(&exited(9, false), Surroundings::default()), Exit::Code(9));
    }

    #[test]
    fn out_of_memory_is_told_with_the_limit_and_not_where_the_run_went_on() {
        let around = Surroundings { memory_limit: Some(64 * 1024 * 1024), ..Surroundings::default() };
        let report = judge(Some(&exited(137, true)), &around);
        assert_eq!(report.exit, Exit::OutOfMemory);
        assert_eq!(report.detail.as_deref(), Some("it used more memory than its limit of 64 MiB"));
        assert_eq!(exit(&exited(0, true), around), Exit::Code(0), "a child was killed, the run was not");
    }

    #[test]
    fn an_end_with_the_engine_is_told_from_an_end_by_itself() {
        let lost = at("2026-11-26T11:00:02Z");
        let away =
            Surroundings { engine_away: Some((lost, Some(at("2026-11-26T11:00:20Z")))), ..Surroundings::default() };
        for code in [137, 143, 255] {
            assert_eq!(exit(&exited(code, false), away), Exit::NodeLost, "{code}");
            let stopped = Surroundings { was_stopped: true, ..away };
            assert_eq!(exit(&exited(code, false), stopped), Exit::Code(i32::try_from(code).unwrap()));
        }
        assert_eq!(exit(&exited(1, false), away), Exit::Code(1));
        assert_eq!(exit(&exited(137, false), Surroundings::default()), Exit::Code(137));
        let long_ago =
            Surroundings { engine_away: Some((at("2026-11-26T09:00:00Z"), Some(at("2026-11-26T09:00:09Z")))), ..away };
        assert_eq!(exit(&exited(137, false), long_ago), Exit::Code(137));
    }

    #[test]
    fn a_container_that_was_running_when_its_host_started_anew_was_lost_with_it() {
        let boot = |time| Surroundings { boot: Some(at(time)), ..Surroundings::default() };
        assert_eq!(exit(&exited(255, false), boot("2026-11-26T10:30:00Z")), Exit::NodeLost);
        assert_eq!(exit(&exited(255, false), boot("2026-11-26T09:00:00Z")), Exit::Code(255));
    }

    #[test]
    fn a_container_that_is_gone_was_removed_unless_it_had_ended() {
        let gone = |waited| judge(None, &Surroundings { waited, ..Surroundings::default() }).exit;
        assert_eq!(gone(Some(0)), Exit::Code(0));
        assert_eq!(gone(Some(3)), Exit::Code(3));
        assert_eq!(gone(Some(137)), Exit::Vanished);
        assert_eq!(gone(None), Exit::Vanished);
    }
}
