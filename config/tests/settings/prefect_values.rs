use std::time::Duration;

use secrecy::ExposeSecret;
use worker_config::LogLevel;

use crate::surroundings::{Surroundings, origin};

#[test]
fn defaults_are_prefects() {
    let loaded = Surroundings::new().load();
    // A variable that the table of Prefect's settings does not know would be its own key.
    let unknown = loaded.report().iter().filter(|line| line.variable.as_ref() == Some(&line.key));
    assert_eq!(unknown.count(), 0);
    let prefect = loaded.settings.prefect;
    assert!(prefect.api.url.is_none() && prefect.missing_api_url().is_some());
    assert_eq!(prefect.api.request_timeout, Duration::from_mins(1));
    assert_eq!(prefect.cloud.api_url.to_string(), "https://api.prefect.cloud/api");
    assert_eq!(prefect.cloud.max_log_size, 25_000);
    assert_eq!((prefect.client.max_retries, prefect.client.metrics_port), (5, 4201));
    assert!(prefect.client.csrf_support_enabled && prefect.client.server_version_check_enabled);
    assert!(!prefect.client.metrics_enabled && prefect.client.custom_headers.is_empty());
    assert_eq!(prefect.worker.heartbeat, Duration::from_secs(30));
    assert_eq!(prefect.worker.prefetch, Duration::from_secs(10));
    assert_eq!(prefect.worker.cancellation_poll, Duration::from_mins(2));
    assert!(!prefect.worker.enable_cancellation);
    assert_eq!((prefect.worker.webserver_host.as_str(), prefect.worker.webserver_port), ("0.0.0.0", 8080));
    assert_eq!(prefect.logging.level, LogLevel::Info);
    assert!(prefect.logging.to_api.enabled);
    assert_eq!(prefect.logging.to_api.batch_interval, Duration::from_secs(2));
    assert_eq!((prefect.logging.to_api.batch_size, prefect.max_log_size()), (4_000_000, 1_000_000));
}

#[test]
fn c010_protected_custom_headers_are_dropped_with_a_warning() {
    let headers = r#"{"X-Team": "data", "user-AGENT": "x", "Prefect-Csrf-Token": "x", "prefect-csrf-client": "x", "Authorization": "Bearer t"}"#;
    let loaded = Surroundings::new().env("PREFECT_CLIENT_CUSTOM_HEADERS", headers).load();
    let sent = &loaded.settings.prefect.client.custom_headers;
    let sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(sent, [("X-Team", "data"), ("Authorization", "Bearer t")]);
    assert_eq!(loaded.warnings.len(), 3);
    for name in ["`user-AGENT`", "`Prefect-Csrf-Token`", "`prefect-csrf-client`"] {
        assert!(loaded.warnings.iter().any(|warning| warning.contains(name)), "{name}");
    }
}

#[test]
fn custom_headers_may_be_a_table_of_prefect_toml() {
    let surroundings = Surroundings::new().file("cwd/prefect.toml", "[client.custom_headers]\nX-Team = 'data'\n");
    let headers = surroundings.load().settings.prefect.client.custom_headers;
    assert_eq!((headers[0].0.as_str(), headers[0].1.expose_secret()), ("X-Team", "data"));
}

#[test]
fn a_value_that_cannot_be_used_is_refused_with_its_variable() {
    let cases = [
        ("PREFECT_API_URL", "localhost:4200/api", "must be an http:// or https:// URL"),
        ("PREFECT_API_URL", "h/api", "must be an http:// or https:// URL, not `h/api`"),
        ("PREFECT_CLOUD_API_URL", "", "URL, it is set to nothing"),
        ("PREFECT_API_REQUEST_TIMEOUT", "soon", "must be a number, not `soon`"),
        ("PREFECT_API_REQUEST_TIMEOUT", "", "must be a number, it is set to nothing"),
        ("PREFECT_API_ENABLE_HTTP2", "maybe", "must be true or false, not `maybe`"),
        ("PREFECT_API_ENABLE_HTTP2", "", "must be true or false, it is set to nothing"),
        ("PREFECT_CLIENT_MAX_RETRIES", "-1", "must be at least 0, not `-1`"),
        ("PREFECT_CLIENT_MAX_RETRIES", "1.5", "must be a whole number, not `1.5`"),
        ("PREFECT_CLIENT_RETRY_EXTRA_CODES", "429,600", "status codes from 100 to 599"),
        ("PREFECT_CLIENT_RETRY_JITTER_FACTOR", "inf", "must not be negative"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", "{'a': 'b'}", "must be a JSON object"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", "[]", "must be a JSON object"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", r#"{"a": 1}"#, "must have a string as the value of `a`"),
        ("PREFECT_WORKER_QUERY_SECONDS", "0", "must be more than 0 seconds, not `0`"),
        ("PREFECT_WORKER_PREFETCH_SECONDS", "-1", "not negative, not `-1`"),
        ("PREFECT_WORKER_WEBSERVER_PORT", "70000", "is too large, not `70000`"),
        ("PREFECT_LOGGING_LEVEL", "LOUD", "must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not `LOUD`"),
        ("PREFECT_LOGGING_TO_API_BATCH_SIZE", "10", "must not be larger than"),
    ];
    for (variable, value, reason) in cases {
        let problem = Surroundings::new().env(variable, value).problem();
        assert!(problem.starts_with(&format!("environment {variable}: `")), "{problem}");
        assert!(problem.contains(reason), "{problem}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let surroundings = Surroundings::new()
        .env("PREFECT_API_URL", "nope")
        .file("cwd/prefect.toml", "[worker]\nquery_seconds = 'often'\n")
        .file("cwd/worker.toml", "[start]\nlimit = -3\n");
    let errors = surroundings.try_load().unwrap_err();
    assert_eq!(errors.problems().len(), 3, "{errors}");
    assert!(errors.to_string().contains("prefect.toml:2: `worker.query_seconds` must be a number, not `often`"));
}

#[test]
fn an_invalid_prefect_toml_is_an_error_with_its_line() {
    let problem = Surroundings::new().file("cwd/prefect.toml", "[api]\nurl = \n").problem();
    assert!(problem.contains("cwd/prefect.toml:2: not valid TOML"), "{problem}");
    let problem = Surroundings::new().file("cwd/prefect.toml", "debug_mode = true\nworker = 5\n").problem();
    assert!(problem.contains("prefect.toml:2: `worker` must be a table of settings, not an integer"), "{problem}");
}

#[test]
fn an_unknown_key_of_prefect_toml_is_a_warning() {
    let loaded = Surroundings::new().file("cwd/prefect.toml", "[worker]\nquery_second = 5\n").load();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].contains("prefect.toml:2: unknown Prefect setting `worker.query_second` is ignored"));
    assert!(loaded.warnings[0].ends_with("did you mean `worker.query_seconds`?"));
}

#[test]
fn the_trust_store_of_other_programs_is_the_default() {
    let surroundings = Surroundings::new().env("SSL_CERT_FILE", "/etc/ssl/all.pem");
    let loaded = surroundings.load();
    assert_eq!(loaded.settings.prefect.api.ssl_cert_file.as_deref().unwrap(), "/etc/ssl/all.pem");
    assert_eq!(origin(&loaded, "api.ssl_cert_file").to_string(), "environment SSL_CERT_FILE");

    let own = surroundings.env("PREFECT_API_SSL_CERT_FILE", "/etc/ssl/own.pem").load();
    assert_eq!(own.settings.prefect.api.ssl_cert_file.as_deref().unwrap(), "/etc/ssl/own.pem");
}

#[test]
fn cloud_is_known_by_its_url_and_takes_shorter_logs() {
    let url = "https://api.prefect.cloud/api/accounts/a/workspaces/b";
    let cloud = Surroundings::new().env("PREFECT_API_URL", url).load().settings.prefect;
    assert!(cloud.connected_to_cloud());
    assert_eq!(cloud.max_log_size(), 25_000);

    let own = Surroundings::new().env("PREFECT_API_URL", "http://127.0.0.1:4200/api").load().settings.prefect;
    assert!(!own.connected_to_cloud());
    assert_eq!(own.max_log_size(), 1_000_000);
}

#[test]
fn debug_mode_sets_the_level() {
    let surroundings = Surroundings::new().env("PREFECT_DEBUG_MODE", "true").env("PREFECT_LOGGING_LEVEL", "ERROR");
    assert_eq!(surroundings.load().settings.prefect.logging.level, LogLevel::Debug);
}

#[test]
fn a_cloud_url_of_the_browser_is_noticed_unless_silenced() {
    let surroundings = Surroundings::new().env("PREFECT_API_URL", "https://app.prefect.cloud/api");
    assert!(surroundings.load().warnings[0].contains("did you mean `api.prefect.cloud`?"));
    let silenced = surroundings.env("PREFECT_SILENCE_API_URL_MISCONFIGURATION", "true");
    assert!(silenced.load().warnings.is_empty());
}

#[test]
fn a_skipped_line_of_dotenv_is_a_warning() {
    let loaded = Surroundings::new().file("cwd/.env", "PREFECT_API_KEY='open\n").load();
    assert!(loaded.warnings.len() == 1 && loaded.warnings[0].ends_with("cwd/.env:1: not understood and skipped"));
    assert!(loaded.settings.prefect.api.key.is_none());
}
