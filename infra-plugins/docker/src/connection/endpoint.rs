//! Where an engine is.

use std::fmt;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::tls::TlsFiles;

/// Where the engine is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) tls: Option<TlsFiles>,
    /// What says so, for people.
    pub(crate) origin: String,
    /// A call that has no limit of its own is given up after this time.
    pub(crate) timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(Utf8PathBuf),
    /// Host and port. Never a user name or password, so that it can be shown.
    Tcp {
        authority: String,
    },
}

impl Endpoint {
    /// The URL as docker-py has it: Prefect's own worker makes a container's id of it.
    pub(crate) fn base_url(&self) -> String {
        match (&self.address, &self.tls) {
            (Address::Unix(_), _) => "http+docker://localhost".to_owned(),
            (Address::Tcp { authority }, None) => format!("http://{authority}"),
            (Address::Tcp { authority }, Some(_)) => format!("https://{authority}"),
        }
    }

    /// Whether the engine shares the worker's files.
    pub(crate) const fn is_local(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(f, "unix://{path}")?,
            Address::Tcp { authority } => write!(f, "tcp://{authority}")?,
        }
        write!(f, " ({})", self.origin)
    }
}
