//! The client: what is shared by all of its copies, and the attribution that is not.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use url::Url;
use worker_core::ids::WorkerId;

use crate::csrf::Csrf;
use crate::error::ClientBuildError;
use crate::headers;
use crate::lanes::{Lane, Lanes};
use crate::request::{Call, endpoint};
use crate::retry::CallKind;
use crate::settings::{ClientSettings, Credentials, LogSettings, RetrySettings};
use crate::traffic::Traffic;
use crate::transport;
use crate::undecodable::Complaints;

/// A client of the central API. Cheap to clone; clones share connections, CSRF token and attribution.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    attribution: Arc<Attribution>,
    pub(crate) lane: Lane,
}

pub(crate) struct Shared {
    pub(crate) http: reqwest::Client,
    pub(crate) upgrades: reqwest::Client,
    pub(crate) api_url: Url,
    pub(crate) is_cloud: bool,
    pub(crate) credentials: Credentials,
    pub(crate) csrf: Csrf,
    pub(crate) retry: RetrySettings,
    pub(crate) log: LogSettings,
    pub(crate) request_timeout: Duration,
    pub(crate) base_headers: HeaderMap,
    pub(crate) custom_headers: HeaderMap,
    pub(crate) upgrade_headers: HeaderMap,
    pub(crate) answered_before: AtomicBool,
    pub(crate) complaints: Complaints,
    pub(crate) traffic: Option<Arc<dyn Traffic>>,
    pub(crate) lanes: Lanes,
}

#[derive(Default)]
struct Attribution {
    worker_name: Option<HeaderValue>,
    worker_id: RwLock<Option<HeaderValue>>,
}

impl Client {
    /// Builds a client. Reads the certificate files; connects to nothing.
    ///
    /// # Errors
    ///
    /// When a setting is not usable; the error names it.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientBuildError> {
        let scheme = settings.api_url.scheme();
        if !matches!(scheme, "http" | "https") {
            return Err(ClientBuildError::Scheme { scheme: scheme.to_owned() });
        }
        let is_cloud = settings.api_url.as_str().starts_with(settings.cloud_api_url.as_str().trim_end_matches('/'));
        let custom_headers = headers::custom_headers(&settings.custom_headers)?;
        let shared = Shared {
            http: transport::http_client(&settings)?,
            upgrades: transport::upgrade_client(&settings)?,
            is_cloud,
            base_headers: headers::base_headers(&settings.credentials)?,
            upgrade_headers: headers::upgrade_headers(&settings.credentials, &custom_headers)?,
            custom_headers,
            csrf: Csrf::new(settings.csrf && !is_cloud),
            api_url: settings.api_url,
            credentials: settings.credentials,
            retry: settings.retry,
            log: settings.log,
            request_timeout: settings.request_timeout,
            answered_before: AtomicBool::new(false),
            complaints: Complaints::default(),
            traffic: settings.traffic,
            lanes: Lanes::default(),
        };
        Ok(Self { shared: Arc::new(shared), attribution: Arc::default(), lane: Lane::default() })
    }

    /// The same client on behalf of a worker: every call names it. Connections and CSRF token stay shared.
    #[must_use]
    pub fn attributed(&self, worker_name: &str) -> Self {
        let attribution =
            Attribution { worker_name: Some(headers::worker_name(worker_name)), worker_id: RwLock::default() };
        Self { shared: Arc::clone(&self.shared), attribution: Arc::new(attribution), lane: self.lane }
    }

    /// The same client for claims, which have connections of their own: however much is to be reported, a claim is made
    /// while what it rests on is fresh, and however many claims there are, runs are reported.
    #[must_use]
    pub fn for_claims(&self) -> Self {
        Self { lane: Lane::Claims, ..self.clone() }
    }

    /// Names the worker's id, which Prefect Cloud gives, in all further calls of this client and its clones.
    pub fn set_worker_id(&self, id: WorkerId) {
        let value = HeaderValue::from_str(&id.to_string()).ok();
        *self.attribution.worker_id.write().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// Whether the API is Prefect Cloud.
    pub fn is_cloud(&self) -> bool {
        self.shared.is_cloud
    }

    /// The API's URL. It may hold a password: print it with [`redacted`](crate::redacted).
    pub fn api_url(&self) -> &Url {
        &self.shared.api_url
    }

    pub(crate) fn log_settings(&self) -> &LogSettings {
        &self.shared.log
    }

    pub(crate) fn call(&self, kind: CallKind, method: Method, name: &'static str, path: &[&str]) -> Call {
        Call { name, kind, method, url: endpoint(&self.shared.api_url, path), body: None, is_optional: false }
    }

    /// All headers of a call but the CSRF pair. Custom headers come last, so that they can replace the credentials.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = self.shared.base_headers.clone();
        if let Some(name) = &self.attribution.worker_name {
            headers.insert(headers::WORKER_NAME, name.clone());
        }
        if let Some(id) = &*self.attribution.worker_id.read().unwrap_or_else(PoisonError::into_inner) {
            headers.insert(headers::WORKER_ID, id.clone());
        }
        headers.extend(self.shared.custom_headers.clone());
        headers
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_url", &crate::redacted(&self.shared.api_url))
            .field("worker_name", &self.attribution.worker_name)
            .finish_non_exhaustive()
    }
}
