//! What the journal costs a run: `cargo run --release -p worker --example journal_cost [FOLDER]`.
//!
//! Writes what one run writes, one run after the other and many at once, and prints the time for which a run waits in all.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use uuid::Uuid;
use worker::journal::{self, DiskJournal, FORMAT, Facts, Journal, Record};
use worker_core::handle::{Detail, Handle, PluginKind};
use worker_core::ids::{FlowId, InfraId, LaunchKey, RunId, TransitionId, WorkPoolId};
use worker_core::machine::{Outcome, Phase, Run};
use worker_core::spec::ReportState;

const RUNS: usize = 1_000;
const AT_ONCE: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = Utf8PathBuf::from_path_buf(folder).map_err(|_| "the folder's name is not UTF-8")?;
    let folder = folder.join(format!("journal-cost-{}", std::process::id()));
    fs_err::create_dir_all(&folder)?;
    let measured = measure(&folder).await;
    fs_err::remove_dir_all(&folder)?;
    measured
}

async fn measure(folder: &Utf8Path) -> Result<(), Box<dyn std::error::Error>> {
    let journal = Arc::new(journal::open(folder)?.journal);
    let mut alone = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        alone.push(one_run(&journal).await?);
    }
    show("one run after the other", &mut alone);
    let mut together = Vec::with_capacity(RUNS);
    let begun = Instant::now();
    for _ in 0..RUNS / AT_ONCE {
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let journal = Arc::clone(&journal);
                tokio::spawn(async move { one_run(&journal).await })
            })
            .collect();
        for task in tasks {
            together.push(task.await??);
        }
    }
    let took = begun.elapsed();
    show(&format!("{AT_ONCE} runs at once"), &mut together);
    let per_run = took / u32::try_from(RUNS)?;
    println!("{AT_ONCE} runs at once, per run: {per_run:?}");
    Ok(())
}

/// The writes of a run that goes well, in their order. Returns how long it waited for them in all.
async fn one_run(journal: &DiskJournal) -> Result<Duration, journal::JournalError> {
    let key = LaunchKey { run: RunId(Uuid::new_v4()), claim: TransitionId(Uuid::new_v4()) };
    let handle = Handle {
        cancels_itself: false,
        kind: PluginKind::new("process"),
        version: 2,
        key,
        infra_id: InfraId("12345".to_owned()),
        report_state: ReportState::Engine,
        detail: Detail::of(&serde_json::json!({"process": {"pid": 12345, "started": 1}, "boot_id": Uuid::nil()}))
            .unwrap_or_default(),
    };
    let settled = Outcome::Settled(worker_core::exit::Exit::Code(0));
    let begun = Instant::now();
    journal.persist(&record(key, Phase::Claiming)).await?;
    journal.persist_soon(&record(key, Phase::Preparing));
    journal.persist(&record(key, Phase::Launching)).await?;
    journal.persist_soon(&record(key, Phase::Running(handle.clone())));
    journal.persist(&record(key, Phase::Reporting(settled, Some(handle.clone())))).await?;
    journal.persist_soon(&record(key, Phase::CleaningUp(handle)));
    journal.forget(key);
    Ok(begun.elapsed())
}

fn record(key: LaunchKey, phase: Phase) -> Record {
    Record {
        format: FORMAT,
        run: Run { phase, ..Run::offered(key) },
        facts: Facts {
            name: "calm-fox".to_owned(),
            flow_id: FlowId(Uuid::nil()),
            deployment_id: None,
            due: None,
            pool: "pool".to_owned(),
            pool_id: WorkPoolId(Uuid::nil()),
            kind: PluginKind::new("process"),
            worker: "worker".to_owned(),
            told: None,
            trace: None,
        },
        timeline: Vec::new(),
    }
}

fn show(what: &str, waited: &mut [Duration]) {
    waited.sort_unstable();
    let at = |share: usize| waited.get(waited.len() * share / 100).copied().unwrap_or_default();
    println!("{what}: waited per run, median {:?}, p95 {:?}, p99 {:?}", at(50), at(95), at(99));
}
