use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use crate::surroundings::Surroundings;

fn base_environment(surroundings: &Surroundings) -> BTreeMap<String, String> {
    let loaded = surroundings.load();
    let environment = loaded.settings.base_environment().iter();
    environment.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect()
}

/// The values are what version 3.8.0 of the SDK gives for the same sources.
#[test]
fn settings_of_all_sources_are_handed_on_as_the_sdk_does() {
    let profiles = "active = 'local'\n[profiles.local]\n\
        PREFECT_API_URL = 'http://profile:4200/api'\n\
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = 'true'\n\
        PREFECT_LOGGING_LEVEL = 'debug'\n\
        PREFECT_NOT_A_SETTING = 'x'\n\
        PREFECT_LOGGING_SETTINGS_PATH = '/l.yml'\n";
    let prefect_toml = "[worker]\nquery_seconds = 5\nheartbeat_seconds = 99\n\
        [client.metrics]\nenabled = true\n\
        [client]\nretry_extra_codes = [503, 429]\n\
        [server.services.late_runs]\nafter_seconds = 20\n\
        [integrations.kubernetes]\ncluster_uid = 'u'\n";
    let pyproject = "[tool.prefect.logging]\nextra_loggers = 'b,a'\n\
        [tool.prefect.worker]\nquery_seconds = 7\nprefetch_seconds = 4\n";
    let dot_env = "PREFECT_WORKER_HEARTBEAT_SECONDS=15\nprefect_api_key='pnu_x'\n\
        PREFECT_CLIENT_CUSTOM_HEADERS={\"X-A\": \"\u{fc}\", \"User-Agent\": \"no\"}\n";
    let surroundings = Surroundings::new()
        .file("home/.prefect/profiles.toml", profiles)
        .file("cwd/prefect.toml", prefect_toml)
        .file("cwd/pyproject.toml", pyproject)
        .file("cwd/.env", dot_env)
        .env("PREFECT_RUNNER_HEARTBEAT_FREQUENCY", "60")
        .env("prefect_cloud_max_log_size", "1_000")
        .env("PREFECT_INTEGRATIONS_KUBERNETES_CLUSTER_UID", "u")
        .env("PREFECT_UNKNOWN", "u")
        .env("PREFECT__FLOW_RUN_ID", "u")
        .env("PREFECT_SERVER_API_CSRF_TOKEN_EXPIRATION", "PT10M")
        .env("PREFECT_WORKER_PREFETCH_SECONDS", "3")
        .env("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "no");
    let home = surroundings.path("home/.prefect");
    let surroundings = surroundings.env("PREFECT_HOME", home.as_str());
    let expected = [
        ("PREFECT_API_KEY", "pnu_x"),
        ("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "False"),
        ("PREFECT_API_URL", "http://profile:4200/api"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", "{\"X-A\": \"\\u00fc\", \"User-Agent\": \"no\"}"),
        ("PREFECT_CLIENT_METRICS_ENABLED", "True"),
        ("PREFECT_CLIENT_RETRY_EXTRA_CODES", "429,503"),
        ("PREFECT_CLOUD_MAX_LOG_SIZE", "1000"),
        ("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "60"),
        ("PREFECT_HOME", home.as_str()),
        ("PREFECT_LOGGING_CONFIG_PATH", "/l.yml"),
        ("PREFECT_LOGGING_EXTRA_LOGGERS", "a,b"),
        ("PREFECT_LOGGING_LEVEL", "DEBUG"),
        ("PREFECT_SERVER_API_CSRF_TOKEN_EXPIRATION", "PT10M"),
        ("PREFECT_SERVER_EPHEMERAL_ENABLED", "True"),
        ("PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS", "PT20S"),
        ("PREFECT_WORKER_HEARTBEAT_SECONDS", "15.0"),
        ("PREFECT_WORKER_PREFETCH_SECONDS", "3.0"),
        ("PREFECT_WORKER_QUERY_SECONDS", "5.0"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(base_environment(&surroundings), expected);
}

#[test]
fn a_value_the_worker_does_not_use_is_handed_on_even_if_not_understood() {
    let surroundings = Surroundings::new().env("PREFECT_SERVER_API_PORT", "${PORT}");
    assert_eq!(base_environment(&surroundings)["PREFECT_SERVER_API_PORT"], "${PORT}");
    let warnings = surroundings.load().warnings;
    assert_eq!(
        warnings,
        ["environment PREFECT_SERVER_API_PORT: `server.api.port` must be a whole number, not `${PORT}`; \
          flow runs get it as it is"]
    );
}

/// The SDK looks for the profiles file of such a home in a folder named `~`; here it is found where it was meant to be.
#[test]
fn a_tilde_in_prefect_home_is_expanded_for_the_profile_and_for_flow_runs() {
    let profiles = "active = 'a'\n[profiles.a]\nPREFECT_API_URL = 'http://h/api'\n";
    let surroundings = Surroundings::new().file("home/mine/profiles.toml", profiles).env("PREFECT_HOME", "~/mine");
    let environment = base_environment(&surroundings);
    assert_eq!(environment["PREFECT_API_URL"], "http://h/api");
    assert_eq!(environment["PREFECT_HOME"], surroundings.path("home/mine").as_str());
}

#[test]
fn the_trust_store_of_other_programs_is_not_made_a_prefect_setting() {
    let surroundings = Surroundings::new().env("SSL_CERT_FILE", "/etc/ssl/all.pem");
    assert!(!base_environment(&surroundings).contains_key("PREFECT_API_SSL_CERT_FILE"));
}

#[test]
fn debug_mode_leaves_the_levels_to_the_flow_run() {
    let surroundings = Surroundings::new().env("PREFECT_LOGGING_LEVEL", "WARNING").env("PREFECT_DEBUG_MODE", "1");
    let environment = base_environment(&surroundings);
    assert_eq!(environment["PREFECT_DEBUG_MODE"], "True");
    assert!(!environment.contains_key("PREFECT_LOGGING_LEVEL"));
}
