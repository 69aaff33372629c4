//! Why it is not clear where the engine is, or no client can be made for it.

use bollard::errors::Error as EngineError;
use camino::Utf8PathBuf;

use super::address::AddressFault;
use super::docker_config::ConfigFileError;

/// No client for the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("the engine's address in {origin} cannot be used")]
    Address {
        origin: String,
        #[source]
        fault: AddressFault,
    },
    #[error("there is no Docker context '{0}'")]
    NoContext(String),
    #[error("Docker context '{0}' names no engine")]
    NoHost(String),
    #[error(transparent)]
    ConfigFile(#[from] ConfigFileError),
    #[error("TLS needs {0}, which does not exist")]
    NoTlsFile(Utf8PathBuf),
    #[error("TLS needs {path}, which cannot be read")]
    TlsFile {
        path: Utf8PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("TLS has no folder of certificates")]
    NoTlsFolder,
    #[error("DOCKER_CLIENT_TIMEOUT is not a number of seconds above zero")]
    Timeout,
    /// Among these is a socket that does not exist: [`super::explain`] tells more of it.
    #[error("no client can be made for the engine")]
    Client(#[source] EngineError),
}

impl ConnectionError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Address { fault, .. } => fault.hint(),
            Self::NoContext(_) | Self::NoHost(_) => {
                "`docker context ls` shows the contexts; correct DOCKER_CONTEXT, or set DOCKER_HOST, which goes before contexts"
            }
            Self::ConfigFile(_) => "Correct the file or its rights, or set DOCKER_CONFIG to another folder",
            Self::NoTlsFile(_) | Self::TlsFile { .. } | Self::NoTlsFolder => {
                "Set DOCKER_CERT_PATH to a folder with ca.pem, cert.pem and key.pem that the worker's user can read, or unset \
                 DOCKER_TLS_VERIFY and DOCKER_TLS"
            }
            Self::Timeout => "Unset DOCKER_CLIENT_TIMEOUT, or set it to a whole number such as 60",
            Self::Client(EngineError::SocketNotFoundError(_)) => super::trouble::START_THE_ENGINE,
            Self::Client(EngineError::CertPathError { .. } | EngineError::CertParseError { .. }) => {
                super::trouble::CHECK_CERTIFICATES
            }
            Self::Client(_) => return None,
        };
        Some(hint.to_owned())
    }
}
