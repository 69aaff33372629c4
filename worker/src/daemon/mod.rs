//! The daemon: builds the parts, owns their tasks, and stops them in order.
//!
//! Each pool opens by itself: what it is is asked of the API, and then its loops start, whatever the other pools do. A pool
//! that cannot be served is said and left out; only when there is none left the daemon has nothing to do.

mod operating;
mod pool_worker;
mod servers;
mod stopping;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use central_api_client::{ApiError, Client, EventEmitter, LogShipper, Spool};
use central_api_wire::event::Event;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::adoption::Adoption;
use crate::console::{self, OutputSink};
use crate::failpoint;
use crate::journal::{self, Record};
use crate::live_runs::{LiveRuns, PoolIndex};
use crate::liveness::Liveness;
use crate::metrics::Counted;
use crate::operator::{CORDONED, Course, Drain, PlannedPool, Reloading, Standing};
use crate::plan::{DaemonPlan, ShutdownPlan};
use crate::pool::pace;
use crate::preflight::{Opening, Preflight, PreflightError, check_server_version};
use crate::registry::{Registry, raise_open_files_limit};
use crate::repair::{self, Repair};
use crate::resources::Resources;
use crate::run::ErrorChain;
use crate::signals::{ReloadSignal, StopSignals};
use crate::start_error::StartError;
use crate::state_folder::{self, StateFolder, StateFolderError};
use crate::timeline::Timelines;
use pool_worker::{PoolWorker, Shared, watched};
use servers::Servers;
use stopping::Delivery;
pub use stopping::Stopped;

/// Runs the daemon until it is told to stop, or its one round is over.
///
/// # Errors
/// Only before the start: nothing that the API answers later ends a daemon.
pub async fn run(plan: DaemonPlan, reloading: Reloading) -> Result<Stopped, StartError> {
    raise_open_files_limit();
    failpoint::arm(&plan.run_settings.worker_environment);
    let mut signals = StopSignals::take_over().map_err(StartError::Signals)?;
    let hangups = ReloadSignal::take_over().map_err(StartError::Signals)?;
    let (wishes, mut drains) = mpsc::channel(1);
    let servers = Servers::bind(&plan).await?;
    let (mut daemon, left) = Daemon::new(plan)?;
    daemon.adopt(left);
    daemon.serve(servers);
    daemon.reload_with(reloading, hangups);
    let desk = daemon.open_desk(wishes);
    let ended = daemon.live(&mut signals, &mut drains).await;
    let stopped = daemon.stop(&mut signals).await;
    if let Some(desk) = desk {
        desk.finish(stopped).await;
    }
    ended.map(|()| stopped)
}

/// Tries of one call in a single round, besides the last.
const ROUND_TRIES: u32 = 4;

struct Daemon {
    plans: Vec<PlannedPool>,
    registry: Arc<Registry>,
    shared: Shared,
    /// Held until the process ends.
    folder: Arc<StateFolder>,
    adoption: Arc<Adoption>,
    /// The pools that are served, each with its started event.
    pools: Vec<(PoolWorker, Event)>,
    /// Loops of the pools, and the servers.
    loops: TaskTracker,
    /// Ends what brings new runs.
    intake: CancellationToken,
    /// Ends the loops.
    stop: CancellationToken,
    shutdown: watch::Sender<ShutdownPlan>,
    /// The operator asked for a drain: runs are waited for whatever the settings say.
    drain: Option<Drain>,
    course: watch::Sender<Course>,
    delivery: Delivery,
    run_once: bool,
    wait_for_api: bool,
    check_server_version: bool,
}

/// What asking about one pool came to.
type Opened = (PlannedPool, Result<Opening, PreflightError>);

impl Daemon {
    fn new(plan: DaemonPlan) -> Result<(Self, Vec<Record>), StartError> {
        let api_url = plan.client.api_url.clone();
        let folder = Arc::new(state_folder::take(&plan.state_dir, &api_url)?);
        let journal::Opened { journal, records, is_complete, .. } = journal::open(folder.path())?;
        // Of what was taken over only a record tells, or, where those were lost, the infrastructure.
        if records.is_empty() && is_complete {
            folder.forget_what_was_taken_over().map_err(|source| StateFolderError::unusable(&folder, source))?;
        }
        let client = Client::new(plan.client)?;
        let delivery_stop = CancellationToken::new();
        let [log_spool, event_spool] = spools(&folder);
        let (logs, shipping) = LogShipper::start(client.clone(), delivery_stop.clone(), Some(log_spool));
        let (events, emitting) = EventEmitter::start(client.clone(), delivery_stop.clone(), Some(event_spool));
        let resources = Resources {
            client,
            logs,
            events,
            live: LiveRuns::default(),
            actors: TaskTracker::new(),
            journal: Arc::new(journal),
            output: OutputSink::start().map_err(StartError::OutputThread)?,
            run_settings: Arc::new(plan.run_settings),
            timelines: Timelines::default(),
        };
        let cordoned = resources.journal.recall(CORDONED).unwrap_or(false);
        let shared = Shared {
            resources: resources.clone(),
            cancellation: plan.cancellation,
            first_pass: watch::Sender::new(false),
            cordoned: watch::Sender::new(cordoned),
            liveness: Liveness::default(),
            admission: Admission::new(plan.admission, resources.live.clone()),
            serves: watch::Sender::new(plan.wait_for_api),
        };
        let planned = |(index, plan)| PlannedPool::new(PoolIndex(index), plan);
        let plans: Vec<PlannedPool> = plan.pools.into_iter().enumerate().map(planned).collect();
        let registry = Arc::new(Registry::new(plan.plugins.of_daemon(folder.owner(), folder.path())));
        let place = |pool: &PlannedPool| (pool.plan.pool.clone(), (pool.index, Arc::new(pool.plan.rerun.clone())));
        let loops = TaskTracker::new();
        let adoption = Arc::new(Adoption {
            resources,
            registry: Arc::clone(&registry),
            pools: plans.iter().map(place).collect(),
            folder: Arc::clone(&folder),
            state_dir: plan.state_dir,
            api_url,
            deliveries: delivery_stop.clone(),
            deliverers: loops.clone(),
            left_since: Mutex::default(),
            forgotten: Mutex::default(),
        });
        let daemon = Self {
            plans,
            registry,
            shared,
            folder: Arc::clone(&folder),
            adoption,
            intake: CancellationToken::new(),
            shutdown: watch::Sender::new(plan.shutdown),
            drain: None,
            course: watch::Sender::new(Course::Staying),
            pools: Vec::new(),
            loops,
            stop: CancellationToken::new(),
            delivery: Delivery::new(delivery_stop, [shipping, emitting]),
            run_once: plan.run_once,
            // With runs to look after it is no first start, and the settings were right before.
            wait_for_api: plan.wait_for_api || !records.is_empty(),
            check_server_version: plan.check_server_version,
        };
        Ok((daemon, records))
    }

    /// Goes on with what an earlier process left, before anything new is taken.
    fn adopt(&self, left: Vec<Record>) {
        let count = left.into_iter().filter(|record| self.adoption.adopt(record.clone())).count();
        if count > 0 {
            tracing::info!("Taking over {count} runs of an earlier worker process");
        }
    }

    fn serve(&self, servers: Servers) {
        let watched = self.plans.iter().map(|pool| watched(&pool.plan, &pool.last_poll)).collect();
        let pools = self.plans.iter().map(|pool| (pool.index, pool.plan.pool.clone()));
        let liveness = self.shared.liveness.clone();
        let counted = Counted { live: self.shared.resources.live.clone(), pools: pools.collect(), liveness };
        servers.serve(watched, counted, &self.shared, &self.loops, &self.intake, &self.stop);
        self.loops.spawn(self.repair().run(self.stop.clone()));
    }

    fn repair(&self) -> Repair {
        Repair {
            client: self.shared.resources.client.clone(),
            live: self.shared.resources.live.clone(),
            plugins: self.registry.all(),
            adoption: Arc::clone(&self.adoption),
            grace: self.shutdown.borrow().grace,
            first_pass: self.shared.first_pass.clone(),
            pulse: self.shared.liveness.pulse("repair", repair::INTERVAL),
        }
    }

    /// Opens the pools and stays until a signal or the wish for a drain comes, or the one round is over.
    async fn live(&mut self, signals: &mut StopSignals, drains: &mut mpsc::Receiver<Drain>) -> Result<(), StartError> {
        let mut opening = self.open_pools();
        let version = self.server_version();
        tokio::pin!(version);
        let mut version_is_known = false;
        let mut refused: Vec<PreflightError> = Vec::new();
        loop {
            if opening.is_empty()
                && self.pools.is_empty()
                && let Some(error) = refused.pop()
            {
                return Err(error.into());
            }
            tokio::select! {
                biased;
                signal = signals.next() => {
                    tracing::info!("Received {signal}. Taking no more runs; a second signal does not wait for anything.");
                    return Ok(());
                }
                Some(drain) = drains.recv() => {
                    tracing::info!("The operator asks for a drain. Taking no more runs.");
                    self.drain = Some(drain);
                    return Ok(());
                }
                checked = &mut version, if !version_is_known => {
                    checked?;
                    version_is_known = true;
                }
                // A server that no worker of ours can serve is known before the first run is taken from it.
                Some((planned, opened)) = opening.next(), if version_is_known => {
                    match opened.and_then(|opening| self.pool_worker(&planned, opening)) {
                        Ok(pool) => {
                            planned.standing.send_replace(pool.standing());
                            self.start(pool);
                        }
                        Err(error) => {
                            planned.last_poll.retire();
                            planned.standing.send_replace(Standing::Refused(ErrorChain(&error).to_string()));
                            if self.plans.len() > 1 {
                                tracing::error!("a work pool is not served: {}. {}", ErrorChain(&error), error.hint());
                            }
                            refused.push(error);
                        }
                    }
                }
                // Nothing interrupts a round but a signal: everything else is settled before it begins.
                round = self.round(), if version_is_known && opening.is_empty() => return round,
            }
        }
    }

    /// Asks the API about all pools at once. A pool that the API is too busy for keeps nobody waiting.
    fn open_pools(&self) -> FuturesUnordered<BoxFuture<'static, Opened>> {
        let api_is_right = Arc::new(AtomicBool::new(false));
        let ask = |pool: &PlannedPool| -> BoxFuture<'static, Opened> {
            let preflight = Preflight {
                client: self.shared.resources.client.clone(),
                pool: pool.plan.pool.clone(),
                work_queues: pool.plan.work_queues.clone(),
                kind: pool.plan.kind.clone(),
                wait_for_api: self.wait_for_api,
                api_is_right: Arc::clone(&api_is_right),
            };
            let pool = pool.clone();
            Box::pin(async move {
                let opened = ticking(&pool, preflight.ask()).await;
                (pool, opened)
            })
        };
        self.plans.iter().map(ask).collect()
    }

    fn server_version(&self) -> impl Future<Output = Result<(), PreflightError>> + use<> {
        let client = self.shared.resources.client.clone();
        let wanted = self.check_server_version && !client.is_cloud();
        async move { if wanted { check_server_version(&client).await } else { Ok(()) } }
    }

    fn pool_worker(&self, planned: &PlannedPool, opening: Opening) -> Result<PoolWorker, PreflightError> {
        let Opening { kind, pool } = opening;
        let registered = self
            .registry
            .plugin(&kind)
            .ok_or_else(|| PreflightError::UnknownKind { pool: planned.plan.pool.clone(), kind: kind.to_string() })?;
        Ok(PoolWorker::new(planned, pool, registered, &self.shared))
    }

    fn start(&mut self, pool: PoolWorker) {
        if !self.run_once {
            pool.spawn_loops(&self.loops, &self.intake, &self.stop);
        }
        let event = pool.lifecycle_event("started", None);
        self.shared.resources.events.emit(event.clone());
        console::line(&format!("Worker '{}' started!", pool.settings.worker_name));
        self.pools.push((pool, event));
    }

    /// One sync and one poll per pool, one after the other, and then the end of the runs. For ever without `--run-once`.
    async fn round(&self) -> Result<(), StartError> {
        if !self.run_once {
            std::future::pending::<()>().await;
        }
        let mut first_error = None;
        drop(self.shared.first_pass.subscribe().wait_for(|done| *done).await);
        for (pool, _) in &self.pools {
            if let Err(source) = self.poll_once(pool).await {
                let error = StartError::RunOnce { pool: pool.settings.pool.clone(), source };
                tracing::error!("{}", error.for_people());
                first_error.get_or_insert(error);
            }
        }
        for (pool, _) in &self.pools {
            self.shared.resources.live.until_empty(pool.dispatcher.pool).await;
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn poll_once(&self, pool: &PoolWorker) -> Result<(), ApiError> {
        let (sync, poller) = (pool.sync(), pool.poller());
        if a_few_times(|| sync.once()).await? {
            pool.spawn_observer(&self.loops, &self.stop);
            return a_few_times(|| poller.poll_and_dispatch()).await;
        }
        tracing::warn!("Work pool '{}' not found!", pool.settings.pool);
        Ok(())
    }
}

/// Where log lines and events wait that the API did not take, with what was taken over of other daemons before.
fn spools(folder: &StateFolder) -> [Spool; 2] {
    let taken = folder.taken_spools();
    let spools = ["logs", "events"].map(|of| {
        let mut spool = Spool::open(folder.spool().join(of));
        for other in &taken {
            if let Err(error) = spool.adopt(&other.join(of)) {
                tracing::warn!("{of} in {other} cannot be taken over: {error}");
            }
        }
        spool
    });
    for other in &taken {
        // One that is not empty is kept for the next start.
        drop(fs_err::remove_dir(other));
    }
    spools
}

/// Waits for an answer that may take its time, and is not taken for a poller that hangs meanwhile.
async fn ticking<T>(pool: &PlannedPool, asked: impl Future<Output = T>) -> T {
    tokio::pin!(asked);
    loop {
        tokio::select! {
            answer = &mut asked => return answer,
            () = tokio::time::sleep(pool.plan.query_interval) => pool.last_poll.tick(),
        }
    }
}

/// A loop's call is tried once, because the loop is the retry. A single round has no loop around it.
async fn a_few_times<T, F: Future<Output = Result<T, ApiError>>>(mut call: impl FnMut() -> F) -> Result<T, ApiError> {
    for failures in 1..=ROUND_TRIES {
        match call().await {
            Err(error) if error.is_transient() => {
                tracing::warn!("the API did not answer, asking again: {}", ErrorChain(&error));
                tokio::time::sleep(pace::after_failure(failures, Duration::from_secs(10), error.retry_after())).await;
            }
            answer => return answer,
        }
    }
    call().await
}
