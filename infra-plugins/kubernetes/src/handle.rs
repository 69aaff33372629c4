//! A Job as the daemon remembers it.

use k8s_openapi::api::batch::v1::Job;
use serde::{Deserialize, Serialize};
use worker_core::handle::{Detail, Handle, PluginKind};
use worker_core::ids::InfraId;

use crate::error::KubernetesError;
use crate::marks::Marks;
use crate::watching::JobKey;

/// The kind, as a work pool's type spells it.
pub(crate) const KIND: &str = "kubernetes";
/// Version of the shape of [`JobRef`].
const VERSION: u32 = 1;

/// The plugin's own part of a handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRef {
    /// The cluster; empty for that of the worker's own settings.
    pub(crate) cluster: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) marks: Marks,
}

impl JobRef {
    pub(crate) fn of(handle: &Handle) -> Result<Self, KubernetesError> {
        handle.detail.read().map_err(KubernetesError::Unreadable)
    }

    /// A Job of the API server; `None` if no worker of ours made it.
    pub(crate) fn of_job(cluster: &str, job: &Job) -> Option<Self> {
        let marks = Marks::of(job.metadata.labels.as_ref()?, job.metadata.annotations.as_ref()?)?;
        Self::with_marks(cluster, job, marks)
    }

    /// A Job of any Prefect worker; `None` if it belongs to no run.
    pub(crate) fn of_any_job(cluster: &str, job: &Job) -> Option<Self> {
        Self::of_job(cluster, job)
            .or_else(|| Self::with_marks(cluster, job, Marks::of_foreign(job.metadata.labels.as_ref()?)?))
    }

    fn with_marks(cluster: &str, job: &Job, marks: Marks) -> Option<Self> {
        Some(Self {
            cluster: cluster.to_owned(),
            namespace: job.metadata.namespace.clone()?,
            name: job.metadata.name.clone()?,
            uid: job.metadata.uid.clone()?,
            marks,
        })
    }

    pub(crate) fn key(&self) -> JobKey {
        JobKey::new(self.namespace.as_str(), self.name.as_str())
    }

    pub(crate) fn into_handle(self) -> Result<Handle, KubernetesError> {
        Ok(Handle {
            kind: PluginKind::new(KIND),
            version: VERSION,
            key: self.marks.key,
            infra_id: InfraId(format!("{}:{}", self.namespace, self.name)),
            report_state: self.marks.report_state,
            cancels_itself: self.marks.cancels_itself,
            detail: Detail::of(&self).map_err(KubernetesError::Unreadable)?,
        })
    }
}

/// Namespace and name of a Job in an infrastructure id. One that a process worker or a container engine made is none.
pub(crate) fn namespace_and_name(id: &InfraId) -> Option<(&str, &str)> {
    let (namespace, name) = id.0.split_once(':')?;
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    (is_name(namespace) && is_name(name)).then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c109_and_c110_an_id_is_a_namespace_and_a_name() {
        for (id, expected) in [
            ("flows:cute-crab-x1", Some(("flows", "cute-crab-x1"))),
            ("flows", None),
            ("a:b:c", None),
            (":b", None),
            ("a:", None),
            ("unix:///var/run/docker.sock:abc", None),
        ] {
            assert_eq!(namespace_and_name(&InfraId(id.to_owned())), expected, "{id}");
        }
    }
}
