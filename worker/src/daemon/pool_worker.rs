//! One pool, ready to start: its parts and its loops.

use std::sync::{Arc, OnceLock};

use central_api_client::{Client, EventEmitter, LogShipper};
use central_api_wire::event::{Event, Resource};
use central_api_wire::work_pool::WorkPool;
use infra_contract::{CancelsRunning, InfraPlugin};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::PlannedPool;
use crate::cancellation::{CancellationPolicy, Observer};
use crate::console::OutputSink;
use crate::control_plane::RemoteControlPlane;
use crate::dispatcher::Dispatcher;
use crate::health::Watched;
use crate::journal::Journal;
use crate::live_runs::LiveRuns;
use crate::plan::{CancellationPlan, PoolPlan};
use crate::pool::channel::ChannelLoop;
use crate::pool::poller::{LastPoll, Poller};
use crate::pool::sync::SyncLoop;
use crate::pool::{ChannelHealth, PoolSettings, PoolView};
use crate::refusals::Refusals;
use crate::registry::Registered;
use crate::run::{RunSettings, WorkerIdentity, lifecycle_event, worker_resource};

/// What the pool workers of a daemon share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) logs: LogShipper,
    pub(super) events: EventEmitter,
    pub(super) live: LiveRuns,
    /// The actors of all pools.
    pub(super) actors: TaskTracker,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) output: OutputSink,
    pub(super) run_settings: Arc<RunSettings>,
    pub(super) cancellation: CancellationPlan,
}

pub(super) struct PoolWorker {
    pub(super) settings: Arc<PoolSettings>,
    pub(super) dispatcher: Dispatcher,
    client: Client,
    identity: Arc<WorkerIdentity>,
    plugin: Arc<dyn InfraPlugin>,
    view: PoolView,
    channel: ChannelHealth,
    last_poll: Arc<LastPoll>,
    /// The pool as it was before the first sync.
    asked_about: Option<Arc<WorkPool>>,
    cancellation: CancellationPlan,
}

impl PoolWorker {
    /// A worker for a pool that was asked about: `pool` is what the API had then.
    pub(super) fn new(
        planned: &PlannedPool,
        pool: Option<Arc<WorkPool>>,
        registered: Registered,
        shared: &Shared,
    ) -> Self {
        let PlannedPool { index, plan, last_poll } = planned;
        let Registered { plugin, worker_class } = registered;
        let settings = Arc::new(settings(plan, &*plugin, worker_class));
        let name = settings.worker_name.clone();
        let client = shared.client.attributed(&name);
        let identity = Arc::new(WorkerIdentity { name, kind: plugin.kind(), id: OnceLock::new() });
        let api = RemoteControlPlane::new(client.clone(), shared.logs.clone(), shared.events.clone());
        let dispatcher = Dispatcher {
            pool: *index,
            limit: plan.limit,
            live: shared.live.clone(),
            refusals: Refusals::default(),
            tasks: shared.actors.clone(),
            identity: Arc::clone(&identity),
            api: Arc::new(api),
            plugin: Arc::clone(&plugin),
            journal: Arc::clone(&shared.journal),
            output: shared.output.clone(),
            settings: Arc::clone(&shared.run_settings),
        };
        Self {
            settings,
            dispatcher,
            client,
            identity,
            plugin,
            view: PoolView::default(),
            channel: ChannelHealth::default(),
            last_poll: Arc::clone(last_poll),
            asked_about: pool,
            cancellation: shared.cancellation,
        }
    }

    /// Starts all loops.
    pub(super) fn spawn_loops(&self, loops: &TaskTracker, stop: &CancellationToken) {
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
        self.spawn_observer(loops, stop);
    }

    /// Starts the one loop that a single round needs as well.
    pub(super) fn spawn_observer(&self, loops: &TaskTracker, stop: &CancellationToken) {
        loops.spawn(self.observer().run(stop.clone()));
    }

    pub(super) fn sync(&self) -> SyncLoop {
        SyncLoop {
            client: self.client.clone(),
            settings: Arc::clone(&self.settings),
            identity: Arc::clone(&self.identity),
            view: self.view.clone(),
            channel: self.channel.clone(),
        }
    }

    pub(super) fn poller(&self) -> Poller {
        Poller {
            client: self.client.clone(),
            settings: Arc::clone(&self.settings),
            view: self.view.clone(),
            dispatcher: self.dispatcher.clone(),
            last_poll: Arc::clone(&self.last_poll),
        }
    }

    fn observer(&self) -> Observer {
        let cancels_running = self.plugin.capabilities().cancels_running;
        Observer {
            client: self.client.clone(),
            pool: self.dispatcher.pool,
            view: self.view.clone(),
            live: self.dispatcher.live.clone(),
            policy: CancellationPolicy { cancels_running, enabled: self.cancellation.enabled },
            poll_interval: match cancels_running {
                CancelsRunning::Worker => self.cancellation.poll,
                CancelsRunning::Infrastructure => self.cancellation.supervised_poll,
            },
            crash_when_blind: self.cancellation.crash_when_blind,
        }
    }

    /// Whether the runs go on when this process ends.
    pub(super) fn runs_survive(&self) -> bool {
        self.plugin.capabilities().survives_worker_restart
    }

    /// `prefect.worker.started` and the like.
    pub(super) fn lifecycle_event(&self, what: &str, follows: Option<&Event>) -> Event {
        let resource: Resource = worker_resource(&self.settings.worker_name, &self.identity.kind);
        let pool = self.view.pool().or_else(|| self.asked_about.clone());
        lifecycle_event(what, resource, pool.as_deref(), follows)
    }
}

/// What health looks at; made before the pool's kind is known, so that a pool which never opens is noticed.
pub(super) fn watched(plan: &PoolPlan, last_poll: &Arc<LastPoll>) -> Watched {
    Watched { last_poll: Arc::clone(last_poll), query_interval: plan.query_interval }
}

fn settings(plan: &PoolPlan, plugin: &dyn InfraPlugin, worker_class: &str) -> PoolSettings {
    let made_up = || format!("{worker_class} {}", Uuid::new_v4());
    let given = plan.base_job_template.clone();
    PoolSettings {
        pool: plan.pool.clone(),
        worker_name: plan.worker_name.clone().unwrap_or_else(made_up),
        kind: plugin.kind(),
        work_queues: plan.work_queues.clone(),
        limit: plan.limit,
        prefetch: plan.prefetch,
        base_job_template_given: given.is_some(),
        base_job_template: given
            .or_else(|| plugin.base_job_template().as_json().as_object().cloned())
            .unwrap_or_default(),
        create_pool_if_not_found: plan.create_pool_if_not_found,
        query_interval: plan.query_interval,
        heartbeat_interval: plan.heartbeat_interval,
    }
}
