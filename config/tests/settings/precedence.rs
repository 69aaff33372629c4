use std::time::Duration;

use worker_config::Origin;

use crate::surroundings::{Surroundings, origin};

const PROFILES: &str = "active = 'local'\n[profiles.local]\nPREFECT_WORKER_QUERY_SECONDS = '1'\n";

/// Adds one source of `worker.query_seconds`.
type Source = fn(Surroundings) -> Surroundings;

/// Sources of `worker.query_seconds`, lowest first, each with the value it gives.
fn sources() -> Vec<(Source, u64, &'static str)> {
    vec![
        (|s| s, 10, "default"),
        (
            |s| s.file("home/.prefect/profiles.toml", PROFILES),
            1,
            "profile 'local' in ROOT/home/.prefect/profiles.toml:3",
        ),
        (
            |s| s.file("cwd/pyproject.toml", "[tool.prefect.worker]\nquery_seconds = 2\n"),
            2,
            "ROOT/cwd/pyproject.toml:2",
        ),
        (|s| s.file("cwd/prefect.toml", "# mine\n[worker]\nquery_seconds = 3\n"), 3, "ROOT/cwd/prefect.toml:3"),
        (|s| s.file("cwd/.env", "\nprefect_worker_query_seconds=4\n"), 4, "ROOT/cwd/.env:2"),
        (|s| s.env("Prefect_Worker_Query_Seconds", "5"), 5, "environment Prefect_Worker_Query_Seconds"),
        (|s| s.flag("worker.query_seconds", "6", "--query"), 6, "--query"),
    ]
}

#[test]
fn c013_flag_env_dotenv_prefect_toml_pyproject_profile_default() {
    let mut surroundings = Surroundings::new();
    for (add, seconds, from) in sources() {
        surroundings = add(surroundings);
        let loaded = surroundings.load();
        assert_eq!(loaded.settings.prefect.worker.query, Duration::from_secs(seconds), "{from}");
        let root = surroundings.path("");
        let expected = from.replace("ROOT/", root.as_str());
        assert_eq!(origin(&loaded, "worker.query_seconds").to_string(), expected);
    }
}

#[test]
fn c013_an_older_name_in_a_higher_source_beats_the_newer_in_a_lower() {
    let surroundings = Surroundings::new()
        .file("cwd/prefect.toml", "[client.metrics]\nenabled = false\n")
        .env("PREFECT_CLIENT_ENABLE_METRICS", "true");
    assert!(surroundings.load().settings.prefect.client.metrics_enabled);
    let both = surroundings.env("PREFECT_CLIENT_METRICS_ENABLED", "no");
    assert!(!both.load().settings.prefect.client.metrics_enabled);
}

#[test]
fn c013_an_empty_variable_hides_lower_sources() {
    let profiles = "active = 'a'\n[profiles.a]\nPREFECT_API_KEY = 'k'\nPREFECT_API_URL = 'http://h/api'\n";
    let surroundings = Surroundings::new().file("home/.prefect/profiles.toml", profiles);
    let prefect = surroundings.load().settings.prefect;
    assert!(prefect.api.key.is_some() && prefect.api.url.is_some());

    let hidden = surroundings.env("PREFECT_API_KEY", "").env("PREFECT_API_URL", "");
    let prefect = hidden.load().settings.prefect;
    assert!(prefect.api.key.is_none() && prefect.api.url.is_none());
    assert!(prefect.missing_api_url().unwrap().starts_with("`PREFECT_API_URL` must be set to start a Worker."));
}

#[test]
fn the_exact_name_of_a_variable_is_preferred_to_another_case() {
    let surroundings =
        Surroundings::new().env("prefect_api_url", "http://lower/api").env("PREFECT_API_URL", "http://upper/api");
    let url = surroundings.load().settings.prefect.api.url.unwrap();
    assert_eq!(url.to_string(), "http://upper/api");
}

#[test]
fn later_worker_files_variables_and_flags_win() {
    let seconds = |s: &Surroundings| s.load().settings.worker.shutdown.grace.as_secs();
    let text = |value: u64| format!("[shutdown]\ngrace_seconds = {value}\n");

    let mut s = Surroundings::new();
    assert_eq!(seconds(&s), 10);
    s = s.file("etc/worker/worker.toml", &text(1));
    assert_eq!(seconds(&s), 1);
    s = s.file("home/.config/worker/worker.toml", &text(2));
    assert_eq!(seconds(&s), 2);
    s = s.file("xdg/worker/worker.toml", &text(3));
    let xdg = s.path("xdg");
    s = s.env("XDG_CONFIG_HOME", xdg.as_str());
    assert_eq!(seconds(&s), 3);
    s = s.file("cwd/worker.toml", &text(4));
    assert_eq!(seconds(&s), 4);
    s = s.file("cwd/named.toml", &text(5));
    s.from.config_file = Some("named.toml".into());
    assert_eq!(seconds(&s), 5);
    s = s.env("WORKER_SHUTDOWN_GRACE_SECONDS", "6.5");
    assert_eq!(seconds(&s), 6);
    s = s.flag("shutdown.grace_seconds", "7", "--grace");
    assert_eq!(seconds(&s), 7);
    assert_eq!(origin(&s.load(), "shutdown.grace_seconds"), Origin::Flag { flag: "--grace".to_owned() });
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let mut surroundings = Surroundings::new();
    surroundings.from.config_file = Some("missing.toml".into());
    assert!(surroundings.problem().contains("cwd/missing.toml"));
}
