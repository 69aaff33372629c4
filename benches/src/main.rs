//! What the worker costs and how fast it is, beside `prefect worker start` and beside a bare loop over the same work.
//!
//! `scripts/bench [SCENARIO…]`; docs/benchmarks.md says what each figure means. It prints Markdown and exits with 1 if a run was
//! lost, executed twice or said to have crashed. It serves an API in memory, which measures itself, and starts one worker at a
//! time; both end with their scenario.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints its figures, and on the other stream how far it is"
)]

mod bare_loop;
mod conditions;
mod extent;
mod figures;
mod scenarios;
mod stage;
mod subject;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum as _};

use bare_loop::Part;
use extent::Extent;
use figures::Report;
use scenarios::Scenario;
use subject::Programs;

/// Measures the worker beside Prefect's own.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// What to measure; everything without
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// The smallest extent that shows something
    #[arg(long)]
    quick: bool,
    /// How often each figure is taken
    #[arg(long)]
    repeat: Option<usize>,
    /// Due runs of a short command, instead of 100, 1000, 5000 and 20000
    #[arg(long, value_delimiter = ',')]
    runs: Vec<usize>,
    /// Runs that execute at the same time, instead of 500, 2000 and 10000
    #[arg(long, value_delimiter = ',')]
    live: Vec<usize>,
    /// The worker to measure; the one that was built beside this program without
    #[arg(long, value_parser = program)]
    worker: Option<PathBuf>,
    /// Leave Prefect's worker out
    #[arg(long)]
    alone: bool,
    /// A setting of this worker, as `WORKER_NAME=VALUE`
    #[arg(long, value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("it has the form NAME=VALUE")?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}

/// A program, wherever the workers are started.
fn program(path: &str) -> Result<PathBuf, String> {
    let found = std::fs::canonicalize(path).map_err(|error| error.to_string())?;
    if found.is_file() { Ok(found) } else { Err("it is no file".to_owned()) }
}

#[tokio::main]
async fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match given.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // What it starts of itself; no words for people.
        [subject::BARE, api, pool, runs, part] => {
            let part = Part::from_str(part, true).unwrap_or(Part::All);
            bare_loop::run(api, pool, runs.parse().unwrap_or(0), part).await;
            return ExitCode::SUCCESS;
        }
        [scenarios::STAMP, folder] => {
            scenarios::stamp(folder);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    measure(Arguments::parse()).await
}

async fn measure(arguments: Arguments) -> ExitCode {
    let repeat = arguments.repeat.map(|times| times.max(1));
    let mut extent = if arguments.quick { Extent::quick() } else { Extent::full(3) };
    extent.repeat = repeat.unwrap_or(extent.repeat);
    if !arguments.runs.is_empty() {
        extent.short_runs = arguments.runs;
    }
    if !arguments.live.is_empty() {
        extent.live_runs = arguments.live;
    }
    let programs = Programs::find(arguments.worker, arguments.alone, arguments.set);
    let mut report = Report::default();
    if programs.prefect().is_none() {
        report.remark("`prefect worker` was left out. scripts/python-env installs it");
    }
    let load = conditions::load();
    let chosen = if arguments.scenarios.is_empty() { Scenario::all() } else { arguments.scenarios };
    for scenario in chosen {
        scenario.measure(&programs, &extent, &mut report).await;
    }
    println!("{}\n{report}", conditions::text(&programs, &load));
    if report.has_faults() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
