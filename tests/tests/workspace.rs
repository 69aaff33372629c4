//! Rules about the workspace itself: who may depend on whom, how long a file may be, what the conformance table says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use worker_tests::harness::{conformance, rust_sources, workspace_path, workspace_root};

/// Crates by their layer. What is not listed for a crate it may not depend on.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("worker-core", &[]),
    ("central-api-wire", &["worker-core"]),
    ("central-api-client", &["central-api-wire", "worker-core"]),
    ("code-storage", &["worker-core"]),
    ("otlp", &[]),
    ("worker-config", &["worker-core"]),
    ("infra-contract", &["worker-core"]),
    ("docker-bed", &[]),
    ("kubernetes-api", &[]),
    ("kubernetes-bed", &[]),
];
/// What every plugin, now and later, may depend on.
const PLUGIN_MAY_DEPEND_ON: &[&str] = &["infra-contract", "worker-core"];
/// At the top: what they depend on is their business.
const TOP: &[&str] = &["worker", "worker-tests", "worker-benches"];
/// Packages that bring an async runtime, I/O or a clock.
const IMPURE: &[&str] = &["tokio", "tokio-util", "fs-err", "reqwest", "hyper", "futures", "rustix"];
const LONGEST_FILE: usize = 500;

fn is_plugin(package: &str) -> bool {
    package.starts_with("infra-") && package != "infra-contract"
}

/// Direct dependencies of the workspace's packages, those of their tests left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(workspace_root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let direct = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|dependency| dependency["kind"].is_null()).map(|dependency| text(&dependency["name"])).collect()
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (text(&package["name"]), direct(package))).collect()
}

#[test]
fn dependencies_point_one_way() {
    let all = dependencies();
    for (package, direct) in &all {
        if TOP.contains(&package.as_str()) {
            continue;
        }
        let listed = MAY_DEPEND_ON.iter().find(|(listed, _)| listed == package).map(|(_, allowed)| *allowed);
        let allowed = listed.or_else(|| is_plugin(package).then_some(PLUGIN_MAY_DEPEND_ON));
        let allowed = allowed.unwrap_or_else(|| panic!("{package} has no layer: give it one in this test"));
        for ours in direct.iter().filter(|dependency| all.contains_key(*dependency)) {
            assert!(allowed.contains(&ours.as_str()), "{package} may not depend on {ours}");
        }
    }
}

#[test]
fn the_core_does_no_io() {
    let impure: Vec<_> =
        dependencies()["worker-core"].iter().filter(|name| IMPURE.contains(&name.as_str())).cloned().collect();
    assert_eq!(impure, Vec::<String>::new());
}

#[test]
fn only_the_registry_names_concrete_plugins() {
    let plugins: Vec<String> =
        dependencies().into_keys().filter(|package| is_plugin(package)).map(|name| name.replace('-', "_")).collect();
    assert!(!plugins.is_empty());
    let worker = workspace_root().join("worker");
    for path in rust_sources().iter().filter(|path| path.starts_with(&worker) && !holds_tests_only(path)) {
        let source = fs_err::read_to_string(path).unwrap();
        let names = plugins.iter().find(|plugin| source.contains(&format!("{plugin}::")));
        let is_registry = *path == worker.join("src/registry.rs");
        assert!(names.is_none() || is_registry, "{} names {names:?}", workspace_path(path).display());
    }
}

#[test]
fn no_source_file_is_longer_than_five_hundred_lines() {
    for path in rust_sources().iter().filter(|path| !holds_tests_only(path)) {
        let source = fs_err::read_to_string(path).unwrap();
        let lines = source.lines().take_while(|line| !line.starts_with("mod tests {")).count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", workspace_path(path).display());
    }
}

fn holds_tests_only(path: &Path) -> bool {
    let relative = workspace_path(path);
    let is_named_so =
        relative.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"));
    let in_tests = relative.parent().is_some_and(|folder| folder.components().any(|part| part.as_os_str() == "tests"));
    // The harness lives in a folder called `tests` as well; only its own scenarios are tests.
    let in_harness = relative.starts_with("tests/src");
    is_named_so || (in_tests && !in_harness)
}

#[test]
fn every_item_of_this_release_has_a_test() {
    let missing = conformance::missing(&conformance::covered());
    assert_eq!(missing, Vec::<u16>::new(), "no test is named for these items of the checklist");
}

#[test]
fn no_test_is_named_for_an_item_that_does_not_exist() {
    let known: BTreeSet<u16> = conformance::items().iter().map(|item| item.number).collect();
    for (number, tests) in conformance::covered() {
        assert!(known.contains(&number), "{tests:?}");
    }
}

#[test]
fn the_conformance_table_is_up_to_date() {
    let committed = fs_err::read_to_string(workspace_root().join(conformance::TABLE)).unwrap_or_default();
    assert!(
        committed == conformance::render(&conformance::covered()),
        "run `cargo run -p worker-tests --example conformance`"
    );
}
