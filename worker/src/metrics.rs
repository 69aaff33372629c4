//! The metrics endpoint of `PREFECT_CLIENT_METRICS_ENABLED`: Prometheus text on any path.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::live_runs::{LiveRuns, PoolIndex};
use crate::liveness::Liveness;

/// What is counted.
#[derive(Clone, Debug)]
pub struct Counted {
    /// All live runs.
    pub live: LiveRuns,
    /// The pools, by name.
    pub pools: Vec<(PoolIndex, String)>,
    /// All loops.
    pub liveness: Liveness,
}

/// Serves until told to stop.
pub async fn serve(listener: TcpListener, counted: Counted, stop: CancellationToken) {
    let app = Router::new().fallback(metrics).with_state(Arc::new(counted));
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!("the metrics server ended: {error}");
    }
}

async fn metrics(State(counted): State<Arc<Counted>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render(&counted))
}

/// Few labels and never a run id: a worker that has run a million flows shows as many lines as a new one.
fn render(counted: &Counted) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
        text.extend([format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")]);
        text.extend(samples.iter().map(|(labels, value)| format!("{name}{labels} {value}\n")));
    };
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    metric("worker_build_info", "gauge", "The build.", &[(version, "1".to_owned())]);
    let live: Vec<_> = counted
        .pools
        .iter()
        .map(|(pool, name)| (format!("{{pool=\"{}\"}}", escaped(name)), counted.live.count(*pool).to_string()))
        .collect();
    metric("worker_runs_live", "gauge", "Runs that hold a slot.", &live);
    let stalled = (String::new(), counted.liveness.stalled().len().to_string());
    metric("worker_loops_stalled", "gauge", "Loops that hang.", &[stalled]);
    if let Some(bytes) = resident_bytes() {
        let sample = (String::new(), bytes.to_string());
        metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", &[sample]);
    }
    text
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The second number of `/proc/self/statm` counts resident pages.
fn resident_bytes() -> Option<u64> {
    let statm = fs_err::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_counted_and_odd_names_escaped() {
        let pools = vec![(PoolIndex(0), "a \"b\"".to_owned())];
        let counted = Counted { live: LiveRuns::default(), pools, liveness: Liveness::default() };
        let text = render(&counted);
        assert!(text.contains("worker_runs_live{pool=\"a \\\"b\\\"\"} 0\n"), "{text}");
        assert!(text.contains("worker_loops_stalled 0\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }
}
