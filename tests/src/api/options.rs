//! How the API behaves: which server it stands for.

use std::time::Duration;

use secrecy::SecretString;

use super::version::Version;

/// Settings of an API, fixed when it starts.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// `user:password` that every caller has to show, as basic auth or in the first frame of a websocket.
    pub auth_string: Option<SecretString>,
    /// Whether calls that change something need a CSRF token.
    pub csrf: bool,
    /// The server version to stand for. Endpoints and rules that came later are missing.
    pub version: Version,
    /// Whether there is a worker channel, if the version has one at all.
    pub worker_channel: bool,
    /// How long a clean-up stays reserved for the worker that has it.
    pub cleanup_lease: Duration,
    /// After so many deliveries a clean-up is given up.
    pub cleanup_attempts: u32,
    /// How long a claimed run of a limited deployment may take to start, if the deployment does not say.
    pub deployment_grace: Duration,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            auth_string: None,
            csrf: false,
            version: Version::new(3, 8, 0),
            worker_channel: true,
            cleanup_lease: Duration::from_secs(30),
            cleanup_attempts: 5,
            deployment_grace: Duration::from_mins(5),
        }
    }
}

impl ApiOptions {
    /// A server of a version, open to everybody.
    pub fn of_version(version: Version) -> Self {
        Self { version, ..Self::default() }
    }

    /// Whether `/work_pools/{pool}/workers/connect` is served.
    pub fn serves_worker_channel(&self) -> bool {
        self.worker_channel && self.version.has_worker_channel()
    }
}
