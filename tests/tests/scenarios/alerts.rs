//! The alert rules and the dashboard that come with the worker, against what workers showed while they suffered from something
//! (`deploy/observability/recorded`, written by the example `monitoring`).

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use worker_tests::harness::{Scrape, promtool, workspace_root};

fn file(name: &str) -> PathBuf {
    workspace_root().join("deploy/observability").join(name)
}

fn recorded(name: &str) -> Scrape {
    Scrape(fs_err::read_to_string(file(&format!("recorded/{name}.prom"))).unwrap())
}

/// A sample as Prometheus keeps it, with the labels that a scrape adds.
fn stored(series: &str) -> String {
    let added = "instance=\"w\",job=\"prefect-worker\"";
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{added},{labels}"),
        None => format!("{series}{{{added}}}"),
    }
}

/// Ten minutes of a worker that is well, and then twenty of one with a fault: `None` goes on being well.
fn history(fault: Option<&Scrape>) -> Vec<Value> {
    let well = recorded("well");
    let after = fault.unwrap_or(&well);
    let all: BTreeSet<String> = well.series().union(&after.series()).cloned().collect();
    let value = |scrape: &Scrape, series: &str, times: u32| {
        // A counter that a fault brings with it has grown from nothing, if not all at once.
        let nothing = series.contains("_total").then_some(0.0);
        let sample = scrape.value(series).or(nothing);
        sample.map_or_else(|| format!("_x{times}"), |value| format!("{value}x{}", times - 1))
    };
    let mut stories: Vec<Value> = all
        .iter()
        .map(|series| {
            let values = format!("{} {}", value(&well, series, 10), value(after, series, 20));
            json!({"series": stored(series), "values": values})
        })
        .collect();
    stories.push(json!({"series": stored("up"), "values": "1x29"}));
    stories
}

#[test]
fn recorded_faults_fire_the_alerts_that_are_for_them_and_no_others() {
    let faults: [(&str, &[&str]); 4] = [
        ("api-down", &["WorkerApiRequestsFail", "WorkerPoolNotServed"]),
        ("loop-stalled", &["WorkerLoopStalled"]),
        ("crashes", &["WorkerRunsCrash"]),
        ("slots-full", &["WorkerSlotsFullAndRunsLate"]),
    ];
    let test = |name: &str, fault: Option<&Scrape>, alerts: &[&str]| {
        let firing = |alert: &&str| json!({"labels": format!("{{alertname=\"{alert}\"}}"), "value": 1});
        let fire: Vec<Value> = alerts.iter().map(firing).collect();
        json!({
            "name": name, "interval": "1m", "input_series": history(fault),
            "promql_expr_test": [{
                "expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})", "eval_time": "16m", "exp_samples": fire,
            }],
        })
    };
    let mut tests = vec![test("well", None, &[])];
    tests.extend(faults.iter().map(|(name, alerts)| test(name, Some(&recorded(name)), alerts)));
    let document = json!({"rule_files": [file("alerts.yaml")], "evaluation_interval": "1m", "tests": tests});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts_test.yaml");
    // JSON is YAML.
    fs_err::write(&path, document.to_string()).unwrap();
    let (is_content, said) = promtool(&["test", "rules", &path.to_string_lossy()], "");
    assert!(is_content, "{said}");
}

#[test]
fn the_recorded_faults_are_of_this_version() {
    for name in ["well", "api-down", "loop-stalled", "crashes", "slots-full"] {
        super::monitoring::assert_documented(&recorded(name));
    }
}

/// The names of metrics in an expression.
fn named(expression: &str) -> BTreeSet<String> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = expression.split(|character| !is_name(character));
    words.filter(|word| word.starts_with("worker_") || word.starts_with("process_")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_are_valid_and_name_only_metrics_that_there_are() {
    let rules = fs_err::read_to_string(file("alerts.yaml")).unwrap();
    let dashboard: Value = serde_json::from_str(&fs_err::read_to_string(file("dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap().iter());
    let expressions: Vec<String> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(expressions.len() > 20, "{expressions:?}");
    let reference = super::monitoring::reference();
    let known = |name: &str| {
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        reference.iter().any(|(known, _)| known == name || known == stem)
    };
    let expected: Vec<&str> = rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for name in expressions.iter().flat_map(|text| named(text)).chain(named(&expected.join("\n"))) {
        assert!(known(&name), "{name} is not in docs/metrics.md");
    }

    let (is_content, said) = promtool(&["check", "rules", &file("alerts.yaml").to_string_lossy()], "");
    assert!(is_content, "{said}");
    let filled = |text: &str| text.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$pool", ".*");
    let recordings = expressions.iter().enumerate();
    let recordings =
        recordings.map(|(number, text)| json!({"record": format!("panel:{number}"), "expr": filled(text)}));
    let recordings: Vec<Value> = recordings.collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dashboard.yaml");
    fs_err::write(&path, json!({"groups": [{"name": "dashboard", "rules": recordings}]}).to_string()).unwrap();
    let (is_content, said) = promtool(&["check", "rules", &path.to_string_lossy()], "");
    assert!(is_content, "{said}");
}
