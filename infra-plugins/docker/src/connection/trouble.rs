//! Why a call did not reach the engine, for people.

use std::error::Error;
use std::io::{self, ErrorKind};

use bollard::errors::Error as EngineError;

use super::endpoint::{Address, Endpoint};
use super::socket_rights;

pub(super) const START_THE_ENGINE: &str = "Start the engine (`systemctl start docker`), or set DOCKER_HOST";
pub(super) const CHECK_CERTIFICATES: &str = "Check the certificates (ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH or of the \
     context): the engine's must be valid for its address and be signed by ca.pem, and the worker always verifies it. An engine \
     without TLS needs DOCKER_TLS_VERIFY and DOCKER_TLS unset";
const CHECK_THE_ENGINE: &str =
    "Check that the engine runs there and that the worker's machine reaches it, or set DOCKER_HOST";

const ABSENT: [ErrorKind; 6] = [
    ErrorKind::NotFound,
    ErrorKind::ConnectionRefused,
    ErrorKind::TimedOut,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::PermissionDenied,
];
const BROKEN_OFF: [ErrorKind; 4] =
    [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
/// The same as hyper says it, whose errors have no kind that could be asked for.
const BROKEN_OFF_TEXTS: [&str; 2] =
    ["connection closed before message completed", "end of file before message length reached"];

/// What keeps a call from the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// The engine is not there; it may come.
    Unreachable,
    /// The worker has no right to the engine, or one does not trust the other.
    PermissionDenied,
    /// The call reached the engine.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Absent,
    Silent,
    BrokenOff,
    Denied,
    Untrusted,
    Other,
}

/// Why a call failed.
pub(crate) fn explain(error: &EngineError, endpoint: &Endpoint) -> Trouble {
    let cause = cause(error, endpoint);
    let (kind, message) = match cause {
        Cause::Absent => (TroubleKind::Unreachable, "Could not connect to Docker at"),
        Cause::Silent => (TroubleKind::Unreachable, "There is no answer from Docker at"),
        Cause::BrokenOff => (TroubleKind::Unreachable, "Lost the connection to Docker at"),
        Cause::Denied => (TroubleKind::PermissionDenied, "Permission denied to connect to Docker at"),
        Cause::Untrusted => (TroubleKind::PermissionDenied, "Could not agree on TLS with Docker at"),
        Cause::Other => (TroubleKind::Other, "A call failed to Docker at"),
    };
    Trouble { kind, message: format!("{message} {endpoint}"), hint: hint(cause, endpoint) }
}

fn hint(cause: Cause, endpoint: &Endpoint) -> Option<String> {
    let hint = match (cause, &endpoint.address) {
        (Cause::Denied, Address::Unix(socket)) => return Some(socket_rights::hint(socket)),
        (Cause::Untrusted, _) => CHECK_CERTIFICATES,
        (Cause::Absent, Address::Unix(_)) => START_THE_ENGINE,
        (Cause::Absent | Cause::Silent | Cause::BrokenOff | Cause::Denied, _) => CHECK_THE_ENGINE,
        (Cause::Other, _) => return None,
    };
    Some(hint.to_owned())
}

fn cause(error: &EngineError, endpoint: &Endpoint) -> Cause {
    if matches!(error, EngineError::SocketNotFoundError(_)) {
        return absent_or_hidden(endpoint);
    }
    if matches!(error, EngineError::RequestTimeoutError) {
        return Cause::Silent;
    }
    let connecting = matches!(error, EngineError::HyperLegacyError { err } if err.is_connect());
    let known = chain(within(error)).find_map(|error| of_one(error, endpoint));
    known.unwrap_or(if connecting { Cause::Absent } else { Cause::Other })
}

/// What an error of the client wraps, where it leaves it out of its own source.
fn within(error: &EngineError) -> &(dyn Error + 'static) {
    if let EngineError::IOError { err } = error {
        return err;
    }
    if let EngineError::HyperResponseError { err } = error {
        return err;
    }
    error
}

fn of_one(error: &(dyn Error + 'static), endpoint: &Endpoint) -> Option<Cause> {
    let Some(error) = error.downcast_ref::<io::Error>() else {
        let text = error.to_string();
        return BROKEN_OFF_TEXTS.iter().any(|said| text.contains(said)).then_some(Cause::BrokenOff);
    };
    let kind = error.kind();
    if kind == ErrorKind::PermissionDenied && endpoint.is_local() {
        Some(Cause::Denied)
    } else if kind == ErrorKind::InvalidData && endpoint.tls.is_some() {
        Some(Cause::Untrusted)
    } else if ABSENT.contains(&kind) {
        Some(Cause::Absent)
    } else {
        BROKEN_OFF.contains(&kind).then_some(Cause::BrokenOff)
    }
}

/// The client takes a socket for absent if it may not look at it.
fn absent_or_hidden(endpoint: &Endpoint) -> Cause {
    let Address::Unix(socket) = &endpoint.address else { return Cause::Absent };
    match fs_err::metadata(socket) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Cause::Denied,
        _ => Cause::Absent,
    }
}

/// An error and all that caused it. An I/O error leaves out of its source what it wraps.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'e (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests;
