//! Taking over runs that an earlier process left.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use camino::Utf8PathBuf;
use central_api_client::{Client, EventEmitter, LogShipper};
use central_api_wire::flow_run::FlowRun;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::WorkPoolId;
use worker_core::machine::Run;
use worker_core::rerun::RerunPolicy;

use crate::console::OutputSink;
use crate::control_plane::RemoteControlPlane;
use crate::dispatcher::Dispatcher;
use crate::journal::{self, DiskJournal, FORMAT, Facts, Journal, Record};
use crate::live_runs::{LiveRuns, PoolIndex};
use crate::refusals::Refusals;
use crate::registry::Registry;
use crate::run::{ErrorChain, RunSettings, Surroundings, WorkerIdentity};
use crate::state_folder::{self, StateFolder};
use crate::timeline::Timelines;

/// What the runs of a daemon have in common, whatever pool they come from.
#[derive(Clone)]
pub struct Common {
    /// The API.
    pub client: Client,
    /// Run logs.
    pub logs: LogShipper,
    /// Events.
    pub events: EventEmitter,
    /// All live runs.
    pub live: LiveRuns,
    /// The actors of all pools.
    pub actors: TaskTracker,
    /// The journal.
    pub journal: Arc<DiskJournal>,
    /// Where the output of flow processes goes.
    pub output: OutputSink,
    /// Settings of runs.
    pub run_settings: Arc<RunSettings>,
    /// Decisions.
    pub timelines: Timelines,
}

impl Common {
    /// The surroundings of the runs that a worker takes from a pool. The client is the one attributed to that worker.
    pub fn surroundings(
        &self,
        client: Client,
        identity: Arc<WorkerIdentity>,
        plugin: Arc<dyn infra_contract::InfraPlugin>,
        rerun: Arc<RerunPolicy>,
    ) -> Surroundings {
        let api = RemoteControlPlane::new(client, self.logs.clone(), self.events.clone());
        Surroundings {
            identity,
            api: Arc::new(api),
            plugin,
            journal: Arc::<DiskJournal>::clone(&self.journal),
            output: self.output.clone(),
            settings: Arc::clone(&self.run_settings),
            timelines: self.timelines.clone(),
            rerun,
        }
    }
}

/// How an adopted run finds its place.
pub struct Adoption {
    /// What runs have in common.
    pub common: Common,
    /// The plugins.
    pub registry: Arc<Registry>,
    /// The pools that this daemon serves.
    pub pools: HashMap<String, (PoolIndex, Arc<RerunPolicy>)>,
    /// Our own folder.
    pub folder: Arc<StateFolder>,
    /// Where folders of other daemons are.
    pub state_dir: Utf8PathBuf,
    /// The API that they must belong to.
    pub api_url: Url,
}

impl Adoption {
    /// Goes on with a run. False if it cannot, or need not because it is live.
    pub fn adopt(&self, record: Record) -> bool {
        let Some(dispatcher) = self.dispatcher(&record.facts) else {
            tracing::error!(
                run = %record.run.key.run,
                "a run of kind '{}' was left here, and this worker does not have that kind; it stays as it is",
                record.facts.kind
            );
            return false;
        };
        dispatcher.resume(record)
    }

    fn dispatcher(&self, facts: &Facts) -> Option<Dispatcher> {
        let plugin = self.registry.plugin(&facts.kind)?.plugin;
        let (pool, rerun) =
            self.pools.get(&facts.pool).cloned().unwrap_or_else(|| (PoolIndex::ELSEWHERE, Arc::default()));
        // Its events and requests name the worker that took it.
        let name = facts.worker.clone();
        let client = self.common.client.attributed(&name);
        let identity = Arc::new(WorkerIdentity { name, kind: facts.kind.clone(), id: OnceLock::new() });
        Some(Dispatcher {
            pool,
            limit: None,
            live: self.common.live.clone(),
            refusals: Refusals::default(),
            tasks: self.common.actors.clone(),
            around: self.common.surroundings(client, identity, plugin, rerun),
        })
    }

    /// Takes over what daemons of the same API left that did not come back.
    pub async fn adopt_left(&self) {
        for left in state_folder::take_left(&self.folder, &self.state_dir, &self.api_url) {
            if let Err(error) = self.adopt_folder(&left).await {
                tracing::error!("what {} left cannot be taken over, and will be tried again: {error}", left.name());
            }
        }
    }

    /// Takes over one folder that nobody holds: its marks and its records. Whenever this process dies meanwhile, nobody but
    /// the next one in our folder goes on with it, so that no run has two daemons.
    async fn adopt_folder(&self, left: &StateFolder) -> io::Result<()> {
        if !left.path().join(journal::FILE).exists() {
            return Ok(());
        }
        self.folder.begin_taking_over(left)?;
        let opened = journal::open(left.path()).map_err(io::Error::other)?;
        for record in opened.records {
            let run = record.run.key.run;
            if self.common.live.is_live(run) {
                continue;
            }
            self.common.journal.persist(&record).await.map_err(io::Error::other)?;
            tracing::info!(%run, "taken over from {}, whose worker did not come back", left.name());
            self.adopt(record);
        }
        drop(opened.journal);
        StateFolder::end_taking_over(left)
    }

    /// Takes over infrastructure that no record tells of, for a run that goes on.
    pub async fn adopt_stray(&self, handle: Handle, run: &FlowRun) {
        let key = handle.key;
        let text = |name: &str| run.other.get(name).and_then(Value::as_str).map(str::to_owned);
        let facts = Facts {
            name: run.name.clone(),
            flow_id: run.flow_id,
            deployment_id: run.deployment_id,
            due: run.next_scheduled_start_time,
            pool: text("work_pool_name").unwrap_or_default(),
            pool_id: text("work_pool_id").and_then(|id| id.parse().ok()).unwrap_or(WorkPoolId(Uuid::nil())),
            kind: PluginKind::clone(&handle.kind),
            worker: label(run, "prefect.worker.name").unwrap_or_else(|| "unknown".to_owned()),
            told: None,
        };
        let timeline = vec![crate::timeline::Note {
            at: Timestamp::now(),
            text: "found running, with no record of it".to_owned(),
        }];
        let record = Record { format: FORMAT, run: Run::found(handle), facts, timeline };
        tracing::warn!(run = %key.run, "its infrastructure was found with no record of it; it is taken over");
        if let Err(error) = self.common.journal.persist(&record).await {
            tracing::error!(run = %key.run, "a run cannot be taken over: {}", ErrorChain(&error));
            return;
        }
        self.adopt(record);
    }
}

fn label(run: &FlowRun, name: &str) -> Option<String> {
    run.labels.as_ref()?.get(name)?.as_str().map(str::to_owned)
}
