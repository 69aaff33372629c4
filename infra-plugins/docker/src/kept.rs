//! Containers of runs that are over and that stay for people to look at.

use std::collections::HashSet;

use bollard::models::ContainerSummary;

use crate::engine::{Engine, Removal};
use crate::error::{DockerError, chain};
use crate::handle::Container;
use crate::notes::Notes;
use crate::secrets::{self, SecretValues};
use crate::settings::Cleanup;

/// The containers that are kept.
pub(crate) struct Kept<'k> {
    pub(crate) engine: &'k Engine,
    pub(crate) notes: &'k Notes,
}

impl Kept<'_> {
    /// Keeps a container. Its secrets have served and do not stay.
    pub(crate) async fn keep(&self, container: &Container) -> Result<(), DockerError> {
        if container.marks.has_secrets {
            let emptied = SecretValues::default().script_archive(0).map_err(DockerError::Archive)?;
            match self.engine.unpack(&container.id, secrets::FOLDER, emptied).await {
                Err(error) if error.status() == Some(404) => {}
                emptied => emptied?,
            }
        }
        self.notes.keep(&container.id).map_err(DockerError::Notes)
    }

    /// Removes what was kept long enough. `ours` are all containers that this daemon answers for. The ids of those that nothing
    /// more is to be done for.
    pub(crate) async fn tidy(&self, ours: &[ContainerSummary]) -> HashSet<String> {
        let mut settled = HashSet::new();
        for (id, kept_for) in self.notes.kept() {
            let Some(container) = ours.iter().filter_map(Container::of_summary).find(|container| container.id == id)
            else {
                self.notes.forget_kept(&id);
                continue;
            };
            settled.insert(id.clone());
            let is_due = matches!(container.marks.cleanup, Cleanup::After(time) if kept_for >= time);
            if !is_due {
                continue;
            }
            match self.engine.remove(&id, Removal::Stopped).await {
                Ok(true) => {
                    tracing::debug!(container = container.name, "a kept container is removed, its time is over");
                    self.notes.forget_kept(&id);
                }
                // Somebody started it again: it is theirs.
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(container = container.name, "a kept container is not removed: {}", chain(&error));
                }
            }
        }
        settled
    }
}
