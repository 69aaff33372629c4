//! From merged values to [`PrefectSettings`].

use std::{fmt::Display, net::IpAddr, time::Duration};

use camino::Utf8PathBuf;
use url::Url;

use super::{
    forms, known,
    types::{
        ApiSettings, ApiUrl, ClientSettings, CloudSettings, LogLevel, LoggingSettings, LoggingToApiSettings,
        PrefectSettings, PrefectWorkerSettings, RunnerSettings,
    },
};
use crate::{
    Origin,
    mask::MASK,
    python_text,
    reading::{Label, Reading},
    value,
};

/// Reads the Prefect settings a worker honours.
pub(crate) struct PrefectReading<'r, 'a> {
    pub(crate) reading: &'r mut Reading<'a>,
    pub(crate) warnings: &'r mut Vec<String>,
    /// `SSL_CERT_FILE` of the process environment.
    pub(crate) ssl_cert_file: Option<&'r str>,
}

impl PrefectReading<'_, '_> {
    pub(crate) fn read(&mut self) -> PrefectSettings {
        let default_home = self.reading.home_directory.map(|home| home.join(".prefect"));
        let home = self.path("PREFECT_HOME").or(default_home);
        let debug_mode = self.boolean("PREFECT_DEBUG_MODE", false);
        let settings = PrefectSettings {
            home,
            debug_mode,
            api: self.api(),
            cloud: self.cloud(),
            client: self.client(),
            worker: self.worker(),
            runner: self.runner(),
            logging: self.logging(debug_mode),
            kubernetes: self.kubernetes(),
        };
        self.warn_of_url(&settings);
        settings
    }

    fn api(&mut self) -> ApiSettings {
        ApiSettings {
            url: self.reading.optional(label("PREFECT_API_URL"), forms::optional_api_url, ApiUrl::to_string),
            auth_string: self.reading.secret(label("PREFECT_API_AUTH_STRING")),
            key: self.reading.secret(label("PREFECT_API_KEY")),
            tls_insecure_skip_verify: self.boolean("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", false),
            ssl_cert_file: self.ssl_cert_file(),
            enable_http2: self.boolean("PREFECT_API_ENABLE_HTTP2", false),
            request_timeout: self.interval("PREFECT_API_REQUEST_TIMEOUT", 60),
        }
    }

    /// The default is the variable that OpenSSL's programs read; it is not passed on as an explicit Prefect setting.
    fn ssl_cert_file(&mut self) -> Option<Utf8PathBuf> {
        const VARIABLE: &str = "PREFECT_API_SSL_CERT_FILE";
        let fallback = self.ssl_cert_file.filter(|path| !path.is_empty());
        match (self.reading.origin(VARIABLE), fallback) {
            (None, Some(path)) => {
                let origin = Origin::Environment { variable: "SSL_CERT_FILE".to_owned() };
                self.reading.list(label(VARIABLE), Some(path.to_owned()), origin);
                Some(Utf8PathBuf::from(path))
            }
            _ => self.path(VARIABLE),
        }
    }

    fn cloud(&mut self) -> CloudSettings {
        CloudSettings {
            api_url: self.reading.or(
                label("PREFECT_CLOUD_API_URL"),
                default_cloud_url(),
                forms::api_url,
                ApiUrl::to_string,
            ),
            max_log_size: self.integer("PREFECT_CLOUD_MAX_LOG_SIZE", 25_000, 1),
        }
    }

    fn client(&mut self) -> ClientSettings {
        ClientSettings {
            max_retries: self.integer("PREFECT_CLIENT_MAX_RETRIES", 5, 0),
            retry_jitter_factor: self.reading.or(
                label("PREFECT_CLIENT_RETRY_JITTER_FACTOR"),
                0.2,
                value::not_negative,
                |factor| python_text::float(*factor),
            ),
            retry_extra_codes: self.reading.or(
                label("PREFECT_CLIENT_RETRY_EXTRA_CODES"),
                std::collections::BTreeSet::new(),
                forms::status_codes,
                |codes| joined(codes),
            ),
            csrf_support_enabled: self.boolean("PREFECT_CLIENT_CSRF_SUPPORT_ENABLED", true),
            custom_headers: self.custom_headers(),
            server_version_check_enabled: self.boolean("PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED", true),
            metrics_enabled: self.boolean("PREFECT_CLIENT_METRICS_ENABLED", false),
            metrics_port: self.integer("PREFECT_CLIENT_METRICS_PORT", 4201, 0),
        }
    }

    fn custom_headers(&mut self) -> Vec<(String, secrecy::SecretString)> {
        const VARIABLE: &str = "PREFECT_CLIENT_CUSTOM_HEADERS";
        let headers = self.reading.or(label(VARIABLE), serde_json::Map::new(), forms::headers, |headers| {
            joined(headers.keys().map(|name| format!("{name}: {MASK}")))
        });
        let (sent, dropped) = forms::sendable(headers);
        if let Some(origin) = self.reading.origin(VARIABLE) {
            let warning = |name: &String| {
                format!("{origin}: custom header `{name}` is dropped, the client sets that header itself")
            };
            self.warnings.extend(dropped.iter().map(warning));
        }
        sent
    }

    fn worker(&mut self) -> PrefectWorkerSettings {
        PrefectWorkerSettings {
            debug_mode: self.boolean("PREFECT_WORKER_DEBUG_MODE", false),
            heartbeat: self.interval("PREFECT_WORKER_HEARTBEAT_SECONDS", 30),
            query: self.interval("PREFECT_WORKER_QUERY_SECONDS", 10),
            prefetch: self.reading.or(
                label("PREFECT_WORKER_PREFETCH_SECONDS"),
                Duration::from_secs(10),
                value::seconds,
                seconds_text,
            ),
            enable_cancellation: self.boolean("PREFECT_WORKER_ENABLE_CANCELLATION", false),
            cancellation_poll: self.interval("PREFECT_WORKER_CANCELLATION_POLL_SECONDS", 120),
            webserver_host: self.reading.or(
                label("PREFECT_WORKER_WEBSERVER_HOST"),
                IpAddr::from([0, 0, 0, 0]).to_string(),
                value::not_empty,
                String::clone,
            ),
            webserver_port: self.integer("PREFECT_WORKER_WEBSERVER_PORT", 8080, 0),
        }
    }

    fn runner(&mut self) -> RunnerSettings {
        RunnerSettings {
            crash_on_cancellation_failure: self.boolean("PREFECT_RUNNER_CRASH_ON_CANCELLATION_FAILURE", false),
            auto_install_dependencies: self.boolean("PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES", false),
        }
    }

    fn logging(&mut self, debug_mode: bool) -> LoggingSettings {
        let set = self.reading.or(
            label("PREFECT_LOGGING_LEVEL"),
            if debug_mode { LogLevel::Debug } else { LogLevel::Info },
            forms::level,
            |level| level.as_str().to_owned(),
        );
        let to_api = LoggingToApiSettings {
            enabled: self.boolean("PREFECT_LOGGING_TO_API_ENABLED", true),
            batch_interval: self.interval("PREFECT_LOGGING_TO_API_BATCH_INTERVAL", 2),
            batch_size: self.integer("PREFECT_LOGGING_TO_API_BATCH_SIZE", 4_000_000, 1),
            max_log_size: self.integer("PREFECT_LOGGING_TO_API_MAX_LOG_SIZE", 1_000_000, 1),
        };
        let sizes = ["PREFECT_LOGGING_TO_API_MAX_LOG_SIZE", "PREFECT_LOGGING_TO_API_BATCH_SIZE"];
        if to_api.max_log_size > to_api.batch_size
            && let Some(origin) = sizes.iter().find_map(|variable| self.reading.origin(variable))
        {
            let reason = "must not be larger than `logging.to_api.batch_size`".to_owned();
            self.reading.refuse("logging.to_api.max_log_size", origin.clone(), reason);
        }
        LoggingSettings {
            level: if debug_mode { LogLevel::Debug } else { set },
            colors: self.boolean("PREFECT_LOGGING_COLORS", true),
            to_api,
        }
    }

    fn warn_of_url(&mut self, settings: &PrefectSettings) {
        let silenced = self.boolean("PREFECT_SILENCE_API_URL_MISCONFIGURATION", false);
        let notice = settings.api.url.as_ref().and_then(forms::misconfigured_url);
        if let (false, Some(notice)) = (silenced, notice) {
            self.warnings.push(format!(
                "`PREFECT_API_URL` {notice} (a Cloud URL is \
                 https://api.prefect.cloud/api/accounts/[ACCOUNT-ID]/workspaces/[WORKSPACE-ID])"
            ));
        }
    }

    pub(super) fn boolean(&mut self, variable: &'static str, default: bool) -> bool {
        self.reading.or(label(variable), default, value::boolean, bool::to_string)
    }

    pub(super) fn integer<T: TryFrom<i64> + Display>(&mut self, variable: &'static str, default: T, least: i64) -> T {
        self.reading.or(label(variable), default, value::integer_from(least), T::to_string)
    }

    fn interval(&mut self, variable: &'static str, default_seconds: u64) -> Duration {
        let default = Duration::from_secs(default_seconds);
        self.reading.or(label(variable), default, value::interval, seconds_text)
    }

    fn path(&mut self, variable: &'static str) -> Option<Utf8PathBuf> {
        self.reading.path(label(variable))
    }
}

pub(super) fn label(variable: &'static str) -> Label<'static> {
    // A test holds every variable read here against the table.
    let key = known::by_variable(variable).map_or(variable, |setting| setting.key);
    Label { key, variable }
}

fn seconds_text(duration: &Duration) -> String {
    duration.as_secs_f64().to_string()
}

pub(super) fn joined<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join(",")
}

fn default_cloud_url() -> ApiUrl {
    let url = Url::parse("https://api.prefect.cloud/api").expect("the constant is a URL");
    ApiUrl::new(url)
}
