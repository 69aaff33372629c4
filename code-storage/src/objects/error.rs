//! Why objects did not arrive, in the words of the flow's author.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::request::Unreadable;

/// Why a fetch failed. `Display` names the bucket, container or directory and the cause; [`ObjectError::hint`] says what
/// to do.
///
/// `detail` is what the server or the system said. It never holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The fetch needs something that only the SDK has. Nothing was changed: the flow's process can pull by itself.
    #[error("{place} is left to Prefect because {reason}")]
    LeftToPrefect {
        /// The store.
        place: String,
        /// What it needs.
        reason: Unreadable,
    },
    /// There are no credentials, or they could not be obtained.
    #[error("{place} cannot be read because there are no credentials: {detail}")]
    NoCredentials {
        /// The store.
        place: String,
        /// What was looked for, or what the server that gives them said.
        detail: String,
    },
    /// The server does not accept the credentials.
    #[error("{place} cannot be read because its credentials were not accepted: {detail}")]
    CredentialsRefused {
        /// The store.
        place: String,
        /// What the server said.
        detail: String,
    },
    /// The credentials are good, and may not read this.
    #[error("access to {place} was denied: {detail}")]
    Denied {
        /// The store.
        place: String,
        /// What the server said.
        detail: String,
    },
    /// No such bucket or container.
    #[error("{place} does not exist: {detail}")]
    NoSuchBucket {
        /// The store.
        place: String,
        /// What the server said.
        detail: String,
    },
    /// The bucket is in another region, and the server did not say in which.
    #[error("{place} is in another region: {detail}")]
    WrongRegion {
        /// The store.
        place: String,
        /// What the server said.
        detail: String,
    },
    /// The server's certificate was not accepted.
    #[error("{place} cannot be read because the certificate of its server was not accepted: {detail}")]
    Certificate {
        /// The store.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The network or the server failed, in every attempt.
    #[error("{place} could not be reached: {detail}")]
    Unreachable {
        /// The store.
        place: String,
        /// What happened last.
        detail: String,
    },
    /// The server failed in a way that has no name here.
    #[error("{place} could not be read: {detail}")]
    Server {
        /// The store.
        place: String,
        /// What the server said.
        detail: String,
    },
    /// There is nothing in the folder.
    #[error("{place} has no objects in the folder `{folder}`")]
    Empty {
        /// The store.
        place: String,
        /// The folder; `/` for the whole.
        folder: String,
    },
    /// An object cannot be a file here.
    #[error("the object `{key}` of {place} cannot be written: {problem}")]
    Key {
        /// The store.
        place: String,
        /// The object's key.
        key: String,
        /// Why.
        problem: &'static str,
    },
    /// An object arrived with other content than the server has, in every attempt.
    #[error("the object `{key}` of {place} arrived damaged: {detail}")]
    Damaged {
        /// The store.
        place: String,
        /// The object's key.
        key: String,
        /// Which check failed.
        detail: String,
    },
    /// The disk is full.
    #[error("{place} could not be fetched because the disk of {directory} is full")]
    DiskFull {
        /// The store.
        place: String,
        /// Where it was to go.
        directory: Utf8PathBuf,
    },
    /// Files could not be written, moved or removed.
    #[error("{place} could not be put in place at {path}: {source}")]
    Files {
        /// The store.
        place: String,
        /// The path that was worked on.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The time limit passed.
    #[error("{place} was not fetched within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The store.
        place: String,
        /// The limit.
        limit: Duration,
    },
    /// The caller asked to stop.
    #[error("the fetch of {place} was cancelled")]
    Cancelled {
        /// The store.
        place: String,
    },
}

impl ObjectError {
    /// What the flow's author or the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::LeftToPrefect { .. } => "let the flow's process pull the code",
            Self::NoCredentials { .. } => {
                "give the pull step or block `credentials`, or the worker's machine a role or the variables of one"
            }
            Self::CredentialsRefused { .. } => {
                "check the keys of the credentials block, that they have not expired, and the clock of the worker's machine"
            }
            Self::Denied { .. } => "allow the credentials to list the bucket and to read its objects",
            Self::NoSuchBucket { .. } => "check the name of the bucket, and the account and endpoint that it is in",
            Self::WrongRegion { .. } => "give the credentials block the `region_name` of the bucket",
            Self::Certificate { .. } => {
                "renew the server's certificate, or name the authority that signed it with `verify_cert_path` or AWS_CA_BUNDLE"
            }
            Self::Unreachable { .. } => {
                "check the endpoint, the network and the proxy of the worker's machine, then run the flow again"
            }
            Self::Server { .. } => "look at the server's own logs, then run the flow again",
            Self::Empty { .. } => "check the `folder` of the pull step, and that the code was pushed there",
            Self::Key { .. } => "rename or remove that object, or what is in its way in the run's directory",
            Self::Damaged { .. } => "check what lies between the worker and the server, then upload the object again",
            Self::DiskFull { .. } => "free space on the worker's disk, then run the flow again",
            Self::Files { .. } => "check the permissions of that path for the worker's user",
            Self::TimedOut { .. } => {
                "check the network, keep less in the folder, or raise the worker's limit for pulls"
            }
            Self::Cancelled { .. } => "run the flow again if this was not intended",
        }
    }
}
