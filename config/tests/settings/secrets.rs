use secrecy::ExposeSecret;

use crate::surroundings::{Surroundings, shown};

const CANARY: &str = "c4n4ry";

/// Every place a secret can be set at.
fn with_secrets() -> Surroundings {
    Surroundings::new()
        .env("PREFECT_API_URL", "http://user:c4n4ry@h:4200/api")
        .env("PREFECT_API_KEY", "pnu_c4n4ry")
        .env("PREFECT_SERVER_API_AUTH_STRING", "admin:c4n4ry")
        .env("PREFECT_SERVER_DOCKET_URL", "redis://:c4n4ry@h:6379/0")
        .file("cwd/.env", "PREFECT_API_AUTH_STRING=admin:c4n4ry\n")
        .file(
            "cwd/prefect.toml",
            "[client.custom_headers]\nX-Token = 'c4n4ry'\n[server.database]\npassword = 'c4n4ry'\n",
        )
        .file(
            "home/.prefect/profiles.toml",
            "active = 'a'\n[profiles.a]\nPREFECT_API_DATABASE_CONNECTION_URL = 'postgresql://u:c4n4ry@h/d'\n",
        )
}

#[test]
fn no_secret_shows_in_debug_report_or_warning() {
    let loaded = with_secrets().load();
    let environment = loaded.settings.base_environment();
    let exposed = environment.values().filter(|value| value.expose_secret().contains(CANARY));
    assert_eq!(exposed.count(), 8, "the canary has to be in all of the places");

    for text in [
        format!("{loaded:?}"),
        format!("{:?}", loaded.settings),
        format!("{:?}", loaded.report()),
        loaded.warnings.join("\n"),
    ] {
        assert!(!text.contains(CANARY), "{text}");
    }
    assert_eq!(shown(&loaded, "api.url").as_deref(), Some("http://user:********@h:4200/api"));
    assert_eq!(shown(&loaded, "api.key").as_deref(), Some("********"));
    assert_eq!(shown(&loaded, "client.custom_headers").as_deref(), Some("X-Token: ********"));
    assert_eq!(shown(&loaded, "server.docket.url").as_deref(), Some("redis://:********@h:6379/0"));
}

#[test]
fn no_secret_shows_in_an_error() {
    let cases = [
        ("PREFECT_API_URL", "user:c4n4ry@h:4200/api"),
        ("PREFECT_API_URL", "ftp://user:c4n4ry@h/api"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", "{\"X-Token\": c4n4ry}"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", "{\"X-Token\": [\"c4n4ry\"]}"),
        ("PREFECT_CLIENT_CUSTOM_HEADERS", "\"c4n4ry\""),
    ];
    for (variable, value) in cases {
        let problem = Surroundings::new().env(variable, value).problem();
        assert!(!problem.contains(CANARY), "{problem}");
    }
    let files = ["[api]\nkey = 'c4n4ry\n", "[api]\nkey = ['c4n4ry']\n", "[client]\ncustom_headers = ['c4n4ry']\n"];
    for text in files {
        let surroundings = Surroundings::new().file("cwd/prefect.toml", text);
        let errors = surroundings.try_load().unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains(CANARY), "{errors}");
    }
}
