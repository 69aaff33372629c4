//! The reference of all metrics, for people.

use super::catalogue::METRICS;
use super::causes::{ApiStream, CRASH_CAUSES, End, Refusal, Repaired};
use crate::live_runs::Stage;

const HEAD: &str = "\
# Metrics

<!-- Made by `cargo run -p worker --example metrics_reference`; a test fails when it is out of date. -->

What `/metrics` serves, in the text format of Prometheus ([observability.md](observability.md) says where). No label is a run, a
deployment or a text from outside: a worker that has executed a million runs shows as many series as a new one. What can be
counted of a pool is there with 0 from the moment on in which the pool is served.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
";

/// The text of `docs/metrics.md`.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (metric.name, metric.kind.as_str(), metric.help);
        text.extend([format!("| `{name}` | {kind} | {} | {help}. |\n", labels.join(", "))]);
    }
    text.push_str("\n## Words of labels\n\n| Label | Of | Words |\n|---|---|---|\n");
    let rows: [(&str, &str, Vec<&str>); 6] = [
        ("state", "worker_runs", Stage::ALL.map(Stage::as_str).to_vec()),
        ("cause", "worker_claims_refused_total", Refusal::ALL.map(Refusal::as_str).to_vec()),
        ("outcome", "worker_runs_ended_total", End::OUTCOMES.to_vec()),
        ("cause", "worker_crashes_total", CRASH_CAUSES.to_vec()),
        ("what", "worker_repairs_total", Repaired::ALL.map(Repaired::as_str).to_vec()),
        ("stream", "worker_api_stream_restarts_total", ApiStream::ALL.map(ApiStream::as_str).to_vec()),
    ];
    for (label, metric, words) in rows {
        text.extend([format!("| `{label}` | `{metric}` | {} |\n", words.join(", "))]);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let committed = fs_err::read_to_string(path).unwrap_or_default();
        assert!(committed == super::reference(), "run `cargo run -p worker --example metrics_reference`");
    }
}
