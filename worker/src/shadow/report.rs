//! What is said of one run.

use central_api_wire::flow_run::FlowRun;
use serde::Serialize;
use serde_json::Value;
use worker_core::ids::RunId;

use crate::rendering::Difference;

/// Something about a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// The run.
    pub(crate) flow_run: RunId,
    /// Its name.
    pub(crate) name: String,
    /// Name of its state.
    pub(crate) state: Option<String>,
    /// What.
    #[serde(flatten)]
    pub(crate) found: Found,
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// What would become of the run.
    Launch(Launch),
    /// What differs in the infrastructure that is there.
    Differences(Vec<Difference>),
}

/// What would become of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Launch {
    /// It would be launched.
    Launched {
        /// Its deployment.
        deployment: Option<String>,
        /// Who would bring the code.
        code: String,
        /// What would be started.
        plan: Value,
    },
    /// It would be set to Crashed.
    Crashed {
        /// With this message.
        reason: String,
    },
    /// It could not be found out.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl Report {
    pub(super) fn of_launch(run: &FlowRun, launch: Launch) -> Self {
        Self::of(run, Found::Launch(launch))
    }

    pub(super) fn of_comparison(run: &FlowRun, differences: Vec<Difference>) -> Self {
        Self::of(run, Found::Differences(differences))
    }

    fn of(run: &FlowRun, found: Found) -> Self {
        Self { flow_run: run.id, name: run.name.clone(), state: run.state_name.clone(), found }
    }

    /// One line and, for differences, one for each.
    pub(crate) fn text(&self) -> String {
        let name = &self.name;
        match &self.found {
            Found::Launch(Launch::Launched { code, .. }) => format!("ok       {name}: would be launched; code: {code}"),
            Found::Launch(Launch::Crashed { reason }) => format!("crash    {name}: would be set to Crashed: {reason}"),
            Found::Launch(Launch::Unknown { reason }) => format!("unknown  {name}: {reason}"),
            Found::Differences(differences) if differences.is_empty() => {
                format!("same     {name}: nothing differs from what is there")
            }
            Found::Differences(differences) => {
                let lines = differences
                    .iter()
                    .map(|Difference { path, ours, theirs }| format!("\n         {path}: there {theirs}, ours {ours}"));
                format!("differs  {name}:{}", lines.collect::<String>())
            }
        }
    }
}
