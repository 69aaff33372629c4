//! Answers as text for people.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use worker_config::place;

use super::answers::{ApiAnswer, Cancelled, DaemonState, Health, PoolStatus, RunSeen, Status, Why};
use crate::live_runs::Stage;

/// Two units are exact enough for people.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes, rest) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) if rest == 0 => format!("{minutes}m"),
        (0, 0, _) => format!("{minutes}m{rest}s"),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

fn ago(then: Timestamp, now: Timestamp) -> String {
    span(now.duration_since(then).try_into().unwrap_or_default())
}

/// Columns as wide as their widest cell.
fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(&head.map(str::to_owned));
    std::iter::once(head).chain(rows.iter().map(|row| line(row))).collect::<Vec<_>>().join("\n")
}

const fn state_word(state: DaemonState) -> &'static str {
    match state {
        DaemonState::Serving => "serving",
        DaemonState::Cordoned => "cordoned",
        DaemonState::Draining => "draining",
    }
}

const fn health_word(health: Health) -> &'static str {
    match health {
        Health::Opening => "opening",
        Health::Ok => "ok",
        Health::Missing => "missing at the API",
        Health::Paused => "paused at the API",
        Health::Unanswered => "the API does not answer",
        Health::Refused => "not served",
        Health::Left => "no longer asked for",
    }
}

const fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Claiming => "claiming",
        Stage::Preparing => "preparing",
        Stage::Launching => "launching",
        Stage::Running => "running",
        Stage::Stopping => "stopping",
        Stage::Reporting => "reporting",
        Stage::CleaningUp => "cleaning up",
    }
}

/// Daemons with their pools.
pub fn status_text(daemons: &[Status]) -> String {
    let blocks: Vec<String> = daemons.iter().map(one_status).collect();
    let live: usize = daemons.iter().map(|daemon| daemon.live).sum();
    let pools: usize = daemons.iter().map(|daemon| daemon.pools.len()).sum();
    let mut text = blocks.join("\n\n");
    if daemons.len() > 1 {
        let _infallible = write!(text, "\n\n{} workers, {pools} pools, {live} live runs", daemons.len());
    }
    text
}

fn one_status(daemon: &Status) -> String {
    let mut text = format!(
        "{}: {}, {}{} live runs, version {}, pid {}, up {}, {}\n",
        daemon.daemon,
        state_word(daemon.state),
        daemon.live,
        daemon.max_runs.map_or_else(String::new, |most| format!(" of at most {most}")),
        daemon.version,
        daemon.pid,
        span(Duration::from_secs(daemon.uptime_seconds)),
        if daemon.workspaces.is_empty() {
            daemon.api.clone()
        } else {
            format!("{} workspaces", daemon.workspaces.len())
        },
    );
    for workspace in &daemon.workspaces {
        let name = workspace.name.as_deref().unwrap_or(NAMELESS);
        let _infallible = writeln!(text, "workspace {name}: {}", workspace.api);
    }
    let rows: Vec<_> = daemon.pools.iter().map(pool_row).collect();
    text.push_str(&table(["POOL", "WORKER", "LIVE", "LIMIT", "LAST POLL", "HEALTH"], &rows));
    if daemon.live_elsewhere > 0 {
        let _infallible = write!(text, "\n{} live runs are of pools that it does not serve", daemon.live_elsewhere);
    }
    text
}

/// How the API of Prefect's own settings is called among others.
const NAMELESS: &str = "(own settings)";

fn pool_row(pool: &PoolStatus) -> [String; 6] {
    let polled = pool.last_poll_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let health = match (&pool.detail, pool.hold) {
        (Some(detail), _) => format!("{}: {detail}", health_word(pool.health)),
        (None, Some(hold)) => format!("{}, due runs wait: {hold}", health_word(pool.health)),
        (None, None) => health_word(pool.health).to_owned(),
    };
    [
        place(pool.workspace.as_deref(), &pool.name),
        pool.worker.clone().unwrap_or_else(|| "-".to_owned()),
        pool.live.to_string(),
        pool.limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
        polled.map_or_else(|| "-".to_owned(), |age| format!("{} ago", span(age))),
        health,
    ]
}

/// Live runs, one a line.
pub fn runs_table(runs: &[RunSeen], now: Timestamp) -> String {
    if runs.is_empty() {
        return "No live runs.".to_owned();
    }
    let row = |run: &RunSeen| {
        let infrastructure = run.infrastructure.clone().unwrap_or_else(|| "-".to_owned());
        let adopted = if run.adopted { "yes" } else { "-" }.to_owned();
        let stage = stage_word(run.stage).to_owned();
        [
            run.id.to_string(),
            run.name.clone(),
            place(run.workspace.as_deref(), &run.pool),
            stage,
            ago(run.since, now),
            infrastructure,
            adopted,
            run.daemon.clone(),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    table(["ID", "NAME", "POOL", "STAGE", "FOR", "INFRASTRUCTURE", "ADOPTED", "WORKER"], &rows)
}

/// The story of a run.
pub fn why_text(why: &Why, now: Timestamp) -> String {
    let placed = |pool: &String| format!(", pool '{}'", place(why.workspace.as_deref(), pool));
    let pool = why.pool.as_ref().map_or_else(String::new, placed);
    let mut lines = vec![format!("{} ({}){pool}", why.name, why.id)];
    if let Some(live) = &why.live {
        let infrastructure = live.infrastructure.as_ref().map_or_else(String::new, |id| format!(" as {id}"));
        let stage = stage_word(live.stage);
        lines.push(format!("Executed by {}: {stage}{infrastructure} for {}.", live.daemon, ago(live.since, now)));
    }
    lines.extend(why.visible.iter().cloned());
    let middle = why.notes.len() / 2;
    for (at, note) in why.notes.iter().enumerate() {
        if why.dropped > 0 && at == middle {
            lines.push(format!("  ... {} more ...", why.dropped));
        }
        lines.push(format!("  {:.3}  {}", note.at, note.text));
    }
    lines.join("\n")
}

/// What became of a cancellation.
pub fn cancelled(it: &Cancelled) -> String {
    let run = if it.name.is_empty() { it.id.to_string() } else { format!("{} ({})", it.name, it.id) };
    let here =
        if it.is_stopping { format!("{} is stopping it", it.daemon) } else { "it is not executed here".to_owned() };
    match &it.api {
        ApiAnswer::State(state) => format!("{run}: the API has it as {state}; {here}."),
        ApiAnswer::Refused(why) => format!("{run}: the API does not cancel it: {why}; {here}."),
        ApiAnswer::Away(why) if it.is_stopping => {
            format!("{run}: {here}. The API could not be told ({why}): the run's state follows when the API is back.")
        }
        ApiAnswer::Away(why) => format!("{run}: nothing was done. The API could not be told ({why}), and {here}."),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use worker_core::ids::RunId;

    use super::*;
    use crate::admission::Hold;
    use crate::timeline::Note;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn run() -> RunSeen {
        RunSeen {
            daemon: "daemon-1".to_owned(),
            id: RunId(Uuid::nil()),
            name: "calm-fox".to_owned(),
            pool: "gpu".to_owned(),
            workspace: None,
            stage: Stage::Running,
            since: time("2026-11-21T01:00:00Z"),
            infrastructure: Some("host:7".to_owned()),
            adopted: true,
        }
    }

    #[test]
    fn spans_have_at_most_two_units() {
        let spans = [5, 60, 72, 3_660, 90_000].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["5s", "1m", "1m12s", "1h1m", "1d1h"]);
    }

    #[test]
    fn a_status_shows_daemon_and_pools() {
        let pool = |name: &str, health, detail: Option<&str>| PoolStatus {
            name: name.to_owned(),
            workspace: None,
            worker: Some("w".to_owned()),
            live: 2,
            slots: 2,
            limit: Some(4),
            priority: 100,
            last_poll_seconds: Some(3.4),
            health,
            hold: None,
            detail: detail.map(str::to_owned),
        };
        let status = Status {
            daemon: "daemon-1".to_owned(),
            version: "0.1.0".to_owned(),
            pid: 7,
            api: "http://127.0.0.1:4200/api".to_owned(),
            workspaces: Vec::new(),
            started: time("2026-11-21T01:00:00Z"),
            uptime_seconds: 72,
            state: DaemonState::Cordoned,
            live: 3,
            max_runs: None,
            live_elsewhere: 1,
            pools: vec![
                PoolStatus { hold: Some(Hold::Memory), ..pool("gpu", Health::Ok, None) },
                pool("b", Health::Refused, Some("no such kind")),
            ],
        };
        insta::assert_snapshot!(status_text(&[status]), @r"
        daemon-1: cordoned, 3 live runs, version 0.1.0, pid 7, up 1m12s, http://127.0.0.1:4200/api
        POOL  WORKER  LIVE  LIMIT  LAST POLL  HEALTH
        gpu   w       2     4      3s ago     ok, due runs wait: this machine is short of memory
        b     w       2     4      3s ago     not served: no such kind
        1 live runs are of pools that it does not serve
        ");
    }

    #[test]
    fn runs_are_a_table() {
        insta::assert_snapshot!(runs_table(&[run()], time("2026-11-21T01:01:12Z")), @r"
        ID                                    NAME      POOL  STAGE    FOR    INFRASTRUCTURE  ADOPTED  WORKER
        00000000-0000-0000-0000-000000000000  calm-fox  gpu   running  1m12s  host:7          yes      daemon-1
        ");
        assert_eq!(runs_table(&[], Timestamp::UNIX_EPOCH), "No live runs.");
    }

    #[test]
    fn a_story_begins_with_now_and_shows_what_was_left_out() {
        let note = |at: &str, text: &str| Note { at: time(at), text: text.to_owned() };
        let why = Why {
            daemon: "daemon-1".to_owned(),
            id: RunId(Uuid::nil()),
            name: "calm-fox".to_owned(),
            pool: Some("gpu".to_owned()),
            workspace: None,
            pool_is_served: true,
            live: Some(run()),
            notes: vec![note("2026-11-21T01:00:00.25Z", "claimed"), note("2026-11-21T01:00:01Z", "started")],
            dropped: 3,
            visible: Vec::new(),
        };
        insta::assert_snapshot!(why_text(&why, time("2026-11-21T01:01:12Z")), @r"
        calm-fox (00000000-0000-0000-0000-000000000000), pool 'gpu'
        Executed by daemon-1: running as host:7 for 1m12s.
          2026-11-21T01:00:00.250Z  claimed
          ... 3 more ...
          2026-11-21T01:00:01.000Z  started
        ");
    }

    #[test]
    fn a_cancellation_without_the_api_says_when_the_state_follows() {
        let it = Cancelled {
            daemon: "daemon-1".to_owned(),
            id: RunId(Uuid::nil()),
            name: "calm-fox".to_owned(),
            api: ApiAnswer::Away("it does not answer".to_owned()),
            is_stopping: true,
        };
        let text = cancelled(&it);
        assert!(text.contains("daemon-1 is stopping it") && text.contains("when the API is back"), "{text}");
        let nothing = cancelled(&Cancelled { is_stopping: false, ..it });
        assert!(nothing.contains("nothing was done"), "{nothing}");
    }
}
