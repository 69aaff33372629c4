//! Why a worker does not start.

use central_api_client::{ApiError, ClientBuildError};

use crate::journal::JournalError;
use crate::preflight::PreflightError;
use crate::run::ErrorChain;
use crate::state_folder::StateFolderError;

/// Why a worker does not start. Shown once, to whoever typed the command or reads the unit's log.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings make no client.
    #[error("the connection to the API cannot be set up")]
    Client(#[from] ClientBuildError),
    /// The API or the only pool is not as it should be.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// A server's port.
    #[error("the {server} server cannot listen on {host}:{port}")]
    Port {
        /// `health` or `metrics`.
        server: &'static str,
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--run-once` could not do its one round.
    #[error("the one round over work pool '{pool}' failed")]
    RunOnce {
        /// The pool.
        pool: String,
        /// What the API answered.
        #[source]
        source: ApiError,
    },
    /// The state directory.
    #[error(transparent)]
    StateFolder(#[from] StateFolderError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Signal handlers.
    #[error("the stop signals cannot be taken over")]
    Signals(#[source] std::io::Error),
    /// The audit log, which is required.
    #[error("the audit log cannot be written")]
    AuditLog(#[source] std::io::Error),
    /// The output thread.
    #[error("the thread for the output of flow processes cannot be started")]
    OutputThread(#[source] std::io::Error),
}

impl StartError {
    /// The message with its causes and what to do.
    pub fn for_people(&self) -> String {
        let message = ErrorChain(self).to_string();
        match self.hint() {
            Some(hint) => format!("{message}. {hint}"),
            None => message,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Preflight(error) => Some(error.hint()),
            Self::Port { server: "health", .. } => Some(
                "Free the port, or choose another with PREFECT_WORKER_WEBSERVER_HOST and PREFECT_WORKER_WEBSERVER_PORT."
                    .to_owned(),
            ),
            Self::Port { .. } => {
                Some("Free the port, or choose another with PREFECT_CLIENT_METRICS_PORT.".to_owned())
            }
            Self::StateFolder(_) | Self::Journal(_) => Some(
                "Name a directory that this user can write, and whose disk is not full, with WORKER_STATE_DIR or `dir` in the section [state]."
                    .to_owned(),
            ),
            Self::AuditLog(_) => Some(
                "Name a file that this user can write with `file` in the section [audit], or do not require it.".to_owned(),
            ),
            Self::Client(_) | Self::RunOnce { .. } | Self::Signals(_) | Self::OutputThread(_) => None,
        }
    }
}
