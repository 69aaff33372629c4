//! The parts of a Job.

use serde_json::{Map, Value};
use worker_core::job_configuration::lenient::kind_of;

use crate::plan_error::PlanError;

/// Labels and annotations of the Job are in it.
pub(crate) fn metadata(job: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, PlanError> {
    object(job, "metadata", "/metadata")
}

pub(crate) fn job_spec(job: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, PlanError> {
    object(job, "spec", "/spec")
}

pub(crate) fn pod_template(job: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, PlanError> {
    object(job_spec(job)?, "template", "/spec/template")
}

pub(crate) fn pod_metadata(job: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, PlanError> {
    object(pod_template(job)?, "metadata", "/spec/template/metadata")
}

pub(crate) fn pod_spec(job: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, PlanError> {
    object(pod_template(job)?, "spec", "/spec/template/spec")
}

/// The container that the flow runs in.
pub(crate) fn container(job: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, PlanError> {
    let containers = pod_spec(job)?.get_mut("containers").and_then(Value::as_array_mut);
    containers.and_then(|containers| containers.first_mut()?.as_object_mut()).ok_or(PlanError::Shape {
        path: "/spec/template/spec/containers/0",
        expected: "an object",
        found: "something else",
    })
}

/// An object in another; made if it is not there.
pub(crate) fn object<'o>(
    of: &'o mut Map<String, Value>,
    key: &str,
    path: &'static str,
) -> Result<&'o mut Map<String, Value>, PlanError> {
    let value = of.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    let found = kind_of(value);
    value.as_object_mut().ok_or(PlanError::Shape { path, expected: "an object", found })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_made_and_what_is_no_object_is_named() {
        let mut job = json!({"spec": {"template": {"metadata": null}}});
        pod_metadata(job.as_object_mut().unwrap()).unwrap().insert("labels".to_owned(), json!({}));
        assert_eq!(job, json!({"spec": {"template": {"metadata": {"labels": {}}}}}));
        let mut job = json!({"spec": "x"});
        let error = pod_metadata(job.as_object_mut().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "the job manifest's `/spec` must be an object, found a string");
    }
}
