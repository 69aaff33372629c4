//! One API of a daemon, with all that is its runs' alone: client, deliveries, folder, journal, plugins, adoption and repair.
//!
//! Nothing in here is shared with another workspace, so a credential cannot get from one to another, and an API that does not
//! answer holds up nobody else's loops.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use central_api_client::{Client, EventEmitter, LogShipper, Spool};
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Span;
use url::Url;

use super::shared::Shared;
use crate::adoption::Adoption;
use crate::code_cache::CodeCache;
use crate::journal::{self, Record};
use crate::live_runs::WorkspaceIndex;
use crate::liveness::Delivering;
use crate::operator::{CORDONED, DeskWorkspace};
use crate::plan::WorkspacePlan;
use crate::preflight::{PreflightError, check_server_version};
use crate::registry::Registry;
use crate::repair::{self, Repair};
use crate::resources::Resources;
use crate::start_error::StartError;
use crate::state_folder::{self, StateFolder, StateFolderError};

/// Log lines and events are sent off every few seconds; this is how often their loops show that they could.
pub(super) const DELIVERIES: Duration = Duration::from_secs(10);

/// What the APIs of one daemon are opened with.
pub(super) struct Ground<'g> {
    pub(super) state_dir: &'g camino::Utf8Path,
    pub(super) shared: &'g Shared,
    /// Ends the deliveries.
    pub(super) deliveries: &'g CancellationToken,
    pub(super) loops: &'g TaskTracker,
    /// Whether pools wait for an API that gives no sensible answer at the start.
    pub(super) wait_for_api: bool,
    pub(super) check_server_version: bool,
}

/// One API that is served.
pub(super) struct Workspace {
    pub(super) index: WorkspaceIndex,
    pub(super) name: Option<String>,
    pub(super) resources: Resources,
    /// Held until the process ends.
    pub(super) folder: Arc<StateFolder>,
    pub(super) registry: Arc<Registry>,
    pub(super) adoption: Arc<Adoption>,
    /// Set once what earlier processes left is known.
    pub(super) first_pass: watch::Sender<bool>,
    pub(super) wait_for_api: bool,
    /// Whether the API has given this process a sensible answer.
    pub(super) api_is_right: Arc<AtomicBool>,
    version: Version,
}

/// An API that was opened, with what an earlier process left of it and the tasks that deliver to it.
pub(super) struct Opened {
    pub(super) workspace: Workspace,
    pub(super) left: Vec<Record>,
    pub(super) deliverers: [Delivering; 2],
    /// Whether the operator lets nothing new be taken.
    pub(super) is_cordoned: bool,
}

impl Workspace {
    /// Takes the folder of an API and reads what is in it.
    pub(super) fn open(index: WorkspaceIndex, plan: WorkspacePlan, ground: &Ground<'_>) -> Result<Opened, StartError> {
        let WorkspacePlan { name, mut client, plugins, mut run_settings, code_cache } = plan;
        let api_url = client.api_url.clone();
        let folder = Arc::new(state_folder::take(ground.state_dir, &api_url)?);
        let journal::Opened { journal, records, is_complete, .. } = journal::open(folder.path())?;
        // Of what was taken over only a record tells, or, where those were lost, the infrastructure.
        if records.is_empty() && is_complete {
            folder.forget_what_was_taken_over().map_err(|source| StateFolderError::unusable(&folder, source))?;
        }
        client.traffic = Some(Arc::new(ground.shared.metrics.clone()));
        let client = Client::new(client)?;
        let [log_spool, event_spool] = spools(&folder);
        let (logs, shipping) = LogShipper::start(client.clone(), ground.deliveries.clone(), Some(log_spool));
        let (events, emitting) = EventEmitter::start(client.clone(), ground.deliveries.clone(), Some(event_spool));
        run_settings.pulling.cache = code_cache.as_ref().and_then(opened_cache);
        let shared = ground.shared;
        let resources = Resources {
            client: client.clone(),
            logs,
            events,
            live: shared.live.clone(),
            actors: shared.actors.clone(),
            journal: Arc::new(journal),
            output: shared.output.clone(),
            run_settings: Arc::new(run_settings),
            timelines: shared.timelines.clone(),
            audit: shared.audit.clone(),
            policy: shared.policy.clone(),
            metrics: shared.metrics.of_workspace(name.as_deref()),
            secrets: shared.secrets.clone(),
            together: Arc::default(),
            traces: shared.traces.of_workspace(name.as_deref()),
        };
        let is_cordoned = resources.journal.recall(CORDONED).unwrap_or(false);
        let registry = Arc::new(Registry::new(plugins.of_daemon(folder.owner(), folder.path())));
        let adoption = adoption(index, &resources, &registry, &folder, api_url, ground);
        let workspace = Self {
            index,
            name,
            resources,
            folder,
            registry,
            adoption: Arc::new(adoption),
            first_pass: watch::Sender::new(false),
            // With runs to look after it is no first start, and the settings were right before.
            wait_for_api: ground.wait_for_api || !records.is_empty(),
            api_is_right: Arc::default(),
            version: Version::of(client, ground.check_server_version),
        };
        let of = workspace.name.as_ref().map(|name| format!(" of '{name}'")).unwrap_or_default();
        let pulse = |what: &str| shared.liveness.pulse(format!("delivery of {what}{of}"), DELIVERIES);
        let (logs, events) = (workspace.resources.logs.clone(), workspace.resources.events.clone());
        let deliverers = [
            Delivering { pulse: pulse("logs"), task: shipping, moves: Some(Box::new(move || logs.moves())) },
            Delivering { pulse: pulse("events"), task: emitting, moves: Some(Box::new(move || events.moves())) },
        ];
        Ok(Opened { workspace, left: records, deliverers, is_cordoned })
    }

    /// Under which its loops log. An API without a name needs none.
    pub(super) fn span(&self) -> Span {
        self.name.as_ref().map_or_else(Span::none, |name| tracing::info_span!("workspace", name))
    }

    /// What compares its runs with what is there.
    pub(super) fn repair(&self, shared: &Shared, grace: Duration) -> Repair {
        let of = self.name.as_ref().map_or_else(|| "repair".to_owned(), |name| format!("repair of '{name}'"));
        Repair {
            workspace: self.index,
            client: self.resources.client.clone(),
            live: self.resources.live.clone(),
            plugins: self.registry.all(),
            adoption: Arc::clone(&self.adoption),
            grace,
            first_pass: self.first_pass.clone(),
            metrics: self.resources.metrics.clone(),
            pulse: shared.liveness.pulse(of, repair::INTERVAL),
        }
    }

    /// The server's version, asked for once.
    pub(super) fn version(&self) -> Version {
        self.version.clone()
    }

    pub(super) fn for_desk(&self) -> DeskWorkspace {
        DeskWorkspace {
            name: self.name.clone(),
            client: self.resources.client.clone(),
            journal: Arc::clone(&self.resources.journal),
        }
    }
}

/// The version of a server, which all pools of it wait for and one asks for.
#[derive(Clone)]
pub(super) struct Version {
    /// Absent if it does not matter.
    client: Option<Client>,
    /// The version of a server that no worker of ours can serve.
    unusable: Arc<OnceCell<Option<String>>>,
}

impl Version {
    fn of(client: Client, is_wanted: bool) -> Self {
        Self { client: (is_wanted && !client.is_cloud()).then_some(client), unusable: Arc::default() }
    }

    pub(super) async fn check(&self) -> Result<(), PreflightError> {
        let Some(client) = &self.client else { return Ok(()) };
        let ask = || async {
            match check_server_version(client).await {
                Err(PreflightError::ServerVersion { server }) => Some(server),
                Ok(()) | Err(_) => None,
            }
        };
        match self.unusable.get_or_init(ask).await {
            Some(server) => Err(PreflightError::ServerVersion { server: server.clone() }),
            None => Ok(()),
        }
    }
}

fn adoption(
    index: WorkspaceIndex,
    resources: &Resources,
    registry: &Arc<Registry>,
    folder: &Arc<StateFolder>,
    api_url: Url,
    ground: &Ground<'_>,
) -> Adoption {
    Adoption {
        resources: resources.clone(),
        registry: Arc::clone(registry),
        workspace: index,
        pools: ground.shared.pools.clone(),
        budget: ground.shared.budget.clone(),
        folder: Arc::clone(folder),
        state_dir: ground.state_dir.to_owned(),
        api_url,
        deliveries: ground.deliveries.clone(),
        deliverers: ground.loops.clone(),
        left_since: Mutex::default(),
        forgotten: Mutex::default(),
    }
}

fn opened_cache(kept: &CodeCache) -> Option<code_storage::Cache> {
    match kept.open() {
        Ok(cache) => Some(cache),
        Err(error) => {
            // It only makes runs faster.
            tracing::warn!("no code is kept for later runs in {}: {error}", kept.directory);
            None
        }
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
