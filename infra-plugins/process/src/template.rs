//! The base job template of the process kind: the structure that Prefect's own process worker uploads, which its UI and
//! infrastructure-as-code tools read; the descriptions are ours.

use infra_contract::JobTemplate;
use serde_json::json;

pub(crate) fn base_job_template() -> JobTemplate {
    JobTemplate::new(json!({
        "job_configuration": {
            "command": "{{ command }}",
            "env": "{{ env }}",
            "labels": "{{ labels }}",
            "name": "{{ name }}",
            "stream_output": "{{ stream_output }}",
            "working_dir": "{{ working_dir }}",
        },
        "variables": {
            "properties": {
                "name": {
                    "anyOf": [{ "type": "string" }, { "type": "null" }],
                    "default": null,
                    "description": "A name for the run's process; the flow run's name if left empty.",
                    "title": "Name",
                },
                "env": {
                    "additionalProperties": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                    "description": "Environment variables to set for the run.",
                    "title": "Environment Variables",
                    "type": "object",
                },
                "labels": {
                    "additionalProperties": { "type": "string" },
                    "description": "Labels for the run's infrastructure.",
                    "title": "Labels",
                    "type": "object",
                },
                "command": {
                    "anyOf": [{ "type": "string" }, { "type": "null" }],
                    "default": null,
                    "description": "The command to execute, without a shell; the Prefect engine if left empty.",
                    "title": "Command",
                },
                "stream_output": {
                    "default": true,
                    "description": "Copy the run's output to the worker's own.",
                    "title": "Stream Output",
                    "type": "boolean",
                },
                "working_dir": {
                    "anyOf": [{ "format": "path", "type": "string" }, { "type": "null" }],
                    "default": null,
                    "description": "The directory to run in; a temporary one, removed afterwards, if left empty.",
                    "title": "Working Directory",
                },
            },
            "type": "object",
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The template as Prefect uploads it, without its descriptions.
    const UPSTREAM: &str = r#"{"job_configuration": {"command": "{{ command }}", "env": "{{ env }}", "labels": "{{ labels }}", "name": "{{ name }}", "stream_output": "{{ stream_output }}", "working_dir": "{{ working_dir }}"}, "variables": {"properties": {"name": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null, "title": "Name"}, "env": {"additionalProperties": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "title": "Environment Variables", "type": "object"}, "labels": {"additionalProperties": {"type": "string"}, "title": "Labels", "type": "object"}, "command": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null, "title": "Command"}, "stream_output": {"default": true, "title": "Stream Output", "type": "boolean"}, "working_dir": {"anyOf": [{"format": "path", "type": "string"}, {"type": "null"}], "default": null, "title": "Working Directory"}}, "type": "object"}}"#;

    #[test]
    fn but_for_descriptions_it_is_the_template_of_prefects_process_worker() {
        let mut ours = base_job_template().as_json().clone();
        for variable in ours["variables"]["properties"].as_object_mut().unwrap().values_mut() {
            assert!(variable.as_object_mut().unwrap().shift_remove("description").is_some());
        }
        let upstream: serde_json::Value = serde_json::from_str(UPSTREAM).unwrap();
        assert_eq!(ours, upstream);
    }
}
