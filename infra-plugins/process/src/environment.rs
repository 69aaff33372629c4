//! The environment of a run's process.

use std::collections::BTreeMap;

use worker_core::spec::{RunSpec, python_path};

/// The variable that marks every process of one execution; its value is the launch key. Inherited by whatever the run
/// starts, it finds processes that have left the run's process group.
pub const LAUNCH_MARKER: &str = "WORKER_LAUNCH_KEY";

pub(crate) const FLOW_RUN_ID: &str = "PREFECT__FLOW_RUN_ID";
pub(crate) const FLOW_ENTRYPOINT: &str = "PREFECT__FLOW_ENTRYPOINT";
pub(crate) const CONTROL_PORT: &str = "PREFECT__CONTROL_PORT";
pub(crate) const CONTROL_TOKEN: &str = "PREFECT__CONTROL_TOKEN";

const PYTHON_PATH: &str = "PYTHONPATH";

/// Set to false, it would leave an acknowledged cancellation and its hooks to the worker, which cannot run Python hooks.
const HOOKS_BY_THE_WORKER: &str = "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS";

/// What Prefect names so belongs to one run or one worker: of a worker that itself runs inside a run, it would reach the
/// inner runs.
const INTERNAL_PREFIX: &str = "PREFECT__";

/// How systemd speaks with the worker: a run that got these would answer in its place.
const SERVICE_VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The environment of the run's process but for the control session, later over earlier: the worker's own, the job
/// configuration's, the worker's explicitly set Prefect settings once more, the run's identity.
///
/// The order is that of Prefect's process worker, in which, of all kinds, the worker's settings win over the job's.
pub(crate) fn of_run(worker: &BTreeMap<String, String>, spec: &RunSpec) -> BTreeMap<String, String> {
    let mut environment = inherited(worker);
    environment.extend(on_top(worker, spec));
    environment.remove(HOOKS_BY_THE_WORKER);
    environment
}

/// What a run gets on top of the worker's own environment.
pub(crate) fn on_top(worker: &BTreeMap<String, String>, spec: &RunSpec) -> BTreeMap<String, String> {
    let mut environment = spec.env.clone();
    environment.extend(spec.worker_settings.clone());
    environment.insert(FLOW_RUN_ID.to_owned(), spec.key.run.to_string());
    environment.insert(LAUNCH_MARKER.to_owned(), spec.key.to_string());
    if let Some(entrypoint) = spec.code.as_ref().and_then(|code| code.entrypoint.clone()) {
        environment.insert(FLOW_ENTRYPOINT.to_owned(), entrypoint);
    }
    if let Some(directory) = spec.code.as_ref().and_then(|code| code.importable.as_deref()) {
        let before = environment.get(PYTHON_PATH).or_else(|| worker.get(PYTHON_PATH));
        environment.insert(PYTHON_PATH.to_owned(), python_path(before.map(String::as_str), directory));
    }
    environment.remove(HOOKS_BY_THE_WORKER);
    environment
}

/// The worker's environment without what is meant for the worker alone.
pub(crate) fn inherited(worker: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let meant_for_runs = worker.iter().filter(|(name, _)| {
        !name.starts_with(INTERNAL_PREFIX) && *name != LAUNCH_MARKER && !SERVICE_VARIABLES.contains(&name.as_str())
    });
    meant_for_runs.map(|(name, value)| (name.clone(), value.clone())).collect()
}
