//! An API server, as its administrator sees it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use crate::{FakeNode, until};

/// Bound for what controllers do at once.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Where the script leaves what tests need.
pub(crate) const BED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/kubernetes-bed");

/// The cluster that `scripts/kubernetes-bed` has prepared.
#[derive(Debug)]
pub struct Cluster(Server);

impl Cluster {
    /// The cluster of this machine. It must be there.
    pub async fn shared() -> Self {
        let server = Server::of(Path::new(BED).join("kubeconfig"));
        let version = server.client().await.apiserver_version().await;
        let version = version.unwrap_or_else(|error| panic!("run scripts/kubernetes-bed: {error}"));
        assert_eq!(version.minor, "20", "run scripts/kubernetes-bed");
        Self(server)
    }
}

impl Deref for Cluster {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// An API server and how its administrator reaches it.
#[derive(Debug, Clone)]
pub struct Server {
    kubeconfig: PathBuf,
}

impl Server {
    pub(crate) fn of(kubeconfig: PathBuf) -> Self {
        Self { kubeconfig }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The text of it.
    pub fn kubeconfig_text(&self) -> String {
        let complaint = |error| panic!("run scripts/kubernetes-bed: {}: {error}", self.kubeconfig.display());
        std::fs::read_to_string(&self.kubeconfig).unwrap_or_else(complaint)
    }

    /// A new client for the administrator. It belongs to the runtime that it was made in.
    pub async fn client(&self) -> Client {
        client_of(&self.kubeconfig_text()).await
    }

    /// A namespace that no other test has, once pods can be created in it.
    pub async fn namespace(&self) -> Namespace {
        let name = format!("test-{}", uuid::Uuid::new_v4().simple());
        let client = self.client().await;
        let object: NamespaceObject = object(json!({"metadata": {"name": name}}));
        let namespaces = Api::<NamespaceObject>::all(client.clone());
        namespaces.create(&PostParams::default(), &object).await.expect("the administrator may create namespaces");
        let namespace = Namespace { server: self.clone(), name };
        token_secret(&Api::namespaced(client, &namespace.name), "default").await;
        namespace
    }

    /// A new client for whom a kubeconfig speaks.
    pub async fn client_of(kubeconfig: &str) -> Client {
        client_of(kubeconfig).await
    }

    /// The kubeconfig of a new account that may do in a namespace what these rules say, and nothing else.
    pub async fn account(&self, namespace: &Namespace, rules: Vec<k8s_openapi::api::rbac::v1::PolicyRule>) -> String {
        crate::account::create(self, namespace.name(), rules).await
    }

    /// A new simulated node, once it is ready.
    pub async fn fake_node(&self) -> FakeNode {
        FakeNode::start(self).await
    }
}

/// A namespace, which is deleted with all that is in it when this is dropped. Nothing waits for the end of that.
#[derive(Debug)]
pub struct Namespace {
    server: Server,
    name: String,
}

impl Namespace {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        apart(async move {
            let namespaces = Api::<NamespaceObject>::all(server.client().await);
            // A test may have taken its server away, or deleted the namespace.
            namespaces.delete(&name, &DeleteParams::default()).await.map(drop).unwrap_or_default();
        });
    }
}

async fn client_of(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.expect("a complete kubeconfig");
    // It is on this machine, whatever the environment says.
    config.proxy_url = None;
    Client::try_from(config).expect("a client for it")
}

/// The name of the secret with the token of an account, once a controller has made it. Before that no pod of the account
/// can be created.
pub(crate) async fn token_secret(accounts: &Api<ServiceAccount>, name: &str) -> String {
    until(SOON, format_args!("the token of the account {name}"), async || {
        let account = accounts.get_opt(name).await.ok()??;
        account.secrets?.into_iter().find_map(|secret| secret.name)
    })
    .await
}

/// An object of its JSON, which is shorter than the many fields of its type.
pub(crate) fn object<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("no such object: {error}"))
}

/// Carries something out to its end, but no longer than a few seconds, whatever the runtime of the caller does.
pub(crate) fn apart(work: impl Future<Output = ()> + Send + 'static) {
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), work).await }).unwrap_or_default();
    });
    let ended = thread.join();
    // A second panic would end the process of a test that has failed already.
    assert!(ended.is_ok() || thread::panicking(), "what is to be removed cannot be");
}
