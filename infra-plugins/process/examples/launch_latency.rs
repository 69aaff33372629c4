//! How much later a command starts under a supervisor: `cargo run --release -p infra-process --example launch_latency`, after
//! `cargo build --release -p infra-process`.
//!
//! Starts the same command plainly and under a supervisor in turn; the command writes down when it started.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use futures::StreamExt as _;
use infra_contract::{InfraEvent, InfraPlugin as _, Owner, Unheard};
use infra_process::{ProcessPlugin, ProcessSettings, SupervisorProgram};
use serde_json::Map;
use tokio::process::Command;
use uuid::Uuid;
use worker_core::ids::{LaunchKey, RunId, TransitionId};
use worker_core::spec::{ReportState, RunSpec};

const TIMES: usize = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = Utf8PathBuf::from_path_buf(std::env::temp_dir()).map_err(|_| "the folder's name is not UTF-8")?;
    let folder = folder.join(format!("launch-latency-{}", std::process::id()));
    fs_err::create_dir_all(&folder)?;
    let measured = measure(&folder).await;
    fs_err::remove_dir_all(&folder)?;
    measured
}

async fn measure(folder: &Utf8Path) -> Result<(), Box<dyn Error>> {
    let example = std::env::current_exe()?;
    let programs = example.parent().and_then(|folder| folder.parent()).ok_or("no folder of programs")?;
    let supervisor = Utf8PathBuf::from_path_buf(programs.join("process-supervisor")).map_err(|_| "not UTF-8")?;
    let plugin = ProcessPlugin::new(ProcessSettings {
        python: None,
        inheritance: infra_process::Inheritance::Everything,
        warm: infra_process::Warm::Off,
        confinement: infra_process::Confinement::default(),
        profiles: BTreeMap::new(),
        worker_environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        runs_directory: folder.join("runs"),
        owner: Owner::new("latency"),
        supervisor: SupervisorProgram::new(supervisor),
    });
    let started = folder.join("started");
    let script = format!("date +%s%N > {started}");
    let (mut plain, mut supervised) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let asked = now()?;
        Command::new("sh").arg("-c").arg(&script).spawn()?.wait().await?;
        plain.push(at(&started)?.saturating_sub(asked));

        let plan = plugin.prepare(&spec(&script)).await?;
        let asked = now()?;
        let handle = plugin.launch(&plan, &Unheard).await?;
        let mut events = plugin.watch(&handle).await?;
        while !matches!(events.next().await, None | Some(Ok(InfraEvent::Exited(_)))) {}
        supervised.push(at(&started)?.saturating_sub(asked));
        plugin.cleanup(&handle).await?;
    }
    let (plain, supervised) = (median(&mut plain), median(&mut supervised));
    println!("asked to started, plainly: {plain:?} in the median of {TIMES}");
    println!("asked to started, under a supervisor: {supervised:?}");
    println!("added: {:?}", supervised.saturating_sub(plain));
    Ok(())
}

fn spec(script: &str) -> RunSpec {
    RunSpec {
        key: LaunchKey { run: RunId(Uuid::new_v4()), claim: TransitionId(Uuid::new_v4()) },
        flow_run_name: "latency".to_owned(),
        name: "latency".to_owned(),
        command: Some(format!("sh -c '{script}'")),
        env: BTreeMap::new(),
        env_from: Vec::new(),
        configured_env: BTreeSet::new(),
        worker_settings: BTreeMap::new(),
        labels: BTreeMap::new(),
        fields: Map::new(),
        block_texts: BTreeSet::new(),
        code: None,
        entrypoint: None,
        report_state: ReportState::Worker,
    }
}

fn now() -> Result<Duration, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn at(file: &Utf8Path) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::from_nanos(fs_err::read_to_string(file)?.trim().parse()?))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
