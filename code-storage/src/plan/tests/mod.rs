use serde_json::{Map, Value, json};
use worker_core::template::Reference;

use super::{DeploymentCode, EngineReason, Found, NativePull, RunSite, StepAction, plan};

mod blocks;
mod entrypoints;
mod git_clone;
mod objects;
mod outputs;
mod steps;
mod storage;

const ENTRYPOINT: &str = "flows/hello.py:hello";

/// A process of this machine.
fn here() -> RunSite {
    RunSite {
        shares_file_system: true,
        is_here: true,
        is_of_another_user: false,
        python: Some("/usr/bin/python3".into()),
        environment: [("HOME".to_owned(), "/home/runs".to_owned())].into(),
    }
}

/// A container that gets the code.
fn container() -> RunSite {
    RunSite { shares_file_system: true, ..RunSite::default() }
}

fn code<'a>(pull_steps: &'a Value, site: &'a RunSite) -> DeploymentCode<'a> {
    DeploymentCode { pull_steps: Some(pull_steps), entrypoint: Some(ENTRYPOINT), path: None, storage_block: None, site }
}

/// Plans, with what the server has.
fn planned(code: &DeploymentCode<'_>, server: &[(Reference, Value)]) -> Result<NativePull, EngineReason> {
    let mut draft = plan(code)?;
    while let Some(reference) = draft.pending().first().cloned() {
        let data = server.iter().find(|(known, _)| *known == reference).map(|(_, data)| data.clone());
        draft.provide(&reference, data.map(Found::from))?;
    }
    draft.finish()
}

fn native_with(steps: &Value, server: &[(Reference, Value)]) -> NativePull {
    planned(&code(steps, &here()), server).unwrap_or_else(|reason| panic!("left to the engine: {reason}"))
}

fn native(steps: &Value) -> NativePull {
    native_with(steps, &[])
}

fn reason_with(steps: &Value, server: &[(Reference, Value)]) -> String {
    reason_for(&code(steps, &here()), server)
}

fn reason(steps: &Value) -> String {
    reason_with(steps, &[])
}

fn reason_for(code: &DeploymentCode<'_>, server: &[(Reference, Value)]) -> String {
    match planned(code, server) {
        Ok(pull) => panic!("native: {pull:?}"),
        Err(reason) => reason.to_string(),
    }
}

fn step(name: &str, inputs: Value) -> Value {
    Value::Object(Map::from_iter([(format!("prefect.deployments.steps.{name}"), inputs)]))
}

fn only(name: &str, inputs: Value) -> Value {
    json!([step(name, inputs)])
}

/// What the only step does.
fn action(name: &str, inputs: Value) -> StepAction {
    let pull = native(&only(name, inputs));
    let [step] = pull.steps() else { panic!("{pull:?}") };
    step.planned.clone()
}

fn block(type_slug: &str, name: &str) -> Reference {
    Reference::Block { type_slug: type_slug.to_owned(), name: name.to_owned() }
}

fn variable(name: &str) -> Reference {
    Reference::Variable(name.to_owned())
}
