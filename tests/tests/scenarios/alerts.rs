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

/// What becomes of a worker that was well for ten minutes, in the twenty minutes after.
#[derive(Clone, Copy)]
enum Fault {
    /// Nothing.
    None,
    /// It shows what was recorded, and that stays so.
    Lasts(&'static str),
    /// These counters of it grow by so much with every minute.
    Grows(&'static [(&'static str, f64)]),
    /// It has nearly as many files open as it may.
    FilesRunOut,
    /// It is gone.
    Down,
}

/// A start of 130 seconds with every minute.
const SLOW_STARTS: &[(&str, f64)] = &[
    ("worker_submission_seconds_bucket{pool=\"flows\",kind=\"process\",le=\"300\"}", 1.0),
    ("worker_submission_seconds_bucket{pool=\"flows\",kind=\"process\",le=\"900\"}", 1.0),
    ("worker_submission_seconds_bucket{pool=\"flows\",kind=\"process\",le=\"+Inf\"}", 1.0),
    ("worker_submission_seconds_count{pool=\"flows\",kind=\"process\"}", 1.0),
    ("worker_submission_seconds_sum{pool=\"flows\",kind=\"process\"}", 130.0),
];
const BREAKING_WATCHES: &[(&str, f64)] = &[("worker_watch_restarts_total{kind=\"process\"}", 3.0)];

/// Whether a series only grows while a worker lives.
fn is_counted(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    ["_total", "_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end))
}

fn with_many_files(well: &Scrape) -> Scrape {
    let most = well.value("process_max_fds").unwrap();
    let is_it = |line: &str| line.starts_with("process_open_fds ");
    let line = |line: &str| if is_it(line) { format!("process_open_fds {}", most * 0.9) } else { line.to_owned() };
    Scrape(well.0.lines().map(line).collect::<Vec<_>>().join("\n"))
}

fn constant(value: Option<f64>, times: u32) -> String {
    value.map_or_else(|| format!("_x{times}"), |value| format!("{value}x{}", times - 1))
}

fn history(fault: Fault) -> Vec<Value> {
    let well = recorded("well");
    let after = match fault {
        Fault::None | Fault::Grows(_) => Some(well.clone()),
        Fault::FilesRunOut => Some(with_many_files(&well)),
        Fault::Lasts(name) => Some(recorded(name)),
        Fault::Down => None,
    };
    let shown = after.as_ref().map(Scrape::series).unwrap_or_default();
    let all: BTreeSet<String> = well.series().union(&shown).cloned().collect();
    // A counter that a fault brings with it has grown from nothing, if not all at once.
    let sample = |scrape: &Scrape, series: &str| scrape.value(series).or(is_counted(series).then_some(0.0));
    let ending = |series: &str| {
        let grows = if let Fault::Grows(grows) = fault { grows } else { &[] };
        let growth = grows.iter().find(|(growing, _)| *growing == series);
        match (growth, after.as_ref().and_then(|after| sample(after, series))) {
            (Some((_, by)), Some(before)) => format!("{}+{by}x19", before + by),
            (_, now) => constant(now, 20),
        }
    };
    let story = |series: &String| {
        let values = format!("{} {}", constant(sample(&well, series), 10), ending(series));
        json!({"series": stored(series), "values": values})
    };
    if let Fault::Grows(grows) = fault {
        assert!(grows.iter().all(|(series, _)| all.contains(*series)), "{grows:?}");
    }
    let mut stories: Vec<Value> = all.iter().map(story).collect();
    let up = if matches!(fault, Fault::Down) { "1x9 0x19" } else { "1x29" };
    stories.push(json!({"series": stored("up"), "values": up}));
    stories
}

#[test]
fn recorded_faults_fire_the_alerts_that_are_for_them_and_no_others() {
    let faults: [(Fault, &str, &[&str]); 11] = [
        (Fault::None, "16m", &[]),
        (Fault::None, "29m", &[]),
        (Fault::Lasts("api-down"), "16m", &["WorkerApiRequestsFail", "WorkerPoolNotServed"]),
        (Fault::Lasts("loop-stalled"), "16m", &["WorkerLoopStalled"]),
        (Fault::Lasts("crashes"), "16m", &["WorkerRunsCrash"]),
        (Fault::Lasts("slots-full"), "16m", &["WorkerSlotsFullAndRunsLate"]),
        (Fault::Lasts("machine-full"), "29m", &["WorkerMachineIsFull", "WorkerRunsLate"]),
        (Fault::Lasts("strays"), "16m", &["WorkerFindsStrays"]),
        (Fault::FilesRunOut, "16m", &["WorkerFileDescriptorsRunOut"]),
        (Fault::Grows(SLOW_STARTS), "29m", &["WorkerStartsSlowly"]),
        (Fault::Grows(BREAKING_WATCHES), "29m", &["WorkerWatchesBreak"]),
    ];
    let test = |(fault, after, alerts): &(Fault, &str, &[&str])| {
        let firing = |alert: &&str| json!({"labels": format!("{{alertname=\"{alert}\"}}"), "value": 1});
        let fire: Vec<Value> = alerts.iter().map(firing).collect();
        json!({
            "name": alerts.join(" and "), "interval": "1m", "input_series": history(*fault),
            "promql_expr_test": [{
                "expr": "count by (alertname) (ALERTS{alertstate=\"firing\"})", "eval_time": after, "exp_samples": fire,
            }],
        })
    };
    let down: (Fault, &str, &[&str]) = (Fault::Down, "16m", &["WorkerDown"]);
    let tests: Vec<Value> = faults.iter().chain([&down]).map(test).collect();
    let document = json!({"rule_files": [file("alerts.yaml")], "evaluation_interval": "1m", "tests": tests});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts_test.yaml");
    // JSON is YAML.
    fs_err::write(&path, document.to_string()).unwrap();
    let (is_content, said) = promtool(&["test", "rules", &path.to_string_lossy()], "");
    assert!(is_content, "{said}");

    let rules = fs_err::read_to_string(file("alerts.yaml")).unwrap();
    let all: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let fired: BTreeSet<&str> =
        faults.iter().chain([&down]).flat_map(|(_, _, alerts)| alerts.iter().copied()).collect();
    assert_eq!(fired, all, "every rule has a fault that fires it");
}

#[test]
fn the_recorded_faults_are_of_this_version() {
    for entry in fs_err::read_dir(file("recorded")).unwrap() {
        super::monitoring::assert_documented(&Scrape(fs_err::read_to_string(entry.unwrap().path()).unwrap()));
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
