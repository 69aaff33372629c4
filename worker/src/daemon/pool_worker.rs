//! One pool, ready to start: its parts and its loops.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use central_api_client::{Client, EventEmitter};
use central_api_wire::event::{Event, Resource};
use central_api_wire::work_pool::WorkPool;
use infra_contract::{CancelsRunning, InfraPlugin, Owner};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};
use uuid::Uuid;
use worker_core::handle::PluginKind;

use super::shared::Shared;
use super::workspace::Workspace;
use crate::admission::Admission;
use crate::cancellation::{CancellationPolicy, Observer, PickUpEvents};
use crate::dispatcher::Dispatcher;
use crate::liveness::{Liveness, Pulse};
use crate::metrics::Metrics;
use crate::operator::{PlannedPool, Standing};
use crate::plan::{CancellationPlan, PoolPlan};
use crate::pool::channel::ChannelLoop;
use crate::pool::poller::{LastPoll, Poller};
use crate::pool::sync::SyncLoop;
use crate::pool::{Announcements, ChannelHealth, PoolSettings, PoolView, TeardownDesk};
use crate::refusals::Refusals;
use crate::registry::Registered;
use crate::run::elsewhere::Elsewhere;
use crate::run::{WorkerIdentity, lifecycle_event, worker_resource};

pub(super) struct PoolWorker {
    pub(super) settings: Arc<PoolSettings>,
    pub(super) dispatcher: Dispatcher,
    /// The pool as people are told of it.
    place: String,
    /// Under which its loops log.
    span: Span,
    pub(super) events: EventEmitter,
    client: Client,
    identity: Arc<WorkerIdentity>,
    plugin: Arc<dyn InfraPlugin>,
    view: PoolView,
    channel: ChannelHealth,
    last_poll: Arc<LastPoll>,
    announcements: Announcements,
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
        name: Option<String>,
        pool: Option<Arc<WorkPool>>,
        registered: Registered,
        workspace: &Workspace,
        shared: &Shared,
    ) -> Self {
        let PlannedPool { index, plan, last_poll, limit, .. } = planned;
        let Registered { plugin, worker_class, slots_held } = registered;
        let made_up = made_up_name(worker_class, workspace.folder.owner());
        let settings = Arc::new(settings(plan, name.or_else(|| plan.worker_name.clone()).unwrap_or(made_up), &*plugin));
        workspace.resources.metrics.pool_served(&settings.pool, &settings.kind);
        let name = settings.worker_name.clone();
        let resources = &workspace.resources;
        let client = resources.client.attributed(&name);
        let identity = Arc::new(WorkerIdentity { name, kind: plugin.kind(), id: OnceLock::new() });
        let (rerun, sandbox) = (Arc::new(plan.rerun.clone()), Arc::new(plan.sandbox.clone()));
        let dispatcher = Dispatcher {
            pool: *index,
            limit: Some(limit.clone()),
            budget: shared.budget.clone(),
            priority: plan.priority,
            slots_held,
            live: shared.live.clone(),
            refusals: Refusals::default(),
            tasks: shared.actors.clone(),
            around: resources.surroundings(client.clone(), Arc::clone(&identity), Arc::clone(&plugin), rerun, sandbox),
        };
        Self {
            settings,
            place: plan.place(),
            span: workspace.span(),
            events: resources.events.clone(),
            dispatcher,
            client,
            identity,
            plugin,
            view: PoolView::default(),
            channel: ChannelHealth::default(),
            last_poll: Arc::clone(last_poll),
            announcements: Announcements::default(),
            asked_about: pool,
            cancellation: shared.cancellation,
            first_pass: workspace.first_pass.subscribe(),
            cordoned: shared.cordoned.subscribe(),
            liveness: shared.liveness.clone(),
            admission: shared.admission.clone(),
            serves: shared.serves.clone(),
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.dispatcher.around.metrics
    }

    /// The pool as the operator sees it from now on.
    pub(super) fn standing(&self) -> Standing {
        Standing::Served {
            worker: self.settings.worker_name.clone(),
            view: self.view.clone(),
            plugin: Arc::clone(&self.plugin),
        }
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
            metrics: self.metrics().clone(),
            pulse: self.pulse("worker channel", self.settings.heartbeat_interval),
        };
        let sync = SyncLoop { pulse: self.pulse("sync", self.settings.heartbeat_interval), ..self.sync() };
        let poller = Poller { pulse: self.pulse("poller", self.settings.query_interval), ..self.poller() };
        loops.spawn(channel.run(stop.clone()).instrument(self.span.clone()));
        loops.spawn(sync.run(stop.clone()).instrument(self.span.clone()));
        loops.spawn(poller.run(intake.clone()).instrument(self.span.clone()));
        self.spawn_observer(loops, stop);
        self.serves.send_replace(true);
    }

    /// The kind of its infrastructure.
    pub(super) fn kind(&self) -> PluginKind {
        self.plugin.kind()
    }

    /// What watches runs of its kind that others execute, if the kind asks for it. One for a daemon is enough.
    pub(super) fn elsewhere(&self) -> Option<Elsewhere> {
        let observer = self.plugin.observer()?;
        let api = Arc::clone(&self.dispatcher.around.api);
        Some(Elsewhere::new(observer, api, self.client.clone(), self.dispatcher.live.clone()))
    }

    fn pulse(&self, of: &str, interval: Duration) -> Pulse {
        self.liveness.pulse(format!("{of} of '{}'", self.place), interval)
    }

    fn teardown_desk(&self) -> Option<TeardownDesk> {
        self.plugin.capabilities().handles_cleanup_messages.then(|| TeardownDesk {
            client: self.client.clone(),
            live: self.dispatcher.live.clone(),
            plugin: Arc::clone(&self.plugin),
            timelines: self.dispatcher.around.timelines.clone(),
            metrics: self.metrics().clone(),
        })
    }

    /// Starts the one loop that a single round needs as well.
    pub(super) fn spawn_observer(&self, loops: &TaskTracker, stop: &CancellationToken) {
        loops.spawn(self.observer().run(stop.clone()).instrument(self.span.clone()));
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
            announcements: self.announcements.clone(),
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
            metrics: self.metrics().clone(),
            name: self.settings.pool.clone(),
            crash_when_blind: self.cancellation.crash_when_blind && policy.must_observe(),
            pick_up: self.settings.pick_up_events.then(|| PickUpEvents {
                announcements: self.announcements.clone(),
                queues: self.settings.work_queues.clone(),
            }),
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

/// The name of a worker that was given none. An API keeps an entry for each name that it has ever heard, so a daemon that comes
/// back has its old one; no two daemons have the same folder at a time, nor two machines the same mark.
fn made_up_name(worker_class: &str, owner: &Owner) -> String {
    format!("{worker_class} {}", owner.mark())
}

fn settings(plan: &PoolPlan, worker_name: String, plugin: &dyn InfraPlugin) -> PoolSettings {
    let given = plan.base_job_template.clone();
    PoolSettings {
        pool: plan.pool.clone(),
        worker_name,
        kind: plugin.kind(),
        work_queues: plan.work_queues.clone(),
        late: plan.late,
        prefetch: plan.prefetch,
        pick_up_events: plan.pick_up_events,
        base_job_template_given: given.is_some(),
        base_job_template: given
            .or_else(|| plugin.base_job_template().as_json().as_object().cloned())
            .unwrap_or_default(),
        create_pool_if_not_found: plan.create_pool_if_not_found,
        query_interval: plan.query_interval,
        heartbeat_interval: plan.heartbeat_interval,
    }
}
