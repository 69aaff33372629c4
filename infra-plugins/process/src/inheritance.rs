//! What a run gets of the worker's own environment.
//!
//! The worker's environment is for the worker: it may hold the credentials of the machine, and whatever else the service manager
//! was told. A run gets what programs need of their surroundings, and what the operator names.

use std::collections::BTreeMap;

use worker_core::policy::{Pattern, is_of_form};

use crate::environment::LAUNCH_MARKER;

/// What programs need of their surroundings, and the SDK of the worker's. `PREFECT_*` are settings that runs have in common with
/// their worker.
const NEEDED: [&str; 50] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLUMNS",
    "NO_COLOR",
    "FORCE_COLOR",
    "TZ",
    "TZDIR",
    "TMPDIR",
    "TMP",
    "TEMP",
    "XDG_*_HOME",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "PYTHON*",
    "PYENV_*",
    "LD_LIBRARY_PATH",
    "MALLOC_ARENA_MAX",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_*",
    "NVIDIA_*",
    "UV_CACHE_DIR",
    "UV_PYTHON*",
    "UV_PROJECT_ENVIRONMENT",
    "PIP_CACHE_DIR",
    "PREFECT_*",
];

/// What Prefect names so belongs to one run or one worker: of a worker that itself runs inside a run, it would reach the
/// inner runs.
const INTERNAL_PREFIX: &str = "PREFECT__";
/// Settings of the worker, its secrets among them.
const WORKER_PREFIX: &str = "WORKER_";
/// How systemd speaks with the worker: a run that got these would answer in its place, or know where its credentials are.
const SERVICE_VARIABLES: [&str; 13] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "LOGS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
];

/// What runs get of the worker's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inheritance {
    /// All of it but what is meant for the worker alone.
    Everything,
    /// What programs need, and what is named here.
    Needed {
        /// Names of variables.
        and: Vec<Pattern>,
    },
}

impl Inheritance {
    /// The variables that runs get.
    pub(crate) fn of(&self, worker: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        worker
            .iter()
            .filter(|(name, _)| self.hands_on(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The names of variables that runs do not get although they are not meant for the worker alone.
    pub(crate) fn kept_out<'w>(&self, worker: &'w BTreeMap<String, String>) -> Vec<&'w str> {
        worker.keys().map(String::as_str).filter(|name| !is_the_workers(name) && !self.hands_on(name)).collect()
    }

    fn hands_on(&self, name: &str) -> bool {
        if is_the_workers(name) {
            return false;
        }
        match self {
            Self::Everything => true,
            Self::Needed { and } => {
                NEEDED.iter().any(|pattern| is_of_form(pattern, name))
                    || and.iter().any(|pattern| pattern.matches(name))
            }
        }
    }
}

fn is_the_workers(name: &str) -> bool {
    name == LAUNCH_MARKER
        || name.starts_with(INTERNAL_PREFIX)
        || name.starts_with(WORKER_PREFIX)
        || SERVICE_VARIABLES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> BTreeMap<String, String> {
        [
            "PATH",
            "LC_ALL",
            "https_proxy",
            "PREFECT_API_URL",
            "PREFECT__FLOW_RUN_ID",
            "WORKER_API_RUN_API_KEY",
            "WORKER_LAUNCH_KEY",
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
            "AWS_SECRET_ACCESS_KEY",
            "DATABASE_URL",
        ]
        .map(|name| (name.to_owned(), "x".to_owned()))
        .into()
    }

    fn names(inheritance: &Inheritance) -> Vec<String> {
        inheritance.of(&worker()).into_keys().collect()
    }

    #[test]
    fn runs_get_what_programs_need_and_what_is_named() {
        let clean = Inheritance::Needed { and: Vec::new() };
        assert_eq!(names(&clean), ["LC_ALL", "PATH", "PREFECT_API_URL", "https_proxy"]);
        assert_eq!(clean.kept_out(&worker()), ["AWS_SECRET_ACCESS_KEY", "DATABASE_URL"]);
        let named = Inheritance::Needed { and: vec![Pattern::new("AWS_*"), Pattern::new("WORKER_*")] };
        assert_eq!(names(&named), ["AWS_SECRET_ACCESS_KEY", "LC_ALL", "PATH", "PREFECT_API_URL", "https_proxy"]);
    }

    #[test]
    fn what_is_meant_for_the_worker_alone_is_never_handed_on() {
        assert_eq!(
            names(&Inheritance::Everything),
            ["AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "LC_ALL", "PATH", "PREFECT_API_URL", "https_proxy"]
        );
        assert!(Inheritance::Everything.kept_out(&worker()).is_empty());
    }
}
