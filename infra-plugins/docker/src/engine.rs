//! The engine, and the calls that this kind makes to it. Each is given up after a time: an engine that hangs must not hold
//! a run for ever without a word.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, CreateImageInfo, ImageInspect,
    NetworkConnectRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, DownloadFromContainerOptions, KillContainerOptions,
    ListContainersOptions, LogsOptions, RemoveContainerOptions, StopContainerOptions, UploadToContainerOptions,
    WaitContainerOptions,
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use crate::connection::{self, ConnectionError, Endpoint, TroubleKind};
use crate::engine_loss::EngineLoss;
use crate::error::{DockerError, status_of};
use crate::marks;

/// A question is given up after this time.
const QUESTION: Duration = Duration::from_secs(30);
/// So is an act; a busy engine makes fifty containers one after the other.
const ACT: Duration = Duration::from_mins(3);
/// So is the question whether it is there at all.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// The engine has so long after a grace to say that a container has ended.
const AFTER_GRACE: Duration = Duration::from_mins(1);
/// For calls that last as long as the container does.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// Since this version engines know `host-gateway`.
const HOST_GATEWAY: (u32, u32) = (20, 10);

/// A connection to the engine whose version is known.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    docker: Docker,
    pub(crate) endpoint: Endpoint,
    pub(crate) version: String,
    /// When it was away.
    pub(crate) loss: EngineLoss,
}

/// What to do with a container when it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It must not run.
    Stopped,
    /// Whatever it does.
    Anyway,
}

impl Engine {
    /// Connects, and settles on a version of the API.
    pub(crate) async fn connect(endpoint: Endpoint) -> Result<Self, DockerError> {
        let docker = match connection::connect(&endpoint) {
            // A socket that is not there yet, or that we may not see.
            Err(ConnectionError::Client(source)) => return Err(explained("connecting", source, &endpoint)),
            connected => connected?,
        };
        let engine = Self { docker, endpoint, version: String::new(), loss: EngineLoss::default() };
        let docker = engine.ask("asking for its version", QUESTION, engine.docker.clone().negotiate_version()).await?;
        let version = engine.ask("asking for its version", QUESTION, docker.version()).await?;
        Ok(Self { docker, version: version.version.unwrap_or_default(), ..engine })
    }

    /// Whether it answers a new question; that it does not is noted as a loss.
    pub(crate) async fn is_there(&self) -> bool {
        self.sign_of_life().await.is_ok()
    }

    /// The same, with why it does not.
    pub(crate) async fn sign_of_life(&self) -> Result<(), DockerError> {
        let answer = self.ask("asking whether it is there", SIGN_OF_LIFE, self.docker.ping()).await;
        if matches!(answer, Err(DockerError::Silent { .. })) {
            self.loss.lost();
        }
        answer.map(drop)
    }

    /// Whether `host-gateway` means something to it. Engines that number themselves in another way are no Docker of that age.
    pub(crate) fn knows_host_gateway(&self) -> bool {
        let mut parts = self.version.split('.').map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if major < HOST_GATEWAY.0 && major >= 17 => {
                (major, minor) >= HOST_GATEWAY
            }
            _ => true,
        }
    }

    /// All containers that carry a label of this value, or with any value.
    pub(crate) async fn labelled(
        &self,
        label: &str,
        value: Option<&str>,
    ) -> Result<Vec<ContainerSummary>, DockerError> {
        let label = value.map_or_else(|| label.to_owned(), |value| format!("{label}={value}"));
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
            ..ListContainersOptions::default()
        };
        self.ask("listing the containers", QUESTION, self.docker.list_containers(Some(options))).await
    }

    /// The containers of an execution.
    pub(crate) async fn of_execution(
        &self,
        key: &worker_core::ids::LaunchKey,
    ) -> Result<Vec<ContainerSummary>, DockerError> {
        self.labelled(marks::LAUNCH_KEY, Some(&marks::key_value(key))).await
    }

    /// A container; `None` if there is none.
    pub(crate) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, DockerError> {
        existing(self.ask("looking at a container", QUESTION, self.docker.inspect_container(id, None)).await)
    }

    /// An image; `None` if it is not on the engine's machine.
    pub(crate) async fn image(&self, image: &str) -> Result<Option<ImageInspect>, DockerError> {
        existing(self.ask("looking at an image", QUESTION, self.docker.inspect_image(image)).await)
    }

    /// The progress of a pull. Fails in the stream.
    pub(crate) fn pull(
        &self,
        from_image: String,
        tag: String,
        platform: Option<String>,
        credentials: Option<DockerCredentials>,
    ) -> impl Stream<Item = Result<CreateImageInfo, EngineError>> + use<> {
        let options = CreateImageOptions {
            from_image: Some(from_image),
            tag: Some(tag),
            platform: platform.unwrap_or_default(),
            ..CreateImageOptions::default()
        };
        self.docker.clone().with_timeout(FOR_EVER).create_image(Some(options), None, credentials)
    }

    /// Makes a container that does not run yet; its id.
    pub(crate) async fn create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        body: ContainerCreateBody,
    ) -> Result<String, DockerError> {
        let options =
            CreateContainerOptions { name: name.map(str::to_owned), platform: platform.unwrap_or_default().to_owned() };
        let docker = self.docker.clone().with_timeout(ACT);
        let created = self.ask("making a container", ACT, docker.create_container(Some(options), body)).await?;
        Ok(created.id)
    }

    pub(crate) async fn connect_to_network(&self, network: &str, id: &str) -> Result<(), DockerError> {
        let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config: None };
        self.ask("connecting a container", QUESTION, self.docker.connect_network(network, request)).await
    }

    /// Unpacks an archive in a container.
    pub(crate) async fn unpack(&self, id: &str, path: &str, archive: Vec<u8>) -> Result<(), DockerError> {
        let options = UploadToContainerOptions { path: path.to_owned(), ..UploadToContainerOptions::default() };
        let body = bollard::body_full(Bytes::from(archive));
        self.ask("putting files into a container", ACT, self.docker.upload_to_container(id, Some(options), body)).await
    }

    /// A file of a container, as text; `None` if there is none.
    pub(crate) async fn file(&self, id: &str, path: &str) -> Result<Option<String>, DockerError> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let download = self.docker.download_from_container(id, Some(options));
        let archive = async { download.try_fold(Vec::new(), append).await };
        let Some(archive) = existing(self.ask("reading a file of a container", QUESTION, archive).await)? else {
            return Ok(None);
        };
        first_file(&archive).map(Some).map_err(DockerError::Archive)
    }

    /// Starts a container; one that runs is left alone.
    pub(crate) async fn start(&self, id: &str) -> Result<(), DockerError> {
        let docker = self.docker.clone().with_timeout(ACT);
        self.ask("starting a container", ACT, docker.start_container(id, None)).await
    }

    /// Waits until a container does not run; the exit code. Not bounded.
    pub(crate) async fn wait(&self, id: &str) -> Result<i64, DockerError> {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let docker = self.docker.clone().with_timeout(FOR_EVER);
        match docker.wait_container(id, Some(options)).next().await {
            Some(Ok(ended)) => Ok(ended.status_code),
            Some(Err(EngineError::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(source)) => Err(self.explain("waiting for a container", source)),
            None => {
                let source = EngineError::IOError { err: std::io::ErrorKind::UnexpectedEof.into() };
                Err(self.explain("waiting for a container", source))
            }
        }
    }

    /// What a container writes from `since` (seconds of the epoch) on, each piece with its time before it. Not bounded.
    pub(crate) fn follow_logs(
        &self,
        id: &str,
        since: i32,
    ) -> impl Stream<Item = Result<LogOutput, EngineError>> + Send + use<> {
        let options = LogsOptions {
            follow: true,
            stdout: true,
            stderr: true,
            timestamps: true,
            since,
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        self.docker.clone().with_timeout(FOR_EVER).logs(id, Some(options))
    }

    /// The last lines that a container wrote to standard error, or to its terminal if it has one.
    pub(crate) async fn last_lines(&self, id: &str, lines: usize) -> Result<String, DockerError> {
        let options = LogsOptions { stderr: true, tail: lines.to_string(), ..LogsOptions::default() };
        let written =
            self.docker.logs(id, Some(options)).try_fold(Vec::new(), |text, piece| append(text, piece.into_bytes()));
        let written = self.ask("reading the output of a container", QUESTION, written).await?;
        Ok(String::from_utf8_lossy(&written).into_owned())
    }

    /// Asks a container to end, and kills it after the grace. True if there was something to stop.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<bool, DockerError> {
        let seconds = grace.as_secs().max(1);
        let options = StopContainerOptions { signal: None, t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)) };
        let limit = Duration::from_secs(seconds).saturating_add(AFTER_GRACE);
        let docker = self.docker.clone().with_timeout(limit);
        let stopped = self.ask("stopping a container", limit, docker.stop_container(id, Some(options))).await;
        Ok(existing(stopped)?.is_some())
    }

    /// Kills a container. True if there was something to kill.
    pub(crate) async fn kill(&self, id: &str) -> Result<bool, DockerError> {
        let options = KillContainerOptions { signal: "SIGKILL".to_owned() };
        match self.ask("killing a container", ACT, self.docker.kill_container(id, Some(options))).await {
            Ok(()) => Ok(true),
            // 409: it does not run.
            Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a container and its volumes without a name. True unless it runs and must not.
    pub(crate) async fn remove(&self, id: &str, removal: Removal) -> Result<bool, DockerError> {
        let options = RemoveContainerOptions { v: true, force: removal == Removal::Anyway, link: false };
        let docker = self.docker.clone().with_timeout(ACT);
        match self.ask("removing a container", ACT, docker.remove_container(id, Some(options))).await {
            Ok(()) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(true),
            // It runs, or somebody removes it already: which of them, the next look tells.
            Err(error) if error.status() == Some(409) => Ok(self.inspect(id).await?.is_none()),
            Err(error) => Err(error),
        }
    }

    async fn ask<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        question: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, DockerError> {
        match tokio::time::timeout(limit, question).await {
            Ok(Ok(answer)) => {
                self.loss.answered();
                Ok(answer)
            }
            Ok(Err(EngineError::RequestTimeoutError)) | Err(_) => Err(DockerError::Silent { doing, after: limit }),
            Ok(Err(source)) => Err(self.explain(doing, source)),
        }
    }

    fn explain(&self, doing: &'static str, source: EngineError) -> DockerError {
        if status_of(&source).is_some() {
            self.loss.answered();
            return failed(doing, source);
        }
        self.loss.lost();
        explained(doing, source, &self.endpoint)
    }
}

fn failed(doing: &'static str, source: EngineError) -> DockerError {
    DockerError::Engine { what: format!("the engine fails at {doing}"), source }
}

/// An error that is no answer of the engine.
fn explained(doing: &'static str, source: EngineError, endpoint: &Endpoint) -> DockerError {
    let trouble = connection::explain(&source, endpoint);
    let may_come = match trouble.kind {
        TroubleKind::Other => return failed(doing, source),
        TroubleKind::Unreachable => true,
        TroubleKind::PermissionDenied => false,
    };
    DockerError::Unreachable { message: trouble.message, hint: trouble.hint, may_come, source }
}

/// What does not exist is an answer.
fn existing<T>(answer: Result<T, DockerError>) -> Result<Option<T>, DockerError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn append(mut text: Vec<u8>, piece: Bytes) -> Result<Vec<u8>, EngineError> {
    text.extend_from_slice(&piece);
    Ok(text)
}

fn first_file(archive: &[u8]) -> std::io::Result<String> {
    let mut archive = tar::Archive::new(archive);
    let mut text = Vec::new();
    if let Some(entry) = archive.entries()?.next() {
        std::io::Read::read_to_end(&mut entry?, &mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
