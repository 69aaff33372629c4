//! Where a cluster is, and as whom the worker comes.

use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::call::chain;
use crate::fields::ClusterConfigBlock;
use crate::manifest::slug;

/// A connection on which nothing comes for so long is dead: a watch hears a bookmark every minute.
const SILENCE: Duration = Duration::from_secs(75);
const CONNECT: Duration = Duration::from_secs(10);

/// Why it is not clear where a cluster is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("the kubeconfig {path} cannot be used: {why}")]
    Kubeconfig { path: String, why: String },
    #[error(
        "there is no Kubernetes cluster: the worker runs in no pod ({in_cluster}), and no kubeconfig was found ({kubeconfig})"
    )]
    Nowhere { in_cluster: String, kubeconfig: String },
    #[error("the `kubernetes-cluster-config` block cannot be used: {0}")]
    Block(String),
    #[error("no client for the cluster can be made: {0}")]
    Client(String),
}

impl AccessError {
    /// What to do about it.
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Kubeconfig { .. } => {
                "Check WORKER_KUBERNETES_KUBECONFIG and WORKER_KUBERNETES_CONTEXT; `kubectl get pods` must work with them"
            }
            Self::Nowhere { .. } => {
                "Run the worker in the cluster with a service account, set KUBECONFIG or WORKER_KUBERNETES_KUBECONFIG, or give the pool \
                 a `cluster_config` block"
            }
            Self::Block(_) => {
                "Correct the block in Prefect's UI: `config` is a kubeconfig, `context_name` one of its contexts"
            }
            Self::Client(_) => "Check the certificates and the credentials in the kubeconfig",
        }
    }
}

/// The cluster that the worker's own settings lead to: the kubeconfig that is set, else the cluster in which the worker runs,
/// else the usual kubeconfig (protocol reference 6.3.6).
pub(crate) async fn of_settings(kubeconfig: Option<&str>, context: Option<&str>) -> Result<Config, AccessError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    if let Some(path) = kubeconfig {
        let unusable = |error| AccessError::Kubeconfig { path: path.to_owned(), why: chain(&error) };
        let read = Kubeconfig::read_from(path).map_err(unusable)?;
        return Config::from_custom_kubeconfig(read, &options).await.map(with_time_limits).map_err(unusable);
    }
    let in_cluster = match Config::incluster() {
        Ok(config) if context.is_none() => return Ok(with_time_limits(config)),
        Ok(_) => "a context is set".to_owned(),
        Err(error) => chain(&error),
    };
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(with_time_limits(config)),
        Err(error) => Err(AccessError::Nowhere { in_cluster, kubeconfig: chain(&error) }),
    }
}

/// The cluster of a `kubernetes-cluster-config` block.
pub(crate) async fn of_block(block: &ClusterConfigBlock) -> Result<Config, AccessError> {
    let kubeconfig = kubeconfig(block).ok_or_else(|| AccessError::Block("`config` is no kubeconfig".to_owned()))?;
    let options = KubeConfigOptions { context: Some(block.context_name.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map(with_time_limits).map_err(|error| AccessError::Block(chain(&error)))
}

/// What tells one cluster of a block from another. Credentials are no part of it: they change.
pub(crate) fn identity(block: &ClusterConfigBlock) -> String {
    let kubeconfig = kubeconfig(block).unwrap_or_default();
    let context = kubeconfig.contexts.iter().find(|context| context.name == block.context_name);
    let context = context.and_then(|context| context.context.as_ref());
    let cluster =
        context.and_then(|context| kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster));
    let server = cluster.and_then(|cluster| cluster.cluster.as_ref()?.server.clone());
    let user = context.and_then(|context| context.user.clone()).unwrap_or_default();
    // Private addresses are the same in many networks.
    let reached_by = cluster.and_then(|cluster| cluster.cluster.as_ref()).map(|cluster| {
        [
            &cluster.certificate_authority_data,
            &cluster.certificate_authority,
            &cluster.proxy_url,
            &cluster.tls_server_name,
        ]
        .map(|part| part.clone().unwrap_or_default())
        .join("\n")
    });
    let text =
        [server.unwrap_or_default(), block.context_name.clone(), user, reached_by.unwrap_or_default()].join("\n");
    slug::digest(&text, 6)
}

/// The block's kubeconfig, which may be given as its text. What is wrong with it is not quoted: it holds credentials.
fn kubeconfig(block: &ClusterConfigBlock) -> Option<Kubeconfig> {
    match block.config.as_str() {
        Some(text) => Kubeconfig::from_yaml(text).ok(),
        None => serde_json::from_value(block.config.clone()).ok(),
    }
}

fn with_time_limits(mut config: Config) -> Config {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    // What may be repeated is known to who asks.
    config.default_retry = false;
    config
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn block(server: &str, token: &str) -> ClusterConfigBlock {
        let config = json!({
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u"}}],
        });
        ClusterConfigBlock { config, context_name: "ctx".to_owned() }
    }

    #[tokio::test]
    async fn c111_a_block_is_a_cluster_of_its_own_whatever_its_credentials() {
        let config = of_block(&block("https://10.0.0.1:6443", "a")).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://10.0.0.1:6443/");
        assert_eq!(identity(&block("https://10.0.0.1:6443", "a")), identity(&block("https://10.0.0.1:6443", "b")));
        assert_ne!(identity(&block("https://10.0.0.1:6443", "a")), identity(&block("https://10.0.0.2:6443", "a")));
        let mut unknown = block("https://10.0.0.1:6443", "a");
        unknown.context_name = "other".to_owned();
        assert!(matches!(of_block(&unknown).await, Err(AccessError::Block(_))));
    }

    #[tokio::test]
    async fn c111_a_kubeconfig_that_is_set_wins_and_its_context_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config").display().to_string();
        let mut config = block("https://10.0.0.1:6443", "a").config;
        config["contexts"].as_array_mut().unwrap().push(json!({"name": "o", "context": {"cluster": "d", "user": "u"}}));
        let other = json!({"name": "d", "cluster": {"server": "https://10.0.0.9:6443"}});
        config["clusters"].as_array_mut().unwrap().push(other);
        config["current-context"] = "ctx".into();
        fs_err::write(&path, config.to_string()).unwrap();
        let server = |config: Config| config.cluster_url.host().unwrap().to_owned();
        assert_eq!(server(of_settings(Some(&path), None).await.unwrap()), "10.0.0.1");
        assert_eq!(server(of_settings(Some(&path), Some("o")).await.unwrap()), "10.0.0.9");
        let missing = of_settings(Some("/nonexistent/kubeconfig"), None).await.unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/kubeconfig"), "{missing}");
    }
}
