//! Looking at the cluster before runs depend on it.

use std::collections::BTreeSet;

use infra_contract::{Finding, InfraError, Severity};

use crate::access::{self, Answer};
use crate::cluster::{AccessError, Cluster, chain};
use crate::error::KubernetesError;
use crate::rbac::{self, Rule};
use crate::settings::{KubernetesSettings, Secrets};

/// What can be said of the cluster of the worker's own settings. `namespaces` are those with runs of this worker.
pub(crate) async fn findings(
    settings: &KubernetesSettings,
    cluster: Result<Cluster, AccessError>,
    namespaces: BTreeSet<String>,
) -> Vec<Finding> {
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => return vec![broken(KubernetesError::from(error))],
    };
    let version = match cluster.version().await {
        Ok(version) => version,
        Err(error) => return vec![broken(KubernetesError::of("the cluster does not answer")(error))],
    };
    let mut found = vec![Finding {
        severity: Severity::Ok,
        message: format!("Kubernetes {version} at {}", cluster.server),
        hint: None,
    }];
    let mut places: BTreeSet<String> = settings.namespaces.iter().cloned().chain(namespaces).collect();
    if places.is_empty() {
        places.insert(cluster.default_namespace.clone());
    }
    let needed = rbac::rules(
        settings.secrets == Secrets::Secret || settings.store_env_as_secret || settings.create_secret_for_api_key,
    );
    for place in places {
        found.extend(reviewed(&cluster, Some(&place), &needed).await);
    }
    if settings.observe && settings.namespaces.is_empty() {
        found.extend(everywhere(&cluster).await);
    }
    found
}

async fn reviewed(cluster: &Cluster, namespace: Option<&str>, rules: &[Rule]) -> Vec<Finding> {
    match access::review(&cluster.client(), namespace, rules).await {
        Ok(answers) => access::findings(namespace, &answers),
        Err(error) => vec![unanswered(&error)],
    }
}

/// Whoever may not read in all namespaces observes those of its own runs: nothing fails for it.
async fn everywhere(cluster: &Cluster) -> Vec<Finding> {
    match access::review(&cluster.client(), None, &rbac::reading_rules()).await {
        Ok(answers) if answers.iter().all(|answer: &Answer| answer.allowed) => access::findings(None, &answers),
        Ok(_) => vec![Finding {
            severity: Severity::Ok,
            message:
                "the worker may not read Jobs and pods in all namespaces, so it observes those with runs of its own"
                    .to_owned(),
            hint: None,
        }],
        Err(error) => vec![unanswered(&error)],
    }
}

fn unanswered(error: &kube::Error) -> Finding {
    Finding {
        severity: Severity::Warning,
        message: format!("what the worker may do cannot be found out: {}", chain(error)),
        hint: None,
    }
}

fn broken(error: KubernetesError) -> Finding {
    let message = chain(&error);
    Finding { severity: Severity::Error, message, hint: InfraError::from(error).hint }
}
