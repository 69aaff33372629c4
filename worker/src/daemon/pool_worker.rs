//! One pool, ready to start: its parts and its loops.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use central_api_client::Client;
use central_api_wire::event::{Event, Resource};
use central_api_wire::work_pool::WorkPool;
use infra_contract::{CancelsRunning, InfraPlugin};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::admission::Admission;
use crate::cancellation::{CancellationPolicy, Observer};
use crate::dispatcher::Dispatcher;
use crate::health::Watched;
use crate::liveness::{Liveness, Pulse};
use crate::operator::{PlannedPool, Standing};
use crate::plan::{CancellationPlan, PoolPlan};
use crate::pool::channel::ChannelLoop;
use crate::pool::poller::{LastPoll, Poller};
use crate::pool::sync::SyncLoop;
use crate::pool::{ChannelHealth, PoolSettings, PoolView, TeardownDesk};
use crate::refusals::Refusals;
use crate::registry::Registered;
use crate::resources::Resources;
use crate::run::{WorkerIdentity, lifecycle_event, worker_resource};

/// What the pool workers of a daemon share.
pub(super) struct Shared {
    pub(super) resources: Resources,
    pub(super) cancellation: CancellationPlan,
    /// Set once what earlier processes left is known.
    pub(super) first_pass: watch::Sender<bool>,
    /// Set while the operator lets nothing new be taken.
    pub(super) cordoned: watch::Sender<bool>,
    /// All loops.
    pub(super) liveness: Liveness,
    /// Whether this machine can bear more runs.
    pub(super) admission: Admission,
    /// Set once a pool is served, or from the beginning if that may take its time.
    pub(super) serves: watch::Sender<bool>,
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
    first_pass: watch::Receiver<bool>,
    cordoned: watch::Receiver<bool>,
    liveness: Liveness,
    admission: Admission,
    serves: watch::Sender<bool>,
}

impl PoolWorker {
    /// A worker for a pool that was asked about: `pool` is what the API had then.
    pub(super) fn new(
        planned: &PlannedPool,
        pool: Option<Arc<WorkPool>>,
        registered: Registered,
        shared: &Shared,
    ) -> Self {
        let PlannedPool { index, plan, last_poll, limit, .. } = planned;
        let Registered { plugin, worker_class } = registered;
        let settings = Arc::new(settings(plan, &*plugin, worker_class));
        let name = settings.worker_name.clone();
        let client = shared.resources.client.attributed(&name);
        let identity = Arc::new(WorkerIdentity { name, kind: plugin.kind(), id: OnceLock::new() });
        let rerun = Arc::new(plan.rerun.clone());
        let dispatcher = Dispatcher {
            pool: *index,
            limit: Some(limit.clone()),
            live: shared.resources.live.clone(),
            refusals: Refusals::default(),
            tasks: shared.resources.actors.clone(),
            around: shared.resources.surroundings(client.clone(), Arc::clone(&identity), Arc::clone(&plugin), rerun),
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
            first_pass: shared.first_pass.subscribe(),
            cordoned: shared.cordoned.subscribe(),
            liveness: shared.liveness.clone(),
            admission: shared.admission.clone(),
            serves: shared.serves.clone(),
        }
    }

    /// The pool as the operator sees it from now on.
    pub(super) fn standing(&self) -> Standing {
        Standing::Served { worker: self.settings.worker_name.clone(), view: self.view.clone() }
    }

    /// Starts all loops. `intake` ends what brings new runs, `stop` the rest.
    pub(super) fn spawn_loops(&self, loops: &TaskTracker, intake: &CancellationToken, stop: &CancellationToken) {
        let channel = ChannelLoop {
            client: self.client.clone(),
            settings: Arc::clone(&self.settings),
            identity: Arc::clone(&self.identity),
            view: self.view.clone(),
            health: self.channel.clone(),
            consumer: Uuid::now_v7(),
            teardown: self.teardown_desk(),
            pulse: self.pulse("worker channel", self.settings.heartbeat_interval),
        };
        let sync = SyncLoop { pulse: self.pulse("sync", self.settings.heartbeat_interval), ..self.sync() };
        let poller = Poller { pulse: self.pulse("poller", self.settings.query_interval), ..self.poller() };
        loops.spawn(channel.run(stop.clone()));
        loops.spawn(sync.run(stop.clone()));
        loops.spawn(poller.run(intake.clone()));
        self.spawn_observer(loops, stop);
        self.serves.send_replace(true);
    }

    fn pulse(&self, of: &str, interval: Duration) -> Pulse {
        self.liveness.pulse(format!("{of} of '{}'", self.settings.pool), interval)
    }

    fn teardown_desk(&self) -> Option<TeardownDesk> {
        self.plugin.capabilities().handles_cleanup_messages.then(|| TeardownDesk {
            client: self.client.clone(),
            live: self.dispatcher.live.clone(),
            plugin: Arc::clone(&self.plugin),
            timelines: self.dispatcher.around.timelines.clone(),
        })
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
            pulse: Pulse::default(),
        }
    }

    pub(super) fn poller(&self) -> Poller {
        Poller {
            client: self.client.clone(),
            settings: Arc::clone(&self.settings),
            view: self.view.clone(),
            dispatcher: self.dispatcher.clone(),
            last_poll: Arc::clone(&self.last_poll),
            first_pass: self.first_pass.clone(),
            cordoned: self.cordoned.clone(),
            admission: self.admission.clone(),
            pulse: Pulse::default(),
        }
    }

    fn observer(&self) -> Observer {
        let cancels_running = self.plugin.capabilities().cancels_running;
        let poll_interval = match cancels_running {
            CancelsRunning::Worker => self.cancellation.poll,
            CancelsRunning::Infrastructure => self.cancellation.supervised_poll,
        };
        let policy = CancellationPolicy { cancels_running, enabled: self.cancellation.enabled };
        Observer {
            client: self.client.clone(),
            pool: self.dispatcher.pool,
            view: self.view.clone(),
            live: self.dispatcher.live.clone(),
            policy,
            poll_interval,
            crash_when_blind: self.cancellation.crash_when_blind && policy.must_observe(),
            listening: self.pulse("stream of cancellations", poll_interval),
            asking: self.pulse("questions for cancellations", poll_interval),
        }
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
