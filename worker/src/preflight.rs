//! What is asked of the API before a pool worker starts: is it there, what kind of pool is this, is anything paused?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use central_api_client::{ApiError, Client};
use central_api_wire::work_pool::WorkPool;
use tokio::time::Instant;
use worker_core::handle::PluginKind;

use crate::console;
use crate::pool::pace;
use crate::registry::KINDS;
use crate::run::ErrorChain;

/// An API that gives no sensible answer for so long at the first start is taken for a mistake in the settings.
const FIRST_ANSWER: Duration = Duration::from_secs(7);
/// A single question may take this long: a black hole must not outlast [`FIRST_ANSWER`] by much.
const ONE_QUESTION: Duration = Duration::from_secs(3);
/// The version is asked for first and matters little: together with the rest this stays within ten seconds.
const VERSION_QUESTION: Duration = Duration::from_millis(1500);
/// The kind of a pool that does not exist yet and was not given a type.
const DEFAULT_KIND: &str = "process";

/// Why a pool worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// No answer.
    #[error("Failed to reach API at {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// No answer at all within the time for one question.
    #[error("Failed to reach API at {url}: it does not answer")]
    Silent {
        /// Where.
        url: String,
    },
    /// An answer that no Prefect API gives.
    #[error("{url} answers, but not as a Prefect API does")]
    NotPrefect {
        /// Where.
        url: String,
        /// What came.
        #[source]
        source: ApiError,
    },
    /// The credentials are wrong, missing, or not enough.
    #[error("the API at {url} does not accept the credentials")]
    Denied {
        /// Where.
        url: String,
        /// What came.
        #[source]
        source: ApiError,
    },
    /// The API refused for another reason.
    #[error("work pool '{pool}' could not be read")]
    Refused {
        /// The pool.
        pool: String,
        /// What came.
        #[source]
        source: ApiError,
    },
    /// The server submits the runs of this pool itself.
    #[error("Workers are not required for push work pools: '{pool}' has type '{kind}'")]
    Push {
        /// The pool.
        pool: String,
        /// Its type.
        kind: String,
    },
    /// A pool of Prefect 2 agents.
    #[error("'{pool}' is a work pool for Prefect agents, which no worker can serve")]
    Agent {
        /// The pool.
        pool: String,
    },
    /// A type that this build has no plugin for.
    #[error("work pool '{pool}' has type '{kind}', which this worker cannot execute")]
    UnknownKind {
        /// The pool.
        pool: String,
        /// Its type.
        kind: String,
    },
    /// The server speaks another major version.
    #[error("the server has version {server}, which no Prefect 3 worker can serve")]
    ServerVersion {
        /// The server's version.
        server: String,
    },
}

impl PreflightError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => {
                "Check PREFECT_API_URL and that the server runs. To wait for it instead, use --wait-for-api.".to_owned()
            }
            Self::NotPrefect { .. } => {
                "Check PREFECT_API_URL: for a self-hosted server it ends in /api; a proxy may also answer in its place."
                    .to_owned()
            }
            Self::Denied { .. } => {
                "Check PREFECT_API_KEY (Prefect Cloud) or PREFECT_API_AUTH_STRING (self-hosted), and \
                                    the account and workspace in PREFECT_API_URL."
                    .to_owned()
            }
            Self::Refused { .. } => "The answer above says why.".to_owned(),
            Self::Push { .. } => "Its runs are started by the server; choose another pool.".to_owned(),
            Self::Agent { .. } => "Make a work pool of another type.".to_owned(),
            Self::UnknownKind { .. } => {
                format!("This build executes: {}. To try another kind on this pool, use --type.", KINDS.join(", "))
            }
            Self::ServerVersion { .. } => "Serve it with a worker of its own major version.".to_owned(),
        }
    }
}

/// The questions about one pool.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// The API.
    pub client: Client,
    /// The pool.
    pub pool: String,
    /// The queues that were asked for.
    pub work_queues: Vec<String>,
    /// The type that was asked for.
    pub kind: Option<String>,
    /// Whether to wait for an API that gives no sensible answer.
    pub wait_for_api: bool,
    /// Whether this API has given this process a sensible answer: from then on the settings are right, and nothing that it
    /// or a proxy answers is a reason to give up.
    pub api_is_right: Arc<AtomicBool>,
}

/// What asking about a pool came to.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The kind to serve it as.
    pub kind: PluginKind,
    /// The pool, if it exists.
    pub pool: Option<Arc<WorkPool>>,
}

impl Preflight {
    /// Asks, says what a person should know, and gives the kind.
    ///
    /// # Errors
    /// [`PreflightError`]; an API that is only busy is asked until it answers.
    pub async fn ask(&self) -> Result<Opening, PreflightError> {
        let pool = self.read_pool().await?;
        self.api_is_right.store(true, Ordering::Relaxed);
        self.notice_pauses(pool.as_ref()).await;
        Ok(Opening { kind: self.choose_kind(pool.as_ref())?, pool: pool.map(Arc::new) })
    }

    async fn read_pool(&self) -> Result<Option<WorkPool>, PreflightError> {
        let begun = Instant::now();
        let mut failures = 0;
        let mut said = false;
        let mut waits = |text: String| {
            if !said {
                tracing::warn!("work pool '{}' is waiting for the API: {text}", self.pool);
            }
            said = true;
        };
        loop {
            let answer = match tokio::time::timeout(ONE_QUESTION, self.client.work_pool(&self.pool)).await {
                Ok(Ok(pool)) => return Ok(Some(pool)),
                Ok(Err(error)) if error.is_not_found() => return Ok(None),
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            let problem = self.problem(answer);
            let out_of_time = begun.elapsed() + Duration::from_secs(1) > FIRST_ANSWER;
            let patient = self.wait_for_api || self.api_is_right.load(Ordering::Relaxed);
            match problem {
                Problem::Busy(error) => waits(ErrorChain(&error).to_string()),
                Problem::Odd(error) if patient => waits(format!("{}. {}", ErrorChain(&error), error.hint())),
                Problem::Denied(error) if self.wait_for_api => {
                    waits(format!("{}. {}", ErrorChain(&error), error.hint()));
                }
                Problem::Odd(_) if !out_of_time => {}
                Problem::Odd(error) | Problem::Denied(error) | Problem::Final(error) => return Err(error),
            }
            failures += 1;
            tokio::time::sleep(pace::after_failure(failures, Duration::from_secs(10), None)).await;
        }
    }

    fn problem(&self, answer: Option<ApiError>) -> Problem {
        let url = central_api_client::redacted(self.client.api_url());
        let Some(source) = answer else { return Problem::Odd(PreflightError::Silent { url }) };
        match source {
            ApiError::Unreachable(_) => Problem::Odd(PreflightError::Unreachable { url, source }),
            ApiError::Undecodable { .. } => Problem::Odd(PreflightError::NotPrefect { url, source }),
            ApiError::Refused { .. } if source.is_unknown_path() => {
                Problem::Odd(PreflightError::NotPrefect { url, source })
            }
            ApiError::Refused { status: 401 | 403, .. } => Problem::Denied(PreflightError::Denied { url, source }),
            ApiError::Refused { .. } if source.is_transient() => Problem::Busy(source),
            ApiError::Refused { .. } | ApiError::Unencodable(_) => {
                Problem::Final(PreflightError::Refused { pool: self.pool.clone(), source })
            }
        }
    }

    async fn notice_pauses(&self, pool: Option<&WorkPool>) {
        let name = &self.pool;
        if pool.is_some_and(|pool| pool.is_paused) {
            console::line(&format!(
                "The work pool '{name}' is currently paused. This worker will not execute any flow runs until the work \
                 pool is unpaused."
            ));
        }
        let queues = (!self.work_queues.is_empty()).then_some(self.work_queues.as_slice());
        let asked = tokio::time::timeout(ONE_QUESTION, self.client.work_queues(name, queues)).await;
        if let Ok(Ok(found)) = asked
            && !found.is_empty()
            && found.iter().all(|queue| queue.is_paused)
        {
            let which = if queues.is_some() { "Specified work queues" } else { "All work queues" };
            console::line(&format!(
                "{which} in the work pool '{name}' are currently paused. This worker will not execute any flow runs until \
                 the work queues are unpaused."
            ));
        }
    }

    fn choose_kind(&self, pool: Option<&WorkPool>) -> Result<PluginKind, PreflightError> {
        let name = &self.pool;
        let kind = match (&self.kind, pool) {
            (Some(kind), _) => kind.clone(),
            (None, Some(pool)) => {
                let kind = pool.pool_type.clone();
                if kind.ends_with(":push") || kind.ends_with(":managed") {
                    return Err(PreflightError::Push { pool: name.clone(), kind });
                }
                console::line(&format!("Discovered type '{kind}' for work pool '{name}'."));
                kind
            }
            (None, None) => {
                console::line(&format!(
                    "Work pool '{name}' does not exist and no worker type was provided. Starting a {DEFAULT_KIND} worker..."
                ));
                DEFAULT_KIND.to_owned()
            }
        };
        if kind == "prefect-agent" {
            return Err(PreflightError::Agent { pool: name.clone() });
        }
        if let Some(pool) = pool
            && pool.pool_type != kind
        {
            tracing::warn!(
                "Worker type mismatch! This worker process expects type '{kind}' but received '{}' from the server. \
                 Unexpected behavior may occur.",
                pool.pool_type
            );
        }
        Ok(PluginKind::new(kind))
    }
}

/// What an unsuccessful question means at the first start.
enum Problem {
    /// The API is there and has no time: ask again.
    Busy(ApiError),
    /// The credentials are refused.
    Denied(PreflightError),
    /// Perhaps a moment's trouble, perhaps a wrong setting: ask again for a while.
    Odd(PreflightError),
    /// Asking again would change nothing.
    Final(PreflightError),
}

/// Compares versions once, at the start. A server that does not say its version is taken as it is.
///
/// # Errors
/// The server has another major version.
pub async fn check_server_version(client: &Client) -> Result<(), PreflightError> {
    let Ok(Ok(server)) = tokio::time::timeout(VERSION_QUESTION, client.server_version()).await else { return Ok(()) };
    let major = |version: &str| version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major(&server) {
        Some(3) | None => {
            tracing::debug!("the server has version {server}");
            Ok(())
        }
        Some(_) => Err(PreflightError::ServerVersion { server }),
    }
}
