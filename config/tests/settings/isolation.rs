//! What runs may do and what they get of the worker.

use std::num::NonZeroUsize;

use secrecy::ExposeSecret;
use worker_config::{ProcessEnvironmentMode, RunApiKey, WarmStarts};

use crate::surroundings::{Surroundings, shown};

#[test]
fn processes_get_a_clean_environment_unless_the_settings_say_otherwise() {
    let process = Surroundings::new().load().settings.worker.process;
    assert_eq!(process.environment, ProcessEnvironmentMode::Clean);
    assert!(process.environment_allow.is_empty());
    let file = "[process]\nenvironment = \"inherit\"\nenvironment_allow = [\"AWS_*\"]\n";
    let process = Surroundings::new().file("etc/worker/worker.toml", file).load().settings.worker.process;
    assert_eq!(process.environment, ProcessEnvironmentMode::Inherit);
    assert_eq!(process.environment_allow, ["AWS_*"]);
}

#[test]
fn runs_start_cold_unless_the_settings_say_how_many_may_start_warm() {
    let warm = |surroundings: Surroundings| surroundings.load().settings.worker.process.warm;
    let of_file =
        |value: &str| Surroundings::new().file("etc/worker/worker.toml", &format!("[process]\nwarm = {value}\n"));
    assert_eq!(warm(Surroundings::new()), WarmStarts::Off);
    assert_eq!(warm(of_file("\"auto\"")), WarmStarts::Auto);
    assert_eq!(warm(of_file("3")), WarmStarts::Kept(NonZeroUsize::new(3).unwrap()));
    assert_eq!(
        warm(Surroundings::new().env("WORKER_PROCESS_WARM", "2")),
        WarmStarts::Kept(NonZeroUsize::new(2).unwrap())
    );
    assert_eq!(shown(&of_file("3").load(), "process.warm").as_deref(), Some("3"));
}

#[test]
fn the_api_key_of_runs_is_a_setting_in_a_file_or_a_credential_and_shows_nowhere() {
    let key = |surroundings: Surroundings| {
        let loaded = surroundings.load();
        assert!(!format!("{loaded:?}{:?}", loaded.report()).contains("pnu_c4n4ry"));
        loaded.settings.worker.run_api_key
    };
    let of_file = |surroundings: Surroundings| match key(surroundings) {
        Some(RunApiKey::File(path)) => path,
        other => panic!("{other:?}"),
    };
    assert!(key(Surroundings::new()).is_none());
    let file = Surroundings::new().env("WORKER_API_RUN_API_KEY_FILE", "key");
    let path = file.path("cwd/key");
    assert_eq!(of_file(file), path);
    let credential = Surroundings::new().file("credentials/run_api_key", "pnu_c4n4ry");
    let directory = credential.path("credentials");
    let credential = credential.env("CREDENTIALS_DIRECTORY", directory.as_str());
    assert_eq!(of_file(credential), directory.join("run_api_key"));
    let given =
        Surroundings::new().env("WORKER_API_RUN_API_KEY", "pnu_c4n4ry").env("WORKER_API_RUN_API_KEY_FILE", "key");
    assert_eq!(shown(&given.load(), "api.run_api_key").as_deref(), Some("********"));
    let Some(RunApiKey::Given(given)) = key(given) else { panic!("not the setting itself") };
    assert_eq!(given.expose_secret(), "pnu_c4n4ry");
}
