//! The environment of the flow's container.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use worker_core::spec::RunSpec;
use worker_core::template::python_str;

use super::references;

/// What Prefect's supervisor in the pod does when the pod is taken away: put the run back to Scheduled, or leave it to
/// Kubernetes to start another pod.
const SIGTERM_BEHAVIOR: &str = "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR";
/// What the worker sets by itself, whatever anybody says.
pub(super) const OF_THE_WORKER: [&str; 2] = [SIGTERM_BEHAVIOR, super::native_code::FLOW_ENTRYPOINT];
const RESCHEDULE: &str = "reschedule";
const RELINQUISH: &str = "relinquish";

/// A variable. May hold a secret, so there is no `Debug`.
#[derive(Clone, PartialEq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) source: Source,
}

/// Where the value of a variable comes from.
#[derive(Clone, PartialEq)]
pub(crate) enum Source {
    /// It is here.
    Plain(String),
    /// From elsewhere: Kubernetes' `valueFrom`.
    Elsewhere(Value),
}

impl Variable {
    pub(crate) fn plain(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), source: Source::Plain(value.into()) }
    }

    pub(crate) fn of_secret(name: impl Into<String>, secret: &str, key: &str) -> Self {
        let reference = json!({ "secretKeyRef": { "name": secret, "key": key } });
        Self { name: name.into(), source: Source::Elsewhere(reference) }
    }

    /// An entry of a manifest. One that says null is none: Kubernetes would make the empty text of it.
    fn read(entry: &Value) -> Option<Self> {
        let name = entry.get("name")?.as_str()?.to_owned();
        let source = match (entry.get("valueFrom").filter(|from| !from.is_null()), entry.get("value")) {
            (Some(from), _) => Source::Elsewhere(from.clone()),
            (None, Some(Value::Null)) => return None,
            (None, Some(value)) => Source::Plain(python_str(value)),
            (None, None) => Source::Plain(String::new()),
        };
        Some(Self { name, source })
    }

    pub(crate) fn into_entry(self) -> Value {
        match self.source {
            Source::Plain(value) => json!({ "name": self.name, "value": value }),
            Source::Elsewhere(from) => json!({ "name": self.name, "valueFrom": from }),
        }
    }

    /// Kubernetes' `valueFrom`.
    pub(crate) fn elsewhere(&self) -> Option<&Value> {
        if let Source::Elsewhere(from) = &self.source { Some(from) } else { None }
    }

    fn refers_to(&self) -> Vec<&str> {
        if let Source::Plain(value) = &self.source { references::names(value) } else { Vec::new() }
    }
}

/// All variables: the worker's own, those of the job configuration, and entries of the manifest whose names none of these
/// has. A variable that others refer to comes before them.
pub(crate) fn variables(spec: &RunSpec, job_spec: &Map<String, Value>, of_manifest: Option<&Value>) -> Vec<Variable> {
    let (configured, own): (Vec<_>, Vec<_>) =
        spec.env.iter().partition(|(name, _)| spec.configured_env.contains(*name));
    let plain = own.into_iter().chain(configured).map(|(name, value)| Variable::plain(name, value));
    let mut all: Vec<Variable> = plain.chain(spec.env_from.iter().filter_map(Variable::read)).collect();
    // A list was written down, or is the job variable itself; an object is the job variable, which is in `spec`.
    let of_manifest: Vec<Variable> =
        of_manifest.and_then(Value::as_array).into_iter().flatten().filter_map(Variable::read).collect();

    let has = |variables: &[Variable], name: &str| variables.iter().any(|variable| variable.name == name);
    if job_spec.get("backoffLimit").and_then(Value::as_i64) != Some(0) {
        all.retain(|variable| variable.name != SIGTERM_BEHAVIOR);
        all.push(Variable::plain(SIGTERM_BEHAVIOR, RELINQUISH));
    } else if !has(&all, SIGTERM_BEHAVIOR) && !has(&of_manifest, SIGTERM_BEHAVIOR) {
        all.push(Variable::plain(SIGTERM_BEHAVIOR, RESCHEDULE));
    }
    let ours: BTreeSet<String> = all.iter().map(|variable| variable.name.clone()).collect();
    all.extend(of_manifest.into_iter().filter(|variable| !ours.contains(&variable.name)));
    referred_first(all)
}

/// The same variables in the same order, except that none comes before one that it refers to.
fn referred_first(variables: Vec<Variable>) -> Vec<Variable> {
    let mut ordered = Vec::with_capacity(variables.len());
    let mut left = variables;
    while !left.is_empty() {
        let waits = |variable: &Variable| {
            let before = variable.refers_to();
            left.iter().any(|other| other.name != variable.name && before.contains(&other.name.as_str()))
        };
        // Variables that refer to each other in a ring stay as they are.
        let next = left.iter().position(|variable| !waits(variable)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::run_spec;

    fn entries(spec: &RunSpec, job_spec: &Value, of_manifest: &Value) -> Value {
        let job_spec = job_spec.as_object().unwrap();
        variables(spec, job_spec, Some(of_manifest)).into_iter().map(Variable::into_entry).collect()
    }

    fn spec(configured: &[(&str, &str)]) -> RunSpec {
        let mut spec = run_spec();
        spec.env = [("Z_OWN".to_owned(), "own".to_owned())].into();
        for (name, value) in configured {
            spec.env.insert((*name).to_owned(), (*value).to_owned());
            spec.configured_env.insert((*name).to_owned());
        }
        spec
    }

    #[test]
    fn c103_an_object_is_replaced_and_a_list_merged_without_duplicates() {
        let spec = spec(&[("A", "mine")]);
        let zero = json!({"backoffLimit": 0});
        let own = json!({"name": "Z_OWN", "value": "own"});
        let mine = json!({"name": "A", "value": "mine"});
        let behavior = json!({"name": SIGTERM_BEHAVIOR, "value": "reschedule"});
        for nothing in [json!(null), json!({"A": "raw", "X": "y"})] {
            assert_eq!(entries(&spec, &zero, &nothing), json!([own, mine, behavior]));
        }
        let secret = json!({"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        let list =
            json!([secret, {"name": "A", "value": "tpl"}, {"name": "N", "value": 1}, {"name": "0", "value": null}]);
        let number = json!({"name": "N", "value": "1"});
        assert_eq!(entries(&spec, &zero, &list), json!([own, mine, behavior, secret, number]));
    }

    #[test]
    fn c103_entries_with_a_source_are_kept() {
        let secret = json!({"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        let mut spec = spec(&[("A", "mine")]);
        spec.env_from = vec![secret.clone()];
        let list = json!([secret, {"name": "A", "value": "mine"}]);
        let found = entries(&spec, &json!({"backoffLimit": 0}), &list);
        assert_eq!(found.as_array().unwrap().iter().filter(|entry| **entry == secret).count(), 1);
        assert_eq!(found[2], secret);
    }

    #[test]
    fn c106_the_behaviour_at_the_end_of_a_pod_follows_the_backoff_limit() {
        let behavior = |spec: &RunSpec, job_spec: Value, list: Value| {
            let found = entries(spec, &job_spec, &list);
            let found = found.as_array().unwrap().iter().filter(|entry| entry["name"] == SIGTERM_BEHAVIOR);
            found.map(|entry| entry["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let (none, set) = (spec(&[]), spec(&[(SIGTERM_BEHAVIOR, "mine")]));
        let hard_coded = json!([{"name": SIGTERM_BEHAVIOR, "value": "tpl"}]);
        assert_eq!(behavior(&none, json!({"backoffLimit": 0}), json!(null)), ["reschedule"]);
        assert_eq!(behavior(&set, json!({"backoffLimit": 0}), json!(null)), ["mine"]);
        assert_eq!(behavior(&none, json!({"backoffLimit": 0}), hard_coded.clone()), ["tpl"]);
        for job_spec in [json!({"backoffLimit": 3}), json!({})] {
            assert_eq!(behavior(&set, job_spec, hard_coded.clone()), ["relinquish"]);
        }
    }

    #[test]
    fn what_is_referred_to_comes_first_and_rings_end() {
        let spec = spec(&[("A", "$(B)/$(Z)"), ("B", "$(C)"), ("C", "c"), ("R", "$(S)"), ("S", "$(R)$(S)")]);
        let list = json!([{"name": "Z", "value": "z"}]);
        let found = entries(&spec, &json!({"backoffLimit": 0}), &list);
        let names: Vec<&str> = found.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Z_OWN", "C", "B", SIGTERM_BEHAVIOR, "Z", "A", "R", "S"]);
    }
}
