//! Taking over runs that an earlier process left.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use central_api_client::{EventEmitter, LogShipper, Spool};
use central_api_wire::flow_run::FlowRun;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::{LaunchKey, WorkPoolId};
use worker_core::machine::Run;

use crate::budget::{Budget, Priority};
use crate::dispatcher::Dispatcher;
use crate::journal::{self, FORMAT, Facts, Journal, Record};
use crate::live_runs::{PoolIndex, WorkspaceIndex};
use crate::metrics::Repaired;
use crate::operator::Pools;
use crate::refusals::Refusals;
use crate::registry::{Registered, Registry};
use crate::resources::Resources;
use crate::run::{ErrorChain, WorkerIdentity};
use crate::state_folder::{self, StateFolder};
use crate::timeline::Note;

/// A daemon that is restarted is back within this time, and finds its own folder.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(3);

/// How an adopted run finds its place.
pub struct Adoption {
    /// What runs share.
    pub resources: Resources,
    /// The plugins.
    pub registry: Arc<Registry>,
    /// The API that the runs are of.
    pub workspace: WorkspaceIndex,
    /// The pools that this daemon serves.
    pub pools: Pools,
    /// Runs that are taken over count for it; they are taken over also where it is spent.
    pub budget: Budget,
    /// Our own folder.
    pub folder: Arc<StateFolder>,
    /// Where folders of other daemons are.
    pub state_dir: Utf8PathBuf,
    /// The API that they must belong to.
    pub api_url: Url,
    /// Ends the delivery of what others had spooled.
    pub deliveries: CancellationToken,
    /// The tasks that deliver it.
    pub deliverers: TaskTracker,
    /// Since when folders are known to be left.
    pub left_since: Mutex<HashMap<String, Instant>>,
    /// Records that had no actor when they were last looked at.
    pub forgotten: Mutex<HashSet<LaunchKey>>,
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
        let Registered { plugin, slots_held, .. } = self.registry.plugin(&facts.kind)?;
        let (pool, rerun, sandbox) = match self.pools.named(self.workspace, &facts.pool) {
            Some(pool) => (pool.index, Arc::new(pool.plan.rerun.clone()), Arc::new(pool.plan.sandbox.clone())),
            None => (PoolIndex::elsewhere(self.workspace), Arc::default(), Arc::default()),
        };
        // Its events and requests name the worker that took it.
        let name = facts.worker.clone();
        let client = self.resources.client.attributed(&name);
        let identity = Arc::new(WorkerIdentity { name, kind: facts.kind.clone(), id: OnceLock::new() });
        Some(Dispatcher {
            pool,
            limit: None,
            budget: self.budget.clone(),
            priority: Priority(1),
            slots_held,
            live: self.resources.live.clone(),
            refusals: Refusals::default(),
            tasks: self.resources.actors.clone(),
            around: self.resources.surroundings(client, identity, plugin, rerun, sandbox),
        })
    }

    /// Takes over what daemons of the same API left that did not come back. One that was only just left may be about to come
    /// back, and is looked at again: true if there is such a one.
    pub async fn adopt_left(&self) -> bool {
        let mut more_to_come = false;
        for left in state_folder::take_left(&self.folder, &self.state_dir, &self.api_url) {
            if !left.is_worth_taking_over() {
                continue;
            }
            let since = *self.left_since().entry(left.name().to_owned()).or_insert_with(Instant::now);
            if since.elapsed() < COMES_BACK_WITHIN {
                more_to_come = true;
                continue;
            }
            self.left_since().remove(left.name());
            if let Err(error) = self.adopt_folder(&left).await {
                tracing::error!("what {} left cannot be taken over, and will be tried again: {error}", left.name());
            }
        }
        more_to_come
    }

    fn left_since(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.left_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over one folder that nobody holds: its marks, its records, and what it had to deliver. Whenever this process dies
    /// meanwhile, nobody but the next one in our folder goes on with it, so that no run has two daemons.
    async fn adopt_folder(&self, left: &StateFolder) -> io::Result<()> {
        self.folder.begin_taking_over(left)?;
        if left.path().join(journal::FILE).exists() {
            let opened = journal::open(left.path()).map_err(io::Error::other)?;
            for record in opened.records {
                let key = record.run.key;
                if !self.resources.live.is_live(key.run) {
                    self.resources.journal.persist(&record).await.map_err(io::Error::other)?;
                    tracing::info!(run = %key.run, "taken over from {}, whose worker did not come back", left.name());
                    if self.adopt(record) {
                        self.resources.metrics.repaired(Repaired::RunTakenOver);
                    }
                }
                opened.journal.forget(key);
            }
        }
        if let Some(spool) = self.folder.take_spool(left)? {
            self.deliver(&spool);
        }
        StateFolder::end_taking_over(left)
    }

    /// Delivers what another daemon had spooled. What the API does not take by our end is delivered by the next process.
    fn deliver(&self, spool: &Utf8Path) {
        let client = self.resources.client.clone();
        let of = |name: &str| Some(Spool::open(spool.join(name)));
        let (_logs, shipping) = LogShipper::start(client.clone(), self.deliveries.clone(), of("logs"));
        let (_events, emitting) = EventEmitter::start(client, self.deliveries.clone(), of("events"));
        self.deliverers.spawn(async move {
            drop(tokio::join!(shipping, emitting));
        });
    }

    /// Takes up runs of our own journal that no actor looks after: one that was ended by a defect, or that this worker could
    /// not take up before. A record is left alone the first time, because the run may just be over.
    pub async fn adopt_forgotten(&self) {
        let journal = Arc::clone(&self.resources.journal);
        let records = match tokio::task::spawn_blocking(move || journal.records()).await {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => {
                tracing::warn!("the journal cannot be read: {}", ErrorChain(&error));
                return;
            }
            Err(_) => return,
        };
        let forgotten: Vec<Record> =
            records.into_iter().filter(|record| !self.resources.live.is_live(record.run.key.run)).collect();
        let keys = forgotten.iter().map(|record| record.run.key).collect();
        let before = std::mem::replace(&mut *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner), keys);
        for record in forgotten.into_iter().filter(|record| before.contains(&record.run.key)) {
            let run = record.run.key.run;
            if self.adopt(record) {
                self.resources.metrics.repaired(Repaired::RunTakenUp);
                tracing::error!(%run, "nothing looked after it any more; it is taken up again");
            }
        }
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
            trace: None,
        };
        let timeline = vec![Note { at: Timestamp::now(), text: "found running, with no record of it".to_owned() }];
        let record = Record { format: FORMAT, run: Run::found(handle), facts, timeline };
        tracing::warn!(run = %key.run, "its infrastructure was found with no record of it; it is taken over");
        if let Err(error) = self.resources.journal.persist(&record).await {
            tracing::error!(run = %key.run, "a run cannot be taken over: {}", ErrorChain(&error));
            return;
        }
        if self.adopt(record) {
            self.resources.metrics.repaired(Repaired::StrayTakenOver);
        } else {
            self.resources.journal.forget(key);
        }
    }
}

fn label(run: &FlowRun, name: &str) -> Option<String> {
    run.labels.as_ref()?.get(name)?.as_str().map(str::to_owned)
}
