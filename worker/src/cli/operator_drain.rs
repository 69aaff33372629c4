//! `worker drain`.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::operator::{Answers, Asking};
use super::settings::Source;
use crate::console;
use crate::daemon::Stopped;
use crate::operator::{DrainWish, Draining, Ended, Line, RunSeen};

/// Between two looks at what is left.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A daemon that has said that it ended is gone within this.
const GONE: Duration = Duration::from_secs(5);
/// So many runs that are left are named.
const NAMED: usize = 5;

#[derive(Clone, Debug, Args)]
pub(super) struct DrainArgs {
    /// Stop the runs that are left after so many seconds [default: wait for as long as they take]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
    /// Do not wait for the end of the worker
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    asking: Asking,
}

fn seconds(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|seconds| Duration::try_from_secs_f64(*seconds).is_ok());
    parsed.ok_or_else(|| "it has to be a number of seconds, 0 or more".to_owned())
}

/// How one daemon ended.
#[derive(Debug, Serialize)]
struct Drained {
    daemon: String,
    pid: u32,
    /// None if it ended without saying how, or is not waited for.
    stopped: Option<Stopped>,
}

pub(super) async fn drain(args: &DrainArgs, from: Source) -> Result<ExitCode, String> {
    let lines = args.asking.lines(from).await?;
    let wish = DrainWish { timeout_seconds: args.timeout };
    let one = async |line: &Line| {
        let draining: Draining = line.post("/drain", &wish).await?;
        say(args, &draining);
        let stopped = if args.no_wait { None } else { wait(args, line, &draining).await };
        Ok(Drained { daemon: draining.daemon, pid: draining.pid, stopped })
    };
    let answers = Answers::sort(futures::future::join_all(lines.iter().map(one)).await);
    if args.asking.json {
        args.asking.print(&answers.given, |_| String::new());
    }
    let in_order = answers.given.iter().all(|drained| args.no_wait || drained.stopped == Some(Stopped::InOrder));
    Ok(if answers.complete && in_order { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(args: &DrainArgs, draining: &Draining) {
    if args.asking.json {
        return;
    }
    let Draining { daemon, live, already, .. } = draining;
    match (already, args.timeout) {
        (true, Some(_)) => {
            console::line(&format!("{daemon} was stopping already, {live} runs are left; --timeout does not count"));
        }
        (true, None) => console::line(&format!("{daemon} was stopping already, {live} runs are left")),
        (false, _) => console::line(&format!("{daemon} takes no more runs, {live} runs are left")),
    }
}

/// Shows what is left until the daemon has ended.
async fn wait(args: &DrainArgs, line: &Line, draining: &Draining) -> Option<Stopped> {
    let process = process(draining.pid);
    let ended = line.await_answer::<Ended>("/end");
    tokio::pin!(ended);
    let mut shown = Some(draining.live);
    let ended = loop {
        tokio::select! {
            ended = &mut ended => break ended,
            () = sleep(LOOK_AGAIN) => {}
        }
        // A daemon that does not answer now has ended, and the other question says how.
        let Ok(runs) = line.get::<Vec<RunSeen>>("/runs").await else { continue };
        if shown.replace(runs.len()) != Some(runs.len()) && !args.asking.json {
            console::line(&format!("{}: {}", draining.daemon, left(&runs)));
        }
    };
    until_gone(process).await;
    let stopped = ended.ok().map(|ended| ended.stopped);
    if !args.asking.json {
        let how = match stopped {
            Some(Stopped::InOrder) => "has ended, and every run is over or goes on as it should",
            Some(Stopped::DrainTimedOut) => "has ended; the time was over, and runs that were left were stopped",
            Some(Stopped::AtOnce) => "has ended at once, because of a second signal",
            None => "has ended without saying how; its log may tell",
        };
        console::line(&format!("{} {how}", draining.daemon));
    }
    stopped
}

fn left(runs: &[RunSeen]) -> String {
    let names: Vec<&str> = runs.iter().take(NAMED).map(|run| run.name.as_str()).collect();
    match runs.len() {
        0 => "no runs are left; what they said is brought to the API".to_owned(),
        count if count > NAMED => format!("{count} runs are left: {} and others", names.join(", ")),
        count => format!("{count} runs are left: {}", names.join(", ")),
    }
}

/// Waits for the end of the process: whoever drains a worker may want to start the next one at once. A process that cannot
/// be watched is gone already, or out of sight.
async fn until_gone(process: Option<AsyncFd<OwnedFd>>) {
    if let Some(process) = process {
        drop(tokio::time::timeout(GONE, process.readable()).await);
    }
}

#[expect(
    deprecated,
    reason = "it is deprecated for descriptors that may change; an OwnedFd does not, and the other way is unsafe"
)]
fn process(pid: u32) -> Option<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    AsyncFd::new(pidfd_open(pid, PidfdFlags::empty()).ok()?).ok()
}
