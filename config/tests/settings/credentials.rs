use secrecy::ExposeSecret;
use worker_config::Loaded;

use crate::surroundings::{Surroundings, origin, shown};

fn with_credentials(files: &[(&str, &str)]) -> Surroundings {
    let surroundings = Surroundings::new();
    surroundings.write("credentials/.keep", "");
    for (name, text) in files {
        surroundings.write(&format!("credentials/{name}"), text);
    }
    let directory = surroundings.path("credentials");
    surroundings.env("CREDENTIALS_DIRECTORY", directory.as_str())
}

fn key(loaded: &Loaded) -> Option<String> {
    loaded.settings.prefect.api.key.as_ref().map(|key| key.expose_secret().to_owned())
}

#[test]
fn a_key_that_the_service_manager_hands_over_is_used_and_handed_on_and_masked() {
    let given = with_credentials(&[("prefect-api-key", "pnu_c4n4ry\n"), ("other", "x")]);
    let loaded = given.load();
    assert_eq!(key(&loaded).as_deref(), Some("pnu_c4n4ry"));
    assert_eq!(loaded.settings.base_environment()["PREFECT_API_KEY"].expose_secret(), "pnu_c4n4ry");
    assert_eq!(origin(&loaded, "api.key").to_string(), "credential prefect-api-key");
    assert_eq!(shown(&loaded, "api.key").as_deref(), Some("********"));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn every_secret_setting_can_be_a_credential() {
    let headers = "{\"X-Token\": \"c4n4ry\"}";
    let given =
        with_credentials(&[("prefect-api-auth-string", "admin:pw"), ("prefect-client-custom-headers", headers)]);
    let prefect = given.load().settings.prefect;
    assert_eq!(prefect.api.auth_string.unwrap().expose_secret(), "admin:pw");
    assert_eq!(prefect.client.custom_headers[0].1.expose_secret(), "c4n4ry");
}

#[test]
fn a_credential_beats_files_and_a_variable_beats_the_credential() {
    let given = with_credentials(&[("prefect-api-key", "from-credential")])
        .file("cwd/.env", "PREFECT_API_KEY=from-file\n")
        .file("cwd/prefect.toml", "[api]\nkey = 'from-toml'\n");
    assert_eq!(key(&given.load()).as_deref(), Some("from-credential"));
    assert_eq!(key(&given.env("PREFECT_API_KEY", "from-variable").load()).as_deref(), Some("from-variable"));
}

#[test]
fn a_credential_that_cannot_be_meant_so_is_said() {
    let warnings = with_credentials(&[("prefect-apikey", "c4n4ry"), ("prefect-api-key", "\n")]).load().warnings;
    assert_eq!(
        warnings,
        [
            "credential prefect-api-key is empty and counts as not given",
            "credential `prefect-apikey` is no secret setting and ignored, did you mean `prefect-api-key`?"
        ]
    );
    let two_lines = with_credentials(&[("prefect-api-key", "c4n4ry\nc4n4ry\n")]).problem();
    assert_eq!(two_lines, "credential prefect-api-key: `api.key` must be a single line");
}

#[test]
fn credentials_that_cannot_be_read_are_named() {
    let missing = Surroundings::new().env("CREDENTIALS_DIRECTORY", "/nonexistent/credentials").problem();
    assert!(
        missing.starts_with("credentials of the service manager ($CREDENTIALS_DIRECTORY) cannot be read: "),
        "{missing}"
    );
    assert!(missing.contains("/nonexistent/credentials"), "{missing}");

    let folder = with_credentials(&[]);
    folder.write("credentials/prefect-api-key/.keep", "");
    assert!(folder.problem().contains("credentials/prefect-api-key"));
}
