//! What a handle of this kind holds.

use camino::Utf8PathBuf;
use infra_contract::InfraError;
use serde::{Deserialize, Serialize};
use worker_core::handle::{Handle, PluginKind};
use worker_core::ids::{InfraId, LaunchKey};

use crate::error::ProcessError;
use crate::procfs::Identity;

/// The kind's name at the API.
pub(crate) const KIND: &str = "process";

/// Version of the shape of [`HandleDetail`].
const VERSION: u32 = 1;

/// The detail of a handle: with it a later worker can tell this process from another one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandleDetail {
    pub(crate) process: Identity,
    /// The boot of the machine that the start time counts from.
    pub(crate) boot_id: Option<String>,
    /// The working directory to be removed afterwards.
    pub(crate) temporary_directory: Option<Utf8PathBuf>,
}

impl HandleDetail {
    pub(crate) fn of(handle: &Handle) -> Result<Self, ProcessError> {
        serde_json::from_value(handle.detail.clone()).map_err(ProcessError::UnreadableHandle)
    }

    /// The infrastructure id is the pid of the command itself, in decimal.
    pub(crate) fn into_handle(self, key: LaunchKey) -> Result<Handle, InfraError> {
        Ok(Handle {
            kind: PluginKind::new(KIND),
            version: VERSION,
            key,
            infra_id: InfraId(self.process.pid.to_string()),
            detail: serde_json::to_value(self).map_err(ProcessError::UnreadableHandle)?,
        })
    }
}
