use camino::Utf8Path;
use worker_config::reference;

use crate::surroundings::Surroundings;

const STALE: &str = "out of date: run `cargo run -p worker-config --example reference`";

#[test]
fn the_example_file_is_up_to_date() {
    assert!(reference::DEFAULT_TOML == reference::default_toml(), "default.toml is {STALE}");
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    let written = fs_err::read_to_string(path).unwrap();
    assert!(written == reference::settings_md(), "docs/settings.md is {STALE}");
}

#[test]
fn the_example_file_changes_nothing() {
    let without = Surroundings::new();
    let with = Surroundings::new().file("cwd/worker.toml", reference::DEFAULT_TOML);
    let values = |surroundings: &Surroundings| {
        let loaded = surroundings.load();
        let lines = loaded.report().iter().filter(|line| line.key != "state.dir" && line.key != "home");
        lines.map(|line| (line.key.clone(), line.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&with), values(&without));
}

#[test]
fn the_commented_examples_are_good_values() {
    let uncommented: Vec<_> = reference::DEFAULT_TOML
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line))
        .collect();
    let surroundings = Surroundings::new().file("cwd/worker.toml", &uncommented.join("\n"));
    let loaded = surroundings.load();
    assert_eq!(loaded.settings.pools.len(), 1);
    assert!(loaded.settings.worker.client_certificate.is_some());
    assert!(loaded.settings.workspaces[0].client_certificate.is_some());
    assert_eq!(loaded.settings.worker.sandbox_profiles.len(), 1);
}

/// Other ways to say the same, which cannot be given together or need files that are not there.
const OTHER_WAYS: [&str; 4] = ["profile", "api_key_file", "api_auth_string_file", "run_api_key_file"];

fn is_setting(text: &str) -> bool {
    let name = text.split_once(" = ").map(|(name, _)| name);
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !OTHER_WAYS.contains(&name);
    ["[[pool]]", "[[workspace]]", "[[sandbox_profile]]"].contains(&text) || name.is_some_and(is_name)
}
