//! Which watches there are.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::feed::{Restarts, feed};
use super::store::Store;
use crate::cluster::{CallError, Cluster};
use crate::marks::FLOW_RUN_ID;

/// That not all namespaces may be watched is asked about again after this.
const ASK_AGAIN: Duration = Duration::from_mins(10);

/// What one set of watches covers, and what it has.
pub(crate) struct Scope {
    /// `None` is all namespaces.
    pub(crate) namespace: Option<String>,
    pub(crate) cluster: Cluster,
    pub(crate) store: Arc<Store>,
    jobs: watch::Receiver<bool>,
    pods: watch::Receiver<bool>,
    _tasks: [AbortOnDropHandle<()>; 3],
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("cluster", &self.cluster)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Scope {
    /// Whether both lists have been complete once.
    pub(crate) fn is_synced(&self) -> bool {
        *self.jobs.borrow() && *self.pods.borrow()
    }

    /// Waits until both lists have been complete once, but no longer than this. Cancel safe.
    pub(crate) async fn synced(&self, within: Duration) {
        let (mut jobs, mut pods) = (self.jobs.clone(), self.pods.clone());
        let both = async {
            // The senders go on as long as the tasks of this scope.
            drop(jobs.wait_for(|is_synced| *is_synced).await);
            drop(pods.wait_for(|is_synced| *is_synced).await);
        };
        drop(tokio::time::timeout(within, both).await);
    }

    fn begin(cluster: Cluster, namespace: Option<String>, labels: &str, restarts: &Restarts) -> Self {
        let store = Arc::new(Store::default());
        let (jobs_synced, jobs) = watch::channel(false);
        let (pods_synced, pods) = watch::channel(false);
        let labelled = watcher::Config::default().labels(labels);
        let of_jobs = feed::<Job>(
            api(&cluster, namespace.as_deref()),
            labelled.clone(),
            Arc::clone(&store),
            jobs_synced,
            restarts.clone(),
        );
        let of_pods = feed::<Pod>(
            api(&cluster, namespace.as_deref()),
            labelled,
            Arc::clone(&store),
            pods_synced,
            restarts.clone(),
        );
        // Events carry no labels; warnings are few.
        let warnings = watcher::Config::default().fields("type=Warning").any_semantic();
        let of_events = feed::<Event>(
            api(&cluster, namespace.as_deref()),
            warnings,
            Arc::clone(&store),
            watch::Sender::new(false),
            restarts.clone(),
        );
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(of_jobs)),
            AbortOnDropHandle::new(tokio::spawn(of_pods)),
            AbortOnDropHandle::new(tokio::spawn(of_events)),
        ];
        Self { namespace, cluster, store, jobs, pods, _tasks: tasks }
    }
}

/// Made anew whenever a watch is: with the credentials of then.
fn api<K>(cluster: &Cluster, namespace: Option<&str>) -> impl Fn() -> Api<K> + Send + use<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType: Default>,
{
    let (cluster, namespace) = (cluster.clone(), namespace.map(str::to_owned));
    move || match &namespace {
        Some(namespace) => Api::namespaced(cluster.client(), namespace),
        None => Api::all(cluster.client()),
    }
}

/// What tells scopes apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Covered {
    cluster: String,
    namespace: Option<String>,
    /// Whether only what has the labels of the settings is in it.
    is_filtered: bool,
}

/// The scopes of all clusters, begun when they are first needed.
#[derive(Debug)]
pub(crate) struct Scopes {
    /// Labels that what is observed must have besides that of a flow run.
    filters: String,
    /// Namespaces that are asked for; empty is all, where that is allowed.
    wanted: Vec<String>,
    begun: Mutex<HashMap<Covered, Arc<Scope>>>,
    /// Whether all namespaces of a cluster may be watched, by cluster, and when that was found out.
    everywhere: Mutex<HashMap<String, (bool, Instant)>>,
    restarts: Restarts,
}

impl Scopes {
    /// `filters` are labels that what is observed must have. What this worker launches itself need not.
    pub(crate) fn new<'f>(wanted: Vec<String>, filters: impl IntoIterator<Item = (&'f String, &'f String)>) -> Self {
        let filters = filters.into_iter().fold(String::new(), |all, (label, value)| format!("{all},{label}={value}"));
        let (begun, everywhere, restarts) = (Mutex::default(), Mutex::default(), Restarts::default());
        Self { filters, wanted, begun, everywhere, restarts }
    }

    /// How often watches broke and were begun again.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.count()
    }

    /// Namespaces that are asked for.
    pub(crate) fn wanted(&self) -> &[String] {
        &self.wanted
    }

    /// The scope that covers a namespace.
    pub(crate) async fn covering(&self, cluster: &Cluster, namespace: &str) -> Result<Arc<Scope>, CallError> {
        let namespace = if self.is_everywhere(cluster).await? { None } else { Some(namespace.to_owned()) };
        Ok(self.begin(cluster, namespace, false).await)
    }

    /// The scopes that are to be observed in a cluster: those that are asked for, else all namespaces, else these.
    pub(crate) async fn observed(&self, cluster: &Cluster, known: &[String]) -> Result<Vec<Arc<Scope>>, CallError> {
        let is_filtered = !self.filters.is_empty();
        if self.is_everywhere(cluster).await? {
            return Ok(vec![self.begin(cluster, None, is_filtered).await]);
        }
        let namespaces = if self.wanted.is_empty() { known } else { &self.wanted };
        let mut scopes = Vec::new();
        for namespace in namespaces {
            scopes.push(self.begin(cluster, Some(namespace.clone()), is_filtered).await);
        }
        Ok(scopes)
    }

    /// The scope that covers a namespace, if it is complete, without asking anybody.
    pub(crate) async fn complete(&self, cluster: &str, namespace: &str) -> Option<Arc<Scope>> {
        let begun = self.begun.lock().await;
        let covers = |namespace| begun.get(&Covered { cluster: cluster.to_owned(), namespace, is_filtered: false });
        covers(None).or_else(|| covers(Some(namespace.to_owned()))).filter(|scope| scope.is_synced()).cloned()
    }

    async fn begin(&self, cluster: &Cluster, namespace: Option<String>, is_filtered: bool) -> Arc<Scope> {
        let mut begun = self.begun.lock().await;
        let covered = Covered { cluster: cluster.id.clone(), namespace: namespace.clone(), is_filtered };
        let scope = begun.entry(covered).or_insert_with(|| {
            let filters = if is_filtered { self.filters.as_str() } else { "" };
            let labels = format!("{FLOW_RUN_ID}{filters}");
            Arc::new(Scope::begin(cluster.clone(), namespace, &labels, &self.restarts))
        });
        Arc::clone(scope)
    }

    /// Whether all namespaces are watched at once.
    pub(crate) async fn is_everywhere(&self, cluster: &Cluster) -> Result<bool, CallError> {
        if !self.wanted.is_empty() {
            return Ok(false);
        }
        let known = self.everywhere.lock().await.get(&cluster.id).copied();
        // A right may be granted later.
        if let Some((may, since)) = known
            && (may || since.elapsed() < ASK_AGAIN)
        {
            return Ok(may);
        }
        // Nobody waits meanwhile: another cluster may answer.
        let may = match (cluster.lists_everywhere().await, known) {
            (Ok(may), _) => may,
            (Err(_), Some((before, _))) => return Ok(before),
            (Err(error), None) => return Err(error),
        };
        if !may && known.is_none() {
            tracing::info!(
                "Jobs and pods of all namespaces may not be listed here; only namespaces with runs of this worker are watched"
            );
        }
        self.everywhere.lock().await.insert(cluster.id.clone(), (may, Instant::now()));
        Ok(may)
    }
}
