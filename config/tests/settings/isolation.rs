//! What runs may do and what they get of the worker.

use secrecy::ExposeSecret;
use worker_config::{ProcessEnvironmentMode, RunApiKey};

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
