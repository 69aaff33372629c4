//! The daemon: builds the parts, owns their tasks, and stops them in order.
//!
//! Each API has what is its own in a `Workspace`. Each pool opens by itself: what it is is asked of its API, and then its
//! loops start, whatever the other pools do. A pool that cannot be served is said and left out; only when there is none left
//! at the start the daemon has nothing to do. Pools come and go with the settings while the daemon lives.

mod discovery;
mod monitoring;
mod moves;
mod opening;
mod operating;
mod pool_worker;
mod round;
mod servers;
mod shared;
mod stopping;
mod workspace;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use central_api_wire::event::Event;
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use worker_core::handle::PluginKind;

use crate::admission::Admission;
use crate::audit::AuditLog;
use crate::budget::Budget;
use crate::console::{self, OutputSink};
use crate::journal::{self, Record};
use crate::live_runs::{LiveRuns, PoolIndex, WorkspaceIndex};
use crate::liveness::{Delivering, Liveness};
use crate::metrics::Metrics;
use crate::operator::{Course, Drain, PlannedPool, Pools, Reloading, Standing};
use crate::plan::{AuditPlan, DaemonPlan, PoolPlan, ShutdownPlan};
use crate::preflight::PreflightError;
use crate::registry::raise_open_files_limit;
use crate::returned_memory;
use crate::run::ErrorChain;
use crate::signals::{ReloadSignal, StopSignals};
use crate::start_error::StartError;
use crate::timeline::Timelines;
use crate::traces;
use discovery::{Discovered, Discovery, Found};
use monitoring::Monitoring;
use opening::{Opened, Openings};
use pool_worker::PoolWorker;
use servers::Servers;
use shared::Shared;
use stopping::Delivery;
pub use stopping::Stopped;
use workspace::{Ground, Workspace};

/// Runs the daemon until it is told to stop, or its one round is over.
///
/// # Errors
/// Only before the start: nothing that the API answers later ends a daemon.
pub async fn run(plan: DaemonPlan, reloading: Reloading) -> Result<Stopped, StartError> {
    raise_open_files_limit();
    let mut signals = StopSignals::take_over().map_err(StartError::Signals)?;
    let hangups = ReloadSignal::take_over().map_err(StartError::Signals)?;
    let (wishes, drains) = mpsc::channel(1);
    let (wanted, pools) = mpsc::channel(1);
    let servers = Servers::bind(&plan).await?;
    let (finds, found) = mpsc::channel(FINDS_AT_ONCE);
    let (over, emptied) = mpsc::channel(OVER_AT_ONCE);
    let (mut daemon, left) = Daemon::new(plan, over)?;
    daemon.adopt(left);
    daemon.serve(servers, &finds);
    daemon.reload_with(reloading, hangups, wanted);
    let desk = daemon.open_desk(wishes);
    let ended = daemon.live(Asked { signals: &mut signals, drains, pools, found, emptied }).await;
    let stopped = daemon.stop(&mut signals).await;
    if let Some(desk) = desk {
        desk.finish(stopped).await;
    }
    ended.map(|()| stopped)
}

/// Lists of pools of several APIs wait for their turn.
const FINDS_AT_ONCE: usize = 4;
/// Pools that are over at the same time wait for their turn.
const OVER_AT_ONCE: usize = 16;

/// What may come to a daemon that lives.
struct Asked<'s> {
    signals: &'s mut StopSignals,
    drains: mpsc::Receiver<Drain>,
    /// The pools that are to be served from now on.
    pools: mpsc::Receiver<Vec<PoolPlan>>,
    /// Pools that an API has.
    found: mpsc::Receiver<Found>,
    /// Pools that were left and have no live run any more.
    emptied: mpsc::Receiver<PoolIndex>,
}
/// Something is observed whenever it happens; this is how often the loop shows that it could be.
const OBSERVATIONS: Duration = Duration::from_secs(10);

struct Daemon {
    /// The APIs, in the order of their indexes.
    workspaces: Vec<Workspace>,
    shared: Shared,
    /// The pools that are served.
    served: Vec<Served>,
    /// What is asked for: pools by name and patterns.
    asked: watch::Sender<Vec<PoolPlan>>,
    /// The pools that the APIs have, where a pattern is asked for.
    discovered: Discovered,
    /// Takes pools that were left and have no live run any more.
    over: mpsc::Sender<PoolIndex>,
    /// How many pools there have been, for the index of the next.
    pools_made: usize,
    /// Where runs that others execute are watched.
    watched_elsewhere: HashSet<(WorkspaceIndex, PluginKind)>,
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
    monitoring: Monitoring,
    delivery: Delivery,
    run_once: bool,
}

/// What earlier processes left of each API.
type Left = Vec<(WorkspaceIndex, Vec<Record>)>;

/// A pool whose loops run.
struct Served {
    pool: PoolWorker,
    /// What was told of its start.
    started: Event,
    /// Ends what brings new runs of it.
    intake: CancellationToken,
    /// Ends its loops.
    stop: CancellationToken,
}

impl Served {
    const fn index(&self) -> PoolIndex {
        self.pool.dispatcher.pool
    }
}

impl Daemon {
    fn new(plan: DaemonPlan, over: mpsc::Sender<PoolIndex>) -> Result<(Self, Left), StartError> {
        let live = LiveRuns::default();
        let (deliveries, loops) = (CancellationToken::new(), TaskTracker::new());
        let (metrics, liveness) = (Metrics::default(), Liveness::default());
        let (traces, tracing) = traces::open(plan.traces.as_ref(), &metrics, &plan.secrets, &deliveries);
        let shared = Shared {
            pools: Pools::default(),
            live: live.clone(),
            actors: TaskTracker::new(),
            output: OutputSink::start().map_err(StartError::OutputThread)?,
            timelines: Timelines::without(plan.secrets.clone()),
            metrics,
            traces,
            secrets: plan.secrets,
            audit: audit_log(plan.audit)?,
            policy: plan.policy,
            cancellation: plan.cancellation,
            cordoned: watch::Sender::new(false),
            liveness,
            budget: Budget::new(live.clone(), plan.admission.max_runs.map(NonZeroUsize::get)),
            admission: Admission::new(plan.admission, live),
            serves: watch::Sender::new(plan.wait_for_api),
        };
        shared.policy.announce();
        let ground = Ground {
            state_dir: &plan.state_dir,
            shared: &shared,
            deliveries: &deliveries,
            loops: &loops,
            // One that is away must not be given up because another is there.
            wait_for_api: plan.wait_for_api || plan.workspaces.len() > 1,
            check_server_version: plan.check_server_version,
        };
        let (mut workspaces, mut left, mut deliverers) = (Vec::new(), Vec::new(), Vec::new());
        for (at, workspace) in plan.workspaces.into_iter().enumerate() {
            let opened = Workspace::open(WorkspaceIndex(at), workspace, &ground)?;
            if opened.is_cordoned {
                shared.cordoned.send_replace(true);
            }
            left.push((opened.workspace.index, opened.left));
            deliverers.extend(opened.deliverers);
            workspaces.push(opened.workspace);
        }
        let of_traces = |task| {
            let pulse = shared.liveness.pulse("delivery of traces", workspace::DELIVERIES);
            Delivering { pulse, task, moves: None }
        };
        deliverers.extend(tracing.map(of_traces));
        let course = watch::Sender::new(Course::Staying);
        let journals = workspaces.iter().map(|workspace| workspace.folder.path().join(journal::FILE)).collect();
        let monitoring = Monitoring::new(&shared, &course, journals);
        let mut daemon = Self {
            workspaces,
            shared,
            served: Vec::new(),
            asked: watch::Sender::new(plan.pools.clone()),
            discovered: Discovered::default(),
            over,
            pools_made: 0,
            watched_elsewhere: HashSet::new(),
            loops,
            intake: CancellationToken::new(),
            stop: CancellationToken::new(),
            shutdown: watch::Sender::new(plan.shutdown),
            drain: None,
            course,
            monitoring,
            delivery: Delivery::new(deliveries, deliverers),
            run_once: plan.run_once,
        };
        for pool in plan.pools.into_iter().filter(|plan| !discovery::is_pattern(&plan.pool)) {
            daemon.plan_pool(pool);
        }
        Ok((daemon, left))
    }

    /// A pool that is asked for, in the place after those that there have been.
    fn plan_pool(&mut self, plan: PoolPlan) -> PlannedPool {
        let index = PoolIndex::new(plan.workspace, self.pools_made);
        self.pools_made += 1;
        let pool = PlannedPool::new(index, plan);
        self.shared.pools.add(pool.clone());
        pool
    }

    /// The API of a pool.
    fn workspace(&self, index: WorkspaceIndex) -> Option<&Workspace> {
        self.workspaces.get(index.0)
    }

    /// Goes on with what an earlier process left, before anything new is taken.
    fn adopt(&mut self, left: Left) {
        for (index, records) in left {
            // Their limit is known before the API has told what pools it has.
            for pool in records.iter().map(|record| &record.facts.pool) {
                let plan = discovery::of_pattern(&self.asked.borrow(), index, pool);
                if let Some(plan) = plan.filter(|_| self.shared.pools.named(index, pool).is_none()) {
                    self.plan_pool(plan);
                }
            }
            let Some(workspace) = self.workspace(index) else { continue };
            let _in_span = workspace.span().entered();
            let count = records.into_iter().filter(|record| workspace.adoption.adopt(record.clone())).count();
            if count > 0 {
                tracing::info!("Taking over {count} runs of an earlier worker process");
            }
        }
    }

    fn serve(&self, servers: Servers, finds: &mpsc::Sender<Found>) {
        servers.serve(&self.monitoring, &self.shared, &self.loops, &self.intake, &self.stop);
        self.loops.spawn(returned_memory::after_bursts(self.shared.live.clone(), self.stop.clone()));
        for workspace in &self.workspaces {
            let repair = workspace.repair(&self.shared, self.shutdown.borrow().grace);
            self.loops.spawn(repair.run(self.stop.clone()).instrument(workspace.span()));
            let discovery = Discovery {
                client: workspace.resources.client.clone(),
                workspace: workspace.index,
                asked: self.asked.subscribe(),
                found: finds.clone(),
            };
            self.loops.spawn(discovery.run(self.intake.clone()).instrument(workspace.span()));
        }
    }

    /// Opens the pools and stays until a signal or the wish for a drain comes, or the one round is over.
    async fn live(&mut self, mut asked: Asked<'_>) -> Result<(), StartError> {
        let mut opening: Openings = self.shared.pools.all().iter().map(|pool| self.opening(pool)).collect();
        let mut refused: Vec<PreflightError> = Vec::new();
        let mut has_served = false;
        loop {
            has_served |= !self.served.is_empty();
            if opening.is_empty()
                && !has_served
                && let Some(error) = refused.pop()
            {
                return Err(error.into());
            }
            tokio::select! {
                biased;
                signal = asked.signals.next() => {
                    tracing::info!("Received {signal}. Taking no more runs; a second signal does not wait for anything.");
                    return Ok(());
                }
                Some(drain) = asked.drains.recv() => {
                    tracing::info!("The operator asks for a drain. Taking no more runs.");
                    self.drain = Some(drain);
                    return Ok(());
                }
                Some(opened) = opening.next() => refused.extend(self.opened(opened)),
                Some(plans) = asked.pools.recv() => self.ask_for(plans, &mut opening),
                Some(found) = asked.found.recv() => {
                    self.discovered.note(found);
                    self.rearrange(&mut opening);
                    // A service manager is not to wait for a pool that nobody has made yet.
                    if self.shared.pools.all().is_empty() && self.has_all_asked_for() {
                        self.shared.serves.send_replace(true);
                    }
                }
                Some(index) = asked.emptied.recv() => self.is_over(index),
                // Nothing interrupts a round but a signal: everything else is settled before it begins.
                round = self.round(), if opening.is_empty() && self.has_all_asked_for() => return round,
            }
        }
    }

    /// Whether the pools of all patterns are known.
    fn has_all_asked_for(&self) -> bool {
        self.discovered.is_complete(&self.asked.borrow())
    }

    /// Starts a pool of which the API has told what it is; why not, if that cannot be.
    fn opened(&mut self, Opened { planned, opening }: Opened) -> Option<PreflightError> {
        // It is asked for in another way by now, or not at all.
        if !self.shared.pools.all().iter().any(|pool| pool.is_the_same(&planned)) {
            return None;
        }
        match opening.and_then(|opening| self.pool_worker(&planned, opening)) {
            Ok(pool) => {
                planned.standing.send_replace(pool.standing());
                self.start(pool);
                None
            }
            Err(error) => {
                planned.last_poll.retire();
                planned.standing.send_replace(Standing::Refused(ErrorChain(&error).to_string()));
                if self.shared.pools.all().len() > 1 {
                    let place = planned.plan.place();
                    tracing::error!("work pool '{place}' is not served: {}. {}", ErrorChain(&error), error.hint());
                }
                Some(error)
            }
        }
    }

    fn start(&mut self, pool: PoolWorker) {
        let (intake, stop) = (self.intake.child_token(), self.stop.child_token());
        if !self.run_once {
            pool.spawn_loops(&self.loops, &intake, &stop);
            let place = (pool.dispatcher.pool.workspace, pool.kind());
            if !self.watched_elsewhere.contains(&place)
                && let Some(elsewhere) = pool.elsewhere()
            {
                self.watched_elsewhere.insert(place);
                let name = format!("observer of {} runs elsewhere", pool.kind());
                let pulse = self.shared.liveness.pulse(name, OBSERVATIONS);
                self.loops.spawn(elsewhere.run(pulse, self.stop.clone()));
            }
        }
        let renewed = self.served.iter_mut().find(|served| served.index() == pool.dispatcher.pool);
        if let Some(served) = renewed {
            served.intake.cancel();
            served.stop.cancel();
            (served.pool, served.intake, served.stop) = (pool, intake, stop);
            return;
        }
        let started = pool.lifecycle_event("started", None);
        pool.events.emit(started.clone());
        console::line(&format!("Worker '{}' started!", pool.settings.worker_name));
        self.served.push(Served { pool, started, intake, stop });
    }
}

fn audit_log(plan: Option<AuditPlan>) -> Result<AuditLog, StartError> {
    let Some(AuditPlan { file, required }) = plan else { return Ok(AuditLog::default()) };
    AuditLog::start(file, required).map_err(StartError::AuditLog)
}
