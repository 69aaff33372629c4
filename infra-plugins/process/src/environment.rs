//! The environment of a run's process.

use std::collections::BTreeMap;

use worker_core::job_configuration::lenient;
use worker_core::spec::{RunSpec, python_path};

use crate::fields::SANDBOX;
use crate::settings::ProcessSettings;

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

/// The environment of the run's process but for the control session, later over earlier: what it gets of the worker's own, the job
/// configuration's, the worker's explicitly set Prefect settings once more, the run's identity.
///
/// The order is that of Prefect's process worker, in which, of all kinds, the worker's settings win over the job's.
pub(crate) fn of_run(settings: &ProcessSettings, spec: &RunSpec) -> BTreeMap<String, String> {
    let mut environment = inherited(settings);
    environment.extend(on_top(&environment, spec));
    // One that is not there is refused where the run is planned.
    let sandbox = lenient::string(&spec.fields, SANDBOX).ok().flatten();
    if let Ok(confinement) = settings.confinement_of(sandbox.as_deref()) {
        confinement.suit(&mut environment, &spec.configured_env);
    }
    environment.remove(HOOKS_BY_THE_WORKER);
    environment
}

/// What a run gets of the worker's own environment.
pub(crate) fn inherited(settings: &ProcessSettings) -> BTreeMap<String, String> {
    settings.inheritance.of(&settings.worker_environment)
}

/// What a run gets on top of that.
pub(crate) fn on_top(inherited: &BTreeMap<String, String>, spec: &RunSpec) -> BTreeMap<String, String> {
    let mut environment = spec.env.clone();
    environment.extend(spec.worker_settings.clone());
    environment.insert(FLOW_RUN_ID.to_owned(), spec.key.run.to_string());
    environment.insert(LAUNCH_MARKER.to_owned(), spec.key.to_string());
    if let Some(entrypoint) = spec.code.as_ref().and_then(|code| code.entrypoint.clone()) {
        environment.insert(FLOW_ENTRYPOINT.to_owned(), entrypoint);
    }
    if let Some(directory) = spec.code.as_ref().and_then(|code| code.importable.as_deref()) {
        let before = environment.get(PYTHON_PATH).or_else(|| inherited.get(PYTHON_PATH));
        environment.insert(PYTHON_PATH.to_owned(), python_path(before.map(String::as_str), directory));
    }
    environment.remove(HOOKS_BY_THE_WORKER);
    environment
}
