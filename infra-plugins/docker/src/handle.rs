//! A container as the daemon remembers it.

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use serde::{Deserialize, Serialize};
use worker_core::handle::{Detail, Handle, PluginKind};
use worker_core::ids::InfraId;

use crate::connection::Endpoint;
use crate::error::DockerError;
use crate::marks::Marks;

/// The kind, as a work pool's type spells it.
pub(crate) const KIND: &str = "docker";
/// Version of the shape of [`Container`].
const VERSION: u32 = 1;

/// The plugin's own part of a handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) marks: Marks,
}

impl Container {
    pub(crate) fn of(handle: &Handle) -> Result<Self, DockerError> {
        handle.detail.read().map_err(DockerError::Unreadable)
    }

    /// One of the engine's list; `None` if no worker of ours made it.
    pub(crate) fn of_summary(summary: &ContainerSummary) -> Option<Self> {
        let marks = Marks::of(summary.labels.as_ref()?)?;
        let name = summary.names.iter().flatten().next().map_or("", String::as_str);
        Some(Self { id: summary.id.clone()?, name: without_slash(name), marks })
    }

    /// One that was looked at; `None` if it belongs to no run.
    pub(crate) fn of_inspected(inspected: &ContainerInspectResponse) -> Option<Self> {
        let labels = inspected.config.as_ref()?.labels.as_ref()?;
        let marks = Marks::of(labels).or_else(|| Marks::of_foreign(labels))?;
        let name = inspected.name.as_deref().unwrap_or_default();
        Some(Self { id: inspected.id.clone()?, name: without_slash(name), marks })
    }

    pub(crate) fn into_handle(self, endpoint: &Endpoint) -> Result<Handle, DockerError> {
        Ok(Handle {
            kind: PluginKind::new(KIND),
            version: VERSION,
            key: self.marks.key,
            infra_id: InfraId(format!("{}:{}", endpoint.base_url(), self.id)),
            report_state: self.marks.report_state,
            cancels_itself: self.marks.cancels_itself,
            detail: Detail::of(&self).map_err(DockerError::Unreadable)?,
        })
    }
}

/// The container's id in an infrastructure id, which begins with the address of an engine.
pub(crate) fn container_id(id: &InfraId) -> Option<&str> {
    let (_, container) = id.0.rsplit_once(':')?;
    let is_id = !container.is_empty() && container.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(container)
}

fn without_slash(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c096_a_container_is_read_from_the_id_at_the_api() {
        for (id, container) in [
            ("http+docker://localhost:abc123", Some("abc123")),
            ("http://127.0.0.1:18620:abc123", Some("abc123")),
            ("https://docker.example.org:2376:00ff", Some("00ff")),
            ("19450", None),
            ("http://host:", None),
            ("host:../x", None),
        ] {
            assert_eq!(container_id(&InfraId(id.to_owned())), container, "{id}");
        }
    }
}
