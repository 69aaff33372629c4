//! The other end of the control socket: finding the daemons of a state directory, and asking them.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::Refusal;
use super::socket;

/// A daemon that answers at all answers within this; it may have to ask the API meanwhile.
const ANSWER: Duration = Duration::from_secs(15);

/// A line to one daemon.
#[derive(Clone, Debug)]
pub struct Line {
    /// The name of the daemon's folder.
    pub daemon: String,
    folder: Utf8PathBuf,
}

/// No daemon can be asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "no worker {} in the state directory {state_dir}. Start one with `worker start`, or name the directory that it was \
     started with: --state-dir or WORKER_STATE_DIR (under systemd it is the unit's StateDirectory=, in /var/lib)",
    wanted.as_ref().map_or_else(|| "answers".to_owned(), |name| format!("named {name} answers"))
)]
pub struct Nobody {
    /// Where daemons were looked for.
    pub state_dir: Utf8PathBuf,
    /// The one that was wanted.
    pub wanted: Option<String>,
}

/// Why one daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It is gone.
    #[error("{daemon} cannot be reached")]
    Away {
        /// The daemon.
        daemon: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error("{daemon} belongs to another user; ask it as that user, or as root")]
    Denied {
        /// The daemon.
        daemon: String,
    },
    /// It said nothing.
    #[error("{daemon} does not answer")]
    Silent {
        /// The daemon.
        daemon: String,
    },
    /// It went away in the middle of its answer, or the answer makes no sense.
    #[error("{daemon} gave no answer that can be understood: {reason}")]
    Garbled {
        /// The daemon.
        daemon: String,
        /// Why.
        reason: String,
    },
    /// It said no.
    #[error("{text}")]
    Refused {
        /// Whether it does not know what it was asked about.
        is_unknown: bool,
        /// What it said.
        text: String,
    },
}

/// The daemons of a state directory that can be asked, in the order of their numbers.
///
/// # Errors
/// There is none.
pub async fn lines(state_dir: &Utf8Path, wanted: Option<&str>) -> Result<Vec<Line>, Nobody> {
    let mut live = Vec::new();
    for line in folders(state_dir, wanted) {
        match socket::connect(&line.folder).await {
            // One that may not be opened is there, and asking it will say so.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {}
            Ok(_) | Err(_) => live.push(line),
        }
    }
    if live.is_empty() {
        return Err(Nobody { state_dir: state_dir.to_owned(), wanted: wanted.map(str::to_owned) });
    }
    Ok(live)
}

fn folders(state_dir: &Utf8Path, wanted: Option<&str>) -> Vec<Line> {
    let entries = state_dir.read_dir_utf8().into_iter().flatten().flatten();
    let mut numbered: Vec<(u32, Line)> = entries
        .filter_map(|entry| {
            let daemon = entry.file_name().to_owned();
            let number = daemon.strip_prefix("daemon-")?.parse().ok()?;
            Some((number, Line { folder: entry.path().to_owned(), daemon }))
        })
        .filter(|(_, line)| wanted.is_none_or(|wanted| wanted == line.daemon))
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, line)| line).collect()
}

impl Line {
    /// Asks for something.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.within_bounds(self.exchange(Method::GET, path, Vec::new())).await
    }

    /// Asks for something for as long as it takes.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn await_answer<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.exchange(Method::GET, path, Vec::new()).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, AskError> {
        let body = serde_json::to_vec(body).map_err(|error| self.garbled(&error))?;
        self.within_bounds(self.exchange(Method::POST, path, body)).await
    }

    async fn within_bounds<T>(&self, asked: impl Future<Output = Result<T, AskError>>) -> Result<T, AskError> {
        let silent = |_| AskError::Silent { daemon: self.daemon.clone() };
        tokio::time::timeout(ANSWER, asked).await.map_err(silent)?
    }

    async fn exchange<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T, AskError> {
        let stream = socket::connect(&self.folder).await.map_err(|source| self.away(source))?;
        let garbled = |error: hyper::Error| self.garbled(&error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(garbled)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "worker")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.garbled(&error))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::pin!(answer);
        let (status, body) = tokio::select! {
            answered = &mut answer => answered,
            // The connection may be over before the answer was taken from it.
            _ = connection => answer.await,
        }
        .map_err(garbled)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.garbled(&error));
        }
        let text = serde_json::from_slice::<Refusal>(&body)
            .map_or_else(|_| format!("{} answers {status}; is it of another version?", self.daemon), |it| it.error);
        Err(AskError::Refused { is_unknown: status == hyper::StatusCode::NOT_FOUND, text })
    }

    fn away(&self, source: io::Error) -> AskError {
        let daemon = self.daemon.clone();
        if source.kind() == io::ErrorKind::PermissionDenied {
            return AskError::Denied { daemon };
        }
        AskError::Away { daemon, source }
    }

    fn garbled(&self, error: &dyn std::error::Error) -> AskError {
        AskError::Garbled { daemon: self.daemon.clone(), reason: crate::run::ErrorChain(error).to_string() }
    }
}
