use crate::surroundings::{Surroundings, origin};

const PROFILES: &str = "active = 'one'\n\
    [profiles.one]\nPREFECT_API_URL = 'http://one/api'\n\
    [profiles.two]\nPREFECT_API_URL = 'http://two/api'\n";

fn url(surroundings: &Surroundings) -> Option<String> {
    surroundings.load().settings.prefect.api.url.map(|url| url.to_string())
}

fn is_packaged(surroundings: &Surroundings) -> bool {
    let loaded = surroundings.load();
    loaded.settings.base_environment().contains_key("PREFECT_SERVER_EPHEMERAL_ENABLED")
        && origin(&loaded, "server.ephemeral.enabled").to_string() == "profile 'ephemeral' of Prefect's defaults"
}

#[test]
fn the_flag_beats_the_variable_which_beats_the_active_key() {
    let surroundings = Surroundings::new().file("home/.prefect/profiles.toml", PROFILES);
    assert_eq!(url(&surroundings).as_deref(), Some("http://one/api"));
    let surroundings = surroundings.env("PREFECT_PROFILE", "two");
    assert_eq!(url(&surroundings).as_deref(), Some("http://two/api"));
    let surroundings = surroundings.profile("one");
    assert_eq!(url(&surroundings).as_deref(), Some("http://one/api"));
}

#[test]
fn without_a_usable_profile_the_packaged_one_is_in_force() {
    assert!(is_packaged(&Surroundings::new()));
    assert!(is_packaged(&Surroundings::new().file("home/.prefect/profiles.toml", "[profiles.one]\n")));

    let unknown = Surroundings::new().file("home/.prefect/profiles.toml", PROFILES).profile("three");
    assert!(is_packaged(&unknown));
    assert_eq!(url(&unknown), None);
    let warnings = unknown.load().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("no profile 'three'"), "{warnings:?}");
}

#[test]
fn an_invalid_profiles_file_is_a_warning_with_its_line_and_counts_as_empty() {
    let surroundings = Surroundings::new().file("home/.prefect/profiles.toml", "active = 'one'\n[profiles\n");
    let loaded = surroundings.load();
    assert!(loaded.warnings.len() == 1 && loaded.warnings[0].contains("profiles.toml:2: not valid TOML"));
    assert!(loaded.settings.base_environment().is_empty());
}

#[test]
fn the_profiles_file_is_named_by_env_dotenv_prefect_toml_pyproject_or_prefect_home() {
    let file = |name: &str| format!("active = 'p'\n[profiles.p]\nPREFECT_API_URL = 'http://{name}/api'\n");
    let mut s = Surroundings::new()
        .file("home/.prefect/profiles.toml", &file("home"))
        .file("prefect-home/profiles.toml", &file("prefect-home"));
    assert_eq!(url(&s).as_deref(), Some("http://home/api"));

    let prefect_home = s.path("prefect-home");
    s = s.env("PREFECT_HOME", prefect_home.as_str());
    assert_eq!(url(&s).as_deref(), Some("http://prefect-home/api"));

    for name in ["pyproject", "prefect", "dotenv", "env"] {
        s.write(&format!("cwd/{name}-profiles.toml"), &file(name));
    }
    s = s.file("cwd/pyproject.toml", "[tool.prefect]\nprofiles_path = 'pyproject-profiles.toml'\n");
    assert_eq!(url(&s).as_deref(), Some("http://pyproject/api"));
    s = s.file("cwd/prefect.toml", "profiles_path = 'prefect-profiles.toml'\n");
    assert_eq!(url(&s).as_deref(), Some("http://prefect/api"));
    s = s.file("cwd/.env", "PREFECT_PROFILES_PATH=dotenv-profiles.toml\n");
    assert_eq!(url(&s).as_deref(), Some("http://dotenv/api"));
    s = s.env("PREFECT_PROFILES_PATH", "$PREFECT_HOME/../cwd/env-profiles.toml");
    assert_eq!(url(&s).as_deref(), Some("http://env/api"));
}

#[test]
fn a_misspelt_setting_of_a_profile_is_named_with_its_line() {
    let profiles = "active = 'a'\n[profiles.a]\nPREFECT_API_ULR = 'http://h/api'\nPREFECT_OTHER = 'x'\n";
    let warnings = Surroundings::new().file("home/.prefect/profiles.toml", profiles).load().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("profile 'a' in ") && warnings[0].contains("profiles.toml:3"));
    assert!(warnings[0].ends_with("did you mean `PREFECT_API_URL`?"));
}
