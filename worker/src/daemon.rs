//! The daemon: builds the parts, owns their tasks, and stops them in order.
//!
//! Two-phase stop. First everything that could bring new work ends, and runs are told to stop; then, when the runs are
//! over or their time is, what they still had to say to the API is delivered. A second signal takes the grace away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use central_api_client::{Client, EventEmitter, LogShipper};
use central_api_wire::event::Event;
use infra_contract::InfraPlugin;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use worker_core::machine::{Input, StopReason};

use crate::cancellation::{CancellationPolicy, Observer};
use crate::console::{self, OutputSink};
use crate::control_plane::RemoteControlPlane;
use crate::dispatcher::Dispatcher;
use crate::health::{self, Watched};
use crate::journal::{Journal, MemoryJournal};
use crate::live_runs::{LiveRuns, PoolIndex};
use crate::metrics::{self, Counted};
use crate::plan::{DaemonPlan, PoolPlan};
use crate::pool::channel::ChannelLoop;
use crate::pool::poller::{LastPoll, Poller};
use crate::pool::sync::Sync;
use crate::pool::{ChannelHealth, PoolSettings, PoolView};
use crate::preflight::{Preflight, PreflightError, check_server_version};
use crate::registry::Registry;
use crate::run::{ErrorChain, RunSettings, WorkerIdentity, lifecycle_event, worker_resource};
use crate::signals::StopSignals;
use crate::start_error::StartError;

/// What is still queued for the API gets this long at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// On top of the grace: killing, reporting, cleaning up.
const AFTER_GRACE: Duration = Duration::from_secs(10);
/// After a second signal.
const HURRY: Duration = Duration::from_secs(2);

/// Runs the daemon until it is told to stop, or its one round is over.
///
/// # Errors
/// Only before the start: nothing that the API answers later ends a daemon.
pub async fn run(plan: DaemonPlan) -> Result<(), StartError> {
    let mut signals = StopSignals::take_over().map_err(StartError::Signals)?;
    let client = Client::new(plan.client.clone())?;
    let servers = Servers::bind(&plan).await?;
    let daemon = tokio::select! {
        biased;
        // A worker that is still waiting for its API has nothing to stop.
        _ = signals.next() => return Ok(()),
        daemon = Daemon::assemble(plan, client) => daemon?,
    };
    daemon.live(signals, servers).await
}

/// Ports are bound before anything else, so that one in use is an error at the start.
struct Servers {
    health: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Servers {
    async fn bind(plan: &DaemonPlan) -> Result<Self, StartError> {
        Ok(Self {
            health: bind("health", plan.health.as_ref()).await?,
            metrics: bind("metrics", plan.metrics.as_ref()).await?,
        })
    }
}

async fn bind(server: &'static str, address: Option<&(String, u16)>) -> Result<Option<TcpListener>, StartError> {
    let Some((host, port)) = address else { return Ok(None) };
    let bound = TcpListener::bind((host.as_str(), *port)).await;
    bound.map(Some).map_err(|source| StartError::Port { server, host: host.clone(), port: *port, source })
}

struct Daemon {
    pools: Vec<PoolWorker>,
    live: LiveRuns,
    /// Loops of the pools.
    loops: TaskTracker,
    /// Actors.
    actors: TaskTracker,
    /// Log shipper and event emitter.
    delivery: Vec<JoinHandle<()>>,
    logs: LogShipper,
    events: EventEmitter,
    delivery_stop: CancellationToken,
    shutdown_grace: Duration,
    run_once: bool,
}

/// One pool, ready to start.
struct PoolWorker {
    client: Client,
    settings: Arc<PoolSettings>,
    identity: Arc<WorkerIdentity>,
    plugin: Arc<dyn InfraPlugin>,
    dispatcher: Dispatcher,
    view: PoolView,
    channel: ChannelHealth,
    last_poll: Arc<LastPoll>,
    cancellation: CancellationPolicy,
    cancellation_poll: Duration,
}

impl Daemon {
    async fn assemble(plan: DaemonPlan, client: Client) -> Result<Self, StartError> {
        let delivery_stop = CancellationToken::new();
        let (logs, shipping) = LogShipper::start(client.clone(), delivery_stop.clone());
        let (events, emitting) = EventEmitter::start(client.clone(), delivery_stop.clone());
        let mut daemon = Self {
            pools: Vec::new(),
            live: LiveRuns::default(),
            loops: TaskTracker::new(),
            actors: TaskTracker::new(),
            delivery: vec![shipping, emitting],
            logs,
            events,
            delivery_stop,
            shutdown_grace: plan.run_settings.shutdown_grace,
            run_once: plan.run_once,
        };
        let mut registry = Registry::new(plan.process.clone());
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
        let run_settings = Arc::new(plan.run_settings);
        let output = OutputSink::start().map_err(StartError::OutputThread)?;
        let mut refused = Vec::new();
        for (index, pool) in plan.pools.iter().enumerate() {
            let preflight = Preflight {
                client: &client,
                pool: &pool.pool,
                work_queues: &pool.work_queues,
                kind: pool.kind.as_deref(),
                wait_for_api: plan.wait_for_api,
            };
            let kind = match preflight.kind().await {
                Ok(kind) => kind,
                Err(error) if error.concerns_api() => return Err(error.into()),
                Err(error) => {
                    refused.push(error);
                    continue;
                }
            };
            let Some(registered) = registry.plugin(&kind) else {
                refused.push(PreflightError::UnknownKind { pool: pool.pool.clone(), kind: kind.to_string() });
                continue;
            };
            let worker = daemon.pool_worker(
                PoolIndex(index),
                pool,
                &client,
                registered,
                Shared { journal: &journal, run_settings: &run_settings, output: &output },
                (plan.cancellation_enabled, plan.cancellation_poll),
            );
            daemon.pools.push(worker);
        }
        if plan.check_server_version && !client.is_cloud() {
            check_server_version(&client).await?;
        }
        daemon.speak_of(refused)?;
        Ok(daemon)
    }

    /// One broken pool never stops another; if none is left there is nothing to do.
    fn speak_of(&self, refused: Vec<PreflightError>) -> Result<(), StartError> {
        let mut refused = refused.into_iter().peekable();
        if self.pools.is_empty()
            && let Some(first) = refused.next()
        {
            for error in refused {
                tracing::error!("{}. {}", ErrorChain(&error), error.hint());
            }
            return Err(first.into());
        }
        for error in refused {
            tracing::error!("{}. {} The other work pools are served.", ErrorChain(&error), error.hint());
        }
        Ok(())
    }

    fn pool_worker(
        &self,
        index: PoolIndex,
        pool: &PoolPlan,
        client: &Client,
        registered: crate::registry::Registered,
        shared: Shared<'_>,
        (cancellation_enabled, cancellation_poll): (bool, Duration),
    ) -> PoolWorker {
        let plugin = registered.plugin;
        let name =
            pool.worker_name.clone().unwrap_or_else(|| format!("{} {}", registered.worker_class, Uuid::new_v4()));
        let client = client.attributed(&name);
        let identity =
            Arc::new(WorkerIdentity { name: name.clone(), kind: plugin.kind(), id: std::sync::OnceLock::new() });
        let template = pool.base_job_template.clone();
        let settings = Arc::new(PoolSettings {
            pool: pool.pool.clone(),
            worker_name: name,
            kind: plugin.kind(),
            work_queues: pool.work_queues.clone(),
            limit: pool.limit,
            prefetch: pool.prefetch,
            base_job_template_given: template.is_some(),
            base_job_template: template
                .or_else(|| plugin.base_job_template().as_json().as_object().cloned())
                .unwrap_or_default(),
            create_pool_if_not_found: pool.create_pool_if_not_found,
            query_interval: pool.query_interval,
            heartbeat_interval: pool.heartbeat_interval,
        });
        let api = Arc::new(RemoteControlPlane::new(client.clone(), self.logs.clone(), self.events.clone()));
        let dispatcher = Dispatcher {
            pool: index,
            limit: pool.limit,
            live: self.live.clone(),
            tasks: self.actors.clone(),
            identity: Arc::clone(&identity),
            api,
            plugin: Arc::clone(&plugin),
            journal: Arc::clone(shared.journal),
            output: shared.output.clone(),
            settings: Arc::clone(shared.run_settings),
        };
        let cancellation = CancellationPolicy {
            cancels_running: plugin.capabilities().cancels_running,
            enabled: cancellation_enabled,
        };
        PoolWorker {
            client,
            settings,
            identity,
            plugin,
            dispatcher,
            view: PoolView::default(),
            channel: ChannelHealth::default(),
            last_poll: Arc::default(),
            cancellation,
            cancellation_poll,
        }
    }

    fn serve(&self, servers: Servers, stop: &CancellationToken) {
        if let Some(listener) = servers.health {
            let watched = self.pools.iter().map(PoolWorker::watched).collect();
            self.loops.spawn(health::serve(listener, watched, stop.clone()));
        }
        if let Some(listener) = servers.metrics {
            let pools = self.pools.iter().map(|pool| (pool.dispatcher.pool, pool.settings.pool.clone())).collect();
            let counted = Counted { live: self.live.clone(), pools };
            self.loops.spawn(metrics::serve(listener, counted, stop.clone()));
        }
    }

    async fn live(self, mut signals: StopSignals, servers: Servers) -> Result<(), StartError> {
        let stop = CancellationToken::new();
        self.serve(servers, &stop);
        let started = if self.run_once { self.start_once(&stop).await? } else { self.start_loops(&stop) };
        let over = async {
            if self.run_once {
                for pool in &self.pools {
                    self.live.until_empty(pool.dispatcher.pool).await;
                }
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            signal = signals.next() => {
                tracing::info!("Received {signal}. Stopping; a second signal takes the runs' grace away.");
            }
            () = over => {}
        }
        stop.cancel();
        self.stop_runs(&mut signals).await;
        self.say_goodbye(&started, &mut signals).await;
        Ok(())
    }

    /// Starts the loops of all pools. The started events, by pool.
    fn start_loops(&self, stop: &CancellationToken) -> BTreeMap<usize, Event> {
        let mut started = BTreeMap::new();
        for (index, pool) in self.pools.iter().enumerate() {
            pool.spawn_loops(&self.loops, stop);
            started.insert(index, self.announce(pool));
        }
        started
    }

    /// One sync and one poll per pool, one after the other.
    async fn start_once(&self, stop: &CancellationToken) -> Result<BTreeMap<usize, Event>, StartError> {
        let mut started = BTreeMap::new();
        for (index, pool) in self.pools.iter().enumerate() {
            let name = &pool.settings.pool;
            let failed = |source| StartError::RunOnce { pool: name.clone(), source };
            let known = pool.sync().once().await.map_err(failed)?;
            self.loops.spawn(pool.observer().run(stop.clone()));
            started.insert(index, self.announce(pool));
            if known {
                pool.poller().poll_and_dispatch().await.map_err(failed)?;
            } else {
                tracing::warn!("Work pool '{name}' not found!");
            }
        }
        Ok(started)
    }

    fn announce(&self, pool: &PoolWorker) -> Event {
        let name = &pool.settings.worker_name;
        let resource = worker_resource(name, &pool.identity.kind);
        let event = lifecycle_event("started", resource, pool.view.pool().as_deref(), None);
        self.events.emit(event.clone());
        console::line(&format!("Worker '{name}' started!"));
        event
    }

    /// Stops the runs that would die with this process, and leaves those that would not.
    async fn stop_runs(&self, signals: &mut StopSignals) {
        for pool in &self.pools {
            let input = if pool.plugin.capabilities().survives_worker_restart {
                Input::Detach
            } else {
                Input::Stop(StopReason::Shutdown)
            };
            for run in self.live.ids(pool.dispatcher.pool) {
                self.live.tell(pool.dispatcher.pool, run, input.clone());
            }
        }
        let live = self.live.total();
        if live > 0 {
            tracing::info!("stopping {live} runs; they have {:?} to end by themselves", self.shutdown_grace);
        }
        self.actors.close();
        self.loops.close();
        tokio::select! {
            () = self.actors.wait() => return,
            () = tokio::time::sleep(self.shutdown_grace + AFTER_GRACE) => {
                tracing::error!("{} runs did not end in time; their states at the API may be wrong", self.live.total());
                return;
            }
            signal = signals.next() => tracing::warn!("Received {signal} again. Stopping at once."),
        }
        self.live.tell_all(&Input::StopNow);
        if tokio::time::timeout(HURRY, self.actors.wait()).await.is_err() {
            tracing::error!("{} runs were given up; their states at the API may be wrong", self.live.total());
        }
    }

    async fn say_goodbye(self, started: &BTreeMap<usize, Event>, signals: &mut StopSignals) {
        for (index, pool) in self.pools.iter().enumerate() {
            let resource = worker_resource(&pool.settings.worker_name, &pool.identity.kind);
            let follows = started.get(&index);
            self.events.emit(lifecycle_event("stopped", resource, pool.view.pool().as_deref(), follows));
        }
        let last_words = async {
            tokio::join!(self.logs.flush(LAST_WORDS), self.events.flush(LAST_WORDS), self.loops.wait());
            self.delivery_stop.cancel();
            for task in self.delivery {
                drop(task.await);
            }
        };
        tokio::select! {
            () = last_words => {}
            () = tokio::time::sleep(LAST_WORDS + Duration::from_secs(1)) => {
                tracing::warn!("the last log lines or events may not have reached the API");
            }
            signal = signals.next() => tracing::warn!("Received {signal} again. Leaving at once."),
        }
        for pool in &self.pools {
            console::line(&format!("Worker '{}' stopped!", pool.settings.worker_name));
        }
    }
}

/// What all pool workers share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    journal: &'a Arc<dyn Journal>,
    run_settings: &'a Arc<RunSettings>,
    output: &'a OutputSink,
}

impl PoolWorker {
    fn spawn_loops(&self, loops: &TaskTracker, stop: &CancellationToken) {
        let channel = ChannelLoop {
            client: self.client.clone(),
            settings: Arc::clone(&self.settings),
            identity: Arc::clone(&self.identity),
            view: self.view.clone(),
            health: self.channel.clone(),
            consumer: Uuid::now_v7(),
        };
        loops.spawn(channel.run(stop.clone()));
        loops.spawn(self.sync().run(stop.clone()));
        loops.spawn(self.poller().run(stop.clone()));
        loops.spawn(self.observer().run(stop.clone()));
    }

    fn sync(&self) -> Sync {
        Sync {
            client: self.client.clone(),
            settings: Arc::clone(&self.settings),
            identity: Arc::clone(&self.identity),
            view: self.view.clone(),
            channel: self.channel.clone(),
        }
    }

    fn poller(&self) -> Poller {
        Poller {
            client: self.client.clone(),
            settings: Arc::clone(&self.settings),
            view: self.view.clone(),
            dispatcher: self.dispatcher.clone(),
            last_poll: Arc::clone(&self.last_poll),
        }
    }

    fn observer(&self) -> Observer {
        Observer {
            client: self.client.clone(),
            pool: self.dispatcher.pool,
            view: self.view.clone(),
            live: self.dispatcher.live.clone(),
            policy: self.cancellation,
            poll_interval: self.cancellation_poll,
        }
    }

    fn watched(&self) -> Watched {
        Watched { last_poll: Arc::clone(&self.last_poll), query_interval: self.settings.query_interval }
    }
}
