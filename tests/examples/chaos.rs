//! Rounds of chaos until the time is over: `chaos [--minutes N] [--seed S]`. Round `n` is that of seed `S + n`, so
//! `--minutes 0 --seed S` replays the one that a failure names.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use worker_tests::chaos::{Arena, Plan, Report, Tally, play};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the summary is what this program is for")]
async fn main() -> Result<ExitCode, String> {
    let (minutes, first) = arguments(std::env::args().skip(1))?;
    let begun = Instant::now();
    let mut tally = Tally::default();
    for seed in first.. {
        let plan = Plan::seeded(seed);
        let round = async { play(&Arena::in_memory(seed).await, &plan).await };
        let report = AssertUnwindSafe(round).catch_unwind().await.unwrap_or_else(|_| Report {
            seed,
            violations: vec!["the round itself could not go on; see above".to_owned()],
            ..Report::default()
        });
        let verdict = if report.violations.is_empty() { "passed" } else { "FAILED" };
        println!("  {verdict} seed {seed}: {} runs, settled in {:.1} s", report.runs, report.settled_in.as_secs_f32());
        tally.add(report);
        if begun.elapsed() >= Duration::from_secs(60 * minutes) {
            break;
        }
    }
    println!("{tally}");
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The minutes and the first seed.
fn arguments(mut words: impl Iterator<Item = String>) -> Result<(u64, u64), String> {
    let (mut minutes, mut seed) = (1, rand::random());
    while let Some(word) = words.next() {
        let value = words.next().and_then(|value| value.parse().ok());
        let value: u64 = value.ok_or_else(|| format!("{word} needs a whole number"))?;
        match word.as_str() {
            "--minutes" => minutes = value,
            "--seed" => seed = value,
            _ => return Err(format!("{word} is not known; there are --minutes and --seed")),
        }
    }
    Ok((minutes, seed))
}
