use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::faults::Faults;
use crate::jobs;
use crate::kubelet::{self, NODE};
use crate::logs::Log;
use crate::pod_state::PodState;
use crate::records::Request;
use crate::resource::Resource;
use crate::server::Server;
use crate::state::{Key, Shared, State, now, text};
use crate::verb::Verb;

/// How long [`Api::until`] waits.
const PATIENCE: Duration = Duration::from_mins(1);

/// A Kubernetes API service on the loopback. It stops, with all its connections, when it is dropped.
///
/// At first it is a server of version 1.33 with the Job controller and the garbage collector on, one node, and a kubelet
/// that does nothing by itself. Where a method takes the name of an object, its namespace does not matter.
pub struct Api {
    shared: Arc<Shared>,
    server: Server,
    kubelet: JoinHandle<()>,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

impl Api {
    /// Starts a server on a port of the system's choice.
    pub async fn start() -> Self {
        let shared = Shared::new();
        let server = match Server::start(Arc::clone(&shared)).await {
            Ok(server) => server,
            Err(error) => panic!("the system gave no port: {error}"),
        };
        let kubelet = tokio::spawn(kubelet::run(Arc::clone(&shared)));
        let api = Self { shared, server, kubelet };
        let status = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]});
        api.put("nodes", "", NODE, json!({"spec": {}, "status": status}));
        api
    }

    /// `http://127.0.0.1:...`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The text of a kubeconfig file for this server: context `test`, namespace `default`, token `test-token`.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url()}}],
            "users": [{"name": "test", "user": {"token": "test-token"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        })
        .to_string()
    }

    /// The configuration of a client, namespace `default`. As it is, the client repeats requests that are answered with
    /// 429, 503 or 504; `default_retry` turns that off.
    pub fn config(&self) -> Config {
        match self.url().parse() {
            Ok(url) => Config::new(url),
            Err(error) => panic!("{}: {error}", self.url()),
        }
    }

    /// A client that shows each answer as it comes: it repeats no request by itself.
    pub fn client(&self) -> Client {
        let mut config = self.config();
        config.default_retry = false;
        match Client::try_from(config) {
            Ok(client) => client,
            Err(error) => panic!("no client: {error}"),
        }
    }

    /// What makes faults.
    pub fn faults(&self) -> Faults<'_> {
        Faults(&self.shared)
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.read(|state| state.records.clone())
    }

    /// How many such requests came. A resource is `pods`, or `pods/log` for a subresource.
    pub fn count(&self, verb: Verb, resource: &str) -> usize {
        self.shared.read(|state| {
            let such = state.records.iter().filter(|record| record.verb == verb && record.rule_name() == resource);
            such.count()
        })
    }

    /// Forgets the requests so far. Those that are not answered yet keep no status.
    pub fn forget_requests(&self) {
        self.shared.write(|state| state.records.clear());
    }

    /// How many watches of a resource are open.
    pub fn open_watches(&self, resource: &str) -> usize {
        let resource = known(resource);
        self.shared.read(|state| state.open_watches.get(&resource).copied().unwrap_or(0))
    }

    /// How many logs are followed.
    pub fn open_logs(&self) -> usize {
        self.shared.read(|state| state.open_logs)
    }

    /// Waits until `check` finds something, which it is asked again after each change of any kind.
    pub async fn until<T>(&self, what: &str, mut check: impl FnMut(&Self) -> Option<T>) -> T {
        let mut changed = self.shared.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = check(self) {
                    return Some(found);
                }
                if changed.changed().await.is_err() {
                    return None;
                }
            }
        };
        if let Ok(Some(found)) = timeout(PATIENCE, found).await {
            return found;
        }
        let requests: Vec<String> = self.requests().iter().map(ToString::to_string).collect();
        panic!("{what}: not in {PATIENCE:?}; requests:\n{}", requests.join("\n"))
    }

    /// Waits until so many such requests came.
    pub async fn until_requests(&self, verb: Verb, resource: &str, n: usize) {
        let what = format!("{n} of {verb} {resource}");
        self.until(&what, |api| (api.count(verb, resource) >= n).then_some(())).await;
    }

    /// Waits until a resource has at least so many open watches.
    pub async fn until_watches(&self, resource: &str, n: usize) {
        let what = format!("{n} watches of {resource}");
        self.until(&what, |api| (api.open_watches(resource) >= n).then_some(())).await;
    }

    /// Makes this a server of version 1.`minor`. Strict validation of fields came with 25, the labels and the selector
    /// with the prefix `batch.kubernetes.io/` with 27, the conditions `FailureTarget` and `SuccessCriteriaMet` with 31.
    pub fn set_version(&self, minor: u32) {
        self.shared.write(|state| state.settings.minor = minor);
    }

    /// Turns the controller on or off that makes pods of Jobs and ends Jobs.
    pub fn job_controller(&self, on: bool) {
        self.shared.write(|state| {
            state.settings.job_controller = on;
            state.control_all();
        });
    }

    /// Turns the collector on or off that deletes what belongs to what is gone, or never was: also what a test puts with
    /// an owner that is not there.
    pub fn garbage_collector(&self, on: bool) {
        self.shared.write(|state| {
            state.settings.garbage_collector = on;
            state.control_all();
        });
    }

    /// With a delay, pods run, succeed and obey their deletion by themselves, each step after the delay.
    pub fn auto_kubelet(&self, delay: Option<Duration>) {
        self.shared.write(|state| state.settings.kubelet = delay);
    }

    /// Declares that a namespace does not exist; all others do.
    pub fn missing_namespace(&self, namespace: &str) {
        self.shared.write(|state| state.settings.missing_namespaces.push(namespace.to_owned()));
    }

    /// Declares a field that this server does not know, such as `spec.podFailurePolicy`, in any kind of object. The path
    /// goes through lists without an index.
    pub fn unknown_field(&self, path: &str) {
        self.shared.write(|state| state.settings.unknown_fields.push(path.to_owned()));
    }

    /// Forbids requests, with 403, and answers access reviews accordingly. A resource is `pods`, or `pods/log`.
    pub fn forbid(&self, verb: Verb, resource: &str) {
        self.shared.write(|state| state.settings.forbidden.push((verb, resource.to_owned())));
    }

    /// Permits all that was forbidden.
    pub fn permit_all(&self) {
        self.shared.write(|state| state.settings.forbidden.clear());
    }

    /// Answers access reviews by a rule, which is given the `resourceAttributes`. The rule forbids no request.
    pub fn answer_reviews(&self, allows: impl Fn(&Value) -> bool + Send + Sync + 'static) {
        self.shared.write(|state| state.settings.reviewer = Some(Arc::new(allows)));
    }

    /// The time between the bookmarks of a watch that is opened from now on; a minute, as it is.
    pub fn bookmark_every(&self, every: Duration) {
        self.shared.write(|state| state.settings.bookmark_every = every);
    }

    /// Makes all open watches that take bookmarks send one.
    pub fn bookmark(&self) {
        self.shared.write(|state| state.bookmarks += 1);
    }

    /// Forgets the history: a watch that starts before now, and a list that goes on from before, are answered 410.
    pub fn compact(&self) {
        self.shared.write(|state| {
            state.compacted = state.version();
            state.pages.clear();
        });
    }

    /// The current `resourceVersion`.
    pub fn version(&self) -> u64 {
        self.shared.read(State::version)
    }

    /// An object.
    pub fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.shared.read(|state| state.find(known(resource), name)).map(|(_, object)| (*object).clone())
    }

    /// All objects of a resource.
    pub fn list(&self, resource: &str) -> Vec<Value> {
        self.shared.read(|state| state.of(known(resource)).map(|(_, object)| (**object).clone()).collect())
    }

    /// Puts an object as it is, new or over an old one, and returns it. The namespace of a node is empty.
    pub fn put(&self, resource: &str, namespace: &str, name: &str, object: Value) -> Value {
        let key = Key { resource: known(resource), namespace: namespace.to_owned(), name: name.to_owned() };
        self.shared.write(|state| {
            if state.get(&key).is_none() {
                return (*state.insert(&key, object)).clone();
            }
            state.edit(&key, |old| {
                for (field, value) in object.as_object().into_iter().flatten() {
                    if field != "metadata" {
                        old[field.as_str()] = value.clone();
                    }
                }
            });
            state.get(&key).map(|object| (**object).clone()).unwrap_or_default()
        })
    }

    /// Changes an object as the cluster would behind the client's back.
    pub fn edit(&self, resource: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let resource = known(resource);
        self.shared.write(|state| state.edit(&found(state, resource, name), edit));
    }

    /// Removes an object at once, whatever its finalizers.
    pub fn remove(&self, resource: &str, name: &str) {
        let resource = known(resource);
        self.shared.write(|state| state.remove(&found(state, resource, name)));
    }

    /// The names of the pods of a Job, the oldest first.
    pub fn pods_of(&self, job: &str) -> Vec<String> {
        self.shared.read(|state| pods_of(state, job))
    }

    /// Waits for a Job to have a pod, and returns the name of the newest.
    pub async fn pod_of(&self, job: &str) -> String {
        self.until(&format!("a pod of {job}"), |api| api.pods_of(job).pop()).await
    }

    /// Waits until there is a Job, and returns its name; the newest of several.
    pub async fn any_job(&self) -> String {
        let newest = |api: &Self| {
            let jobs = api.list("jobs");
            jobs.iter().max_by_key(|job| version_of(job)).map(|job| text(job, "/metadata/name").to_owned())
        };
        self.until("a job", newest).await
    }

    /// Brings a pod to a state, as its kubelet would.
    pub fn set_pod(&self, name: &str, to: &PodState) {
        self.shared.write(|state| kubelet::set_pod(state, &found(state, Resource::Pods, name), to));
    }

    /// Removes a pod at once: the end of its deletion, or the loss of it.
    pub fn delete_pod_object(&self, name: &str) {
        self.remove("pods", name);
    }

    /// Ends a Job as failed though its pods are well, for example as `DeadlineExceeded`.
    pub fn fail_job(&self, name: &str, reason: &str, message: &str) {
        self.shared.write(|state| jobs::fail_job(state, &found(state, Resource::Jobs, name), reason, message));
    }

    /// Puts an event about an object that is there: its kind is `Pod`, `Job` or `Node`; `level` is `Normal` or `Warning`.
    pub fn emit_event(&self, kind: &str, name: &str, level: &str, reason: &str, message: &str) {
        let Some(resource) = Resource::from_kind(kind) else { panic!("no kind {kind} here") };
        self.shared.write(|state| {
            let about = found(state, resource, name);
            let object = state.get(&about).map(Arc::clone).unwrap_or_default();
            let namespace = if about.namespace.is_empty() { "default" } else { &about.namespace }.to_owned();
            let event = json!({
                "involvedObject": {
                    "kind": kind, "apiVersion": resource.api_version(), "name": name, "namespace": about.namespace,
                    "uid": text(&object, "/metadata/uid"), "resourceVersion": text(&object, "/metadata/resourceVersion"),
                },
                "type": level, "reason": reason, "message": message, "count": 1, "firstTimestamp": now(),
                "lastTimestamp": now(), "source": {"component": "kubelet", "host": NODE},
                "reportingComponent": "kubelet", "reportingInstance": NODE,
            });
            let name = format!("{name}.{:016x}", state.version() + 1);
            state.insert(&Key { resource: Resource::Events, namespace, name }, event);
        });
    }

    /// Adds to what a container wrote, now.
    pub fn append_log(&self, pod: &str, container: &str, text: &str) {
        self.append_log_at(Timestamp::now(), pod, container, text);
    }

    /// Adds to what a container wrote, at a time.
    pub fn append_log_at(&self, at: Timestamp, pod: &str, container: &str, text: &str) {
        let of = (pod.to_owned(), container.to_owned());
        self.shared.write(|state| state.logs.entry(of).or_default().append(at, text));
    }

    /// Sets what a container wrote, as if it did so now.
    pub fn set_log(&self, pod: &str, container: &str, text: &str) {
        let of = (pod.to_owned(), container.to_owned());
        self.shared.write(|state| state.logs.insert(of, written(text)));
    }

    /// Sets what a container wrote before it was started again.
    pub fn set_previous_log(&self, pod: &str, container: &str, text: &str) {
        let of = (pod.to_owned(), container.to_owned());
        self.shared.write(|state| state.previous_logs.insert(of, written(text)));
    }
}

fn written(text: &str) -> Log {
    let mut log = Log::default();
    log.append(Timestamp::now(), text);
    log
}

fn known(plural: &str) -> Resource {
    let Some(resource) = Resource::from_plural(plural) else { panic!("no resource {plural} here") };
    resource
}

fn found(state: &State, resource: Resource, name: &str) -> Key {
    let Some((key, _)) = state.find(resource, name) else { panic!("no {} {name}", resource.plural()) };
    key
}

fn version_of(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or(0)
}

fn pods_of(state: &State, job: &str) -> Vec<String> {
    let label = |pod: &Value| pod.pointer("/metadata/labels/job-name").and_then(Value::as_str) == Some(job);
    let made = state.history.iter().filter(|change| change.before.is_none() && change.resource == Resource::Pods);
    let names = made.filter(|change| label(&change.object)).map(|change| text(&change.object, "/metadata/name"));
    names.filter(|name| state.find(Resource::Pods, name).is_some()).map(str::to_owned).collect()
}
