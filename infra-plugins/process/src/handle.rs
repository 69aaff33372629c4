//! What a handle of this kind holds.

use camino::Utf8PathBuf;
use infra_contract::InfraError;
use serde::{Deserialize, Serialize};
use worker_core::handle::{Detail, Handle, PluginKind};
use worker_core::ids::{InfraId, LaunchKey};
use worker_core::spec::ReportState;

use crate::error::ProcessError;
use crate::procfs::{self, Identity};
use crate::supervisor::Started;

/// The kind's name at the API.
pub(crate) const KIND: &str = "process";

/// Version of the shape of [`HandleDetail`]. In the first one there were no supervisors.
const VERSION: u32 = 2;

/// The detail of a handle: with it a later worker can tell this process from another one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandleDetail {
    /// The command; the supervisor in its place if it cannot be known which process that was.
    pub(crate) process: Identity,
    /// The boot of the machine that the start time counts from.
    pub(crate) boot_id: Option<String>,
    /// Absent in the first version.
    #[serde(default)]
    pub(crate) supervisor: Option<Identity>,
    /// The working directory to be removed afterwards. Only in the first version: it is in the run's folder now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) temporary_directory: Option<Utf8PathBuf>,
}

impl HandleDetail {
    pub(crate) fn of(handle: &Handle) -> Result<Self, ProcessError> {
        handle.detail.read().map_err(ProcessError::UnreadableHandle)
    }

    /// Of a run that this worker has just started.
    pub(crate) fn of_started(started: Started) -> Self {
        Self {
            process: started.process,
            boot_id: procfs::boot_id().map(str::to_owned),
            supervisor: Some(started.supervisor),
            temporary_directory: None,
        }
    }

    /// Whether the machine was restarted since: nothing of the run lives then, and numbers mean nothing.
    pub(crate) fn is_of_an_earlier_boot(&self) -> bool {
        self.boot_id.as_deref() != procfs::boot_id()
    }

    /// The infrastructure id is the pid of the command itself, in decimal.
    pub(crate) fn into_handle(self, key: LaunchKey, report_state: ReportState) -> Result<Handle, InfraError> {
        Ok(Handle {
            cancels_itself: false,
            kind: PluginKind::new(KIND),
            version: VERSION,
            key,
            infra_id: InfraId(self.process.pid.to_string()),
            report_state,
            detail: Detail::of(&self).map_err(ProcessError::UnreadableHandle)?,
        })
    }
}
