//! What goes wrong with containers.

use std::time::Duration;

use bollard::errors::Error as EngineError;
use infra_contract::{ErrorClass, InfraError};
use worker_core::job_configuration::JobConfigurationError;

use crate::connection::ConnectionError;
use crate::create_kwargs::KwargError;
use crate::registry::{CredentialsError, ReferenceError};
use crate::volumes::VolumeError;

/// The event of this worker that tells of a container that could not be made.
const CREATION_FAILED: &str = "prefect.docker.container.creation-failed";

/// An error of the Docker kind.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    #[error("the job configuration cannot be carried out")]
    Configuration(#[from] JobConfigurationError),
    #[error("job configuration field `{field}` must be {expected}")]
    Field { field: &'static str, expected: &'static str },
    #[error("`container_create_kwargs` cannot be carried out")]
    Kwargs(#[from] KwargError),
    #[error("job variable `volumes` cannot be carried out")]
    Volumes(#[from] VolumeError),
    #[error("the image's name is not valid")]
    Reference(#[from] ReferenceError),
    #[error("`registry_credentials` has no {0}")]
    RegistryBlock(&'static str),
    #[error("the command cannot be split into words")]
    Command(#[source] shell_words::ParseError),
    #[error("environment variable `{0}` holds a secret, and no shell can set a variable of that name")]
    SecretName(String),
    #[error("the worker's checkout cannot be mounted: the engine is at {0}, which is another machine")]
    RemoteCode(String),
    #[error("it is not clear where the Docker engine is")]
    Endpoint(#[from] ConnectionError),
    #[error("{message}")]
    Unreachable {
        message: String,
        hint: Option<String>,
        /// An engine that is not there may be on its way; one that refuses us will go on to.
        may_come: bool,
        #[source]
        source: EngineError,
    },
    /// There was no engine to launch anything with.
    #[error(transparent)]
    NoEngine(Box<Self>),
    #[error("the engine gave no answer within {} s while {doing}", .after.as_secs())]
    Silent { doing: &'static str, after: Duration },
    /// The engine refused something, or the connection to it broke.
    #[error("{what}")]
    Engine {
        what: String,
        #[source]
        source: EngineError,
    },
    #[error("image `{image}` is not on the engine's machine, and its pull policy is Never")]
    NoImage { image: String },
    #[error("image `{image}` cannot be pulled")]
    Pull {
        image: String,
        #[source]
        source: PullFailure,
    },
    #[error("the credentials for the registry of image `{image}` cannot be read")]
    Credentials {
        image: String,
        #[source]
        source: CredentialsError,
    },
    #[error("the plan or handle cannot be read")]
    Unreadable(#[source] serde_json::Error),
    #[error("the container was removed right after its start")]
    GoneAtOnce,
    #[error("the plugin's own notes cannot be written")]
    Notes(#[source] std::io::Error),
    #[error("an archive cannot be made")]
    Archive(#[source] std::io::Error),
}

/// Why an image was not pulled. Plain data: many runs may wait for one pull.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PullFailure {
    #[error("the registry does not have it: {0}")]
    Missing(String),
    #[error("the registry refuses it: {0}")]
    Denied(String),
    #[error("the pull made no progress for {} s", .0.as_secs())]
    Stalled(Duration),
    #[error("{0}")]
    Other(String),
}

impl DockerError {
    /// What the engine answered, if it did.
    pub(crate) const fn status(&self) -> Option<u16> {
        if let Self::Engine { source, .. } = self { status_of(source) } else { None }
    }

    /// Whether a name is taken. Podman says so with 500.
    pub(crate) fn is_name_conflict(&self) -> bool {
        let in_use = || matches!(self, Self::Engine { source, .. } if message_of(source).is_some_and(|said| said.contains("already in use")));
        match self.status() {
            Some(409) => true,
            Some(500) => in_use(),
            _ => false,
        }
    }

    /// Says what an answer of the engine is about. Whatever else went wrong stays as it is.
    pub(crate) fn about(self, what: impl FnOnce() -> String) -> Self {
        if self.status().is_none() {
            return self;
        }
        if let Self::Engine { source, .. } = self { Self::Engine { what: what(), source } } else { self }
    }

    const fn class(&self) -> ErrorClass {
        match self {
            Self::NoEngine(_)
            | Self::Credentials { .. }
            | Self::Endpoint(_)
            | Self::Pull { source: PullFailure::Denied(_), .. } => ErrorClass::Denied,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Notes(_) => ErrorClass::Transient,
            Self::Unreadable(_) | Self::Archive(_) => ErrorClass::Bug,
            Self::Engine { source, .. } => match status_of(source) {
                Some(401 | 403) => ErrorClass::Denied,
                Some(_) => ErrorClass::BadSpec,
                None => ErrorClass::Transient,
            },
            Self::Configuration(_)
            | Self::Field { .. }
            | Self::Kwargs(_)
            | Self::Volumes(_)
            | Self::Reference(_)
            | Self::RegistryBlock(_)
            | Self::Command(_)
            | Self::SecretName(_)
            | Self::RemoteCode(_)
            | Self::NoImage { .. }
            | Self::Pull { .. }
            | Self::GoneAtOnce => ErrorClass::BadSpec,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Configuration(error) => error.hint(),
            Self::Unreachable { hint, .. } => return hint.clone(),
            Self::NoEngine(error) => return error.hint(),
            Self::Endpoint(error) => return error.hint(),
            Self::Engine { source, .. } => message_of(source).and_then(|message| engine_hint(&message))?,
            Self::Kwargs(_) => {
                "Name them as docker-py names the arguments of `containers.create`; what is a job variable of its own \
                 (`image`, `env`, `volumes`, `mem_limit` and so on) is given as that"
            }
            Self::Volumes(_) => {
                "Write `/folder/on/host:/path`, `volume-name:/path` or `/path`, with `:ro` behind to forbid writing"
            }
            Self::Reference(_) => "Write it as for `docker pull`: registry.example.com/team/flows:1.2",
            Self::SecretName(_) => {
                "Rename the variable, or set WORKER_DOCKER_SECRETS=environment to show secrets in `docker inspect`"
            }
            Self::RemoteCode(_) => "Unset `mount_code`: the flow's own process then pulls the code",
            Self::NoImage { .. } => {
                "Pull or build it on the engine's machine, or set `image_pull_policy` to IfNotPresent"
            }
            Self::Pull { source, .. } => source.hint(),
            Self::Credentials { .. } => "Check the worker's Docker configuration and its credential helpers",
            Self::Field { .. }
            | Self::RegistryBlock(_)
            | Self::Command(_)
            | Self::Silent { .. }
            | Self::Unreadable(_)
            | Self::GoneAtOnce
            | Self::Notes(_)
            | Self::Archive(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// The error of a container that could not be made, which Prefect's worker tells the world.
    pub(crate) fn of_creation(self) -> InfraError {
        InfraError::from(self).told_by(CREATION_FAILED)
    }
}

impl PullFailure {
    const fn hint(&self) -> &'static str {
        match self {
            Self::Missing(_) => {
                "Check name and tag. A registry also says so of a private image when it gets no credentials"
            }
            Self::Denied(_) => "Check the `registry_credentials` block, or `docker login` on the worker's machine",
            Self::Stalled(_) => "Check the registry, or raise WORKER_DOCKER_IMAGE_PULL_DEADLINE_SECONDS",
            Self::Other(_) => "Check that the engine's machine reaches the registry",
        }
    }
}

impl From<DockerError> for InfraError {
    fn from(error: DockerError) -> Self {
        let (class, hint) = (error.class(), error.hint());
        let error = if let DockerError::NoEngine(error) = error { *error } else { error };
        let infra = Self::new(class, error.to_string());
        let infra = match causes(&error) {
            Some(causes) => infra.because(Causes(causes)),
            None => infra,
        };
        match hint {
            Some(hint) => infra.hint(hint),
            None => infra,
        }
    }
}

/// What led to an error, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Causes(String);

fn causes(error: &DockerError) -> Option<String> {
    // The client wraps what the engine said.
    if let DockerError::Engine { source, .. } = error
        && let Some(said) = message_of(source)
    {
        return Some(said);
    }
    let mut texts = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    (!texts.is_empty()).then(|| texts.join(": "))
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &DockerError) -> String {
    match causes(error) {
        Some(causes) => format!("{error}: {causes}"),
        None => error.to_string(),
    }
}

/// The HTTP status of an answer that was an error.
pub(crate) const fn status_of(error: &EngineError) -> Option<u16> {
    if let EngineError::DockerResponseServerError { status_code, .. } = error { Some(*status_code) } else { None }
}

/// What the engine said about an error.
pub(crate) fn message_of(error: &EngineError) -> Option<String> {
    if let EngineError::DockerResponseServerError { message: said, .. }
    | EngineError::DockerStreamError { error: said } = error
    {
        return Some(said.trim().to_owned());
    }
    None
}

/// What to do about what the engine says of a container.
fn engine_hint(message: &str) -> Option<&'static str> {
    let message = message.to_ascii_lowercase();
    let says = |word: &str| message.contains(word);
    if says("/bin/sh") && says("no such file") {
        return Some(
            "The image has no shell, which the worker needs to hand over secrets; set WORKER_DOCKER_SECRETS=environment to \
             give them as plain variables",
        );
    }
    if says("executable file not found") || (says("exec") && says("no such file or directory")) {
        return Some(
            "The image does not have the command; the default is `prefect flow-run execute`, for which it needs the Prefect SDK",
        );
    }
    if says("network") && says("not found") {
        return Some("Create the network on the engine's machine, or correct `networks`");
    }
    if says("privileged") || says("operation not permitted") {
        return Some("The engine does not grant this; unset `privileged` or ask who runs the engine");
    }
    if says("memory limit") {
        return Some("Raise `mem_limit`");
    }
    if says("port is already allocated") {
        return Some("Another container has the port; leave its number to the engine");
    }
    if says("no such image") {
        return Some("Pull or build it on the engine's machine");
    }
    None
}
