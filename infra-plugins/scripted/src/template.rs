//! The base job template: the variables every kind has, and one for each line of a script.

use infra_contract::JobTemplate;
use serde_json::{Map, Value, json};

pub(crate) fn base_job_template() -> JobTemplate {
    let variables = [
        ("name", json!({ "type": "string", "title": "Name" })),
        (
            "env",
            json!({ "type": "object", "title": "Environment Variables", "additionalProperties": { "type": "string" } }),
        ),
        ("labels", json!({ "type": "object", "title": "Labels", "additionalProperties": { "type": "string" } })),
        ("command", json!({ "type": "string", "title": "Command" })),
        ("prepare_error", failure("Prepare Error")),
        ("start_error", failure("Start Error")),
        (
            "start_delay_ms",
            json!({ "type": "integer", "title": "Start Delay", "description": "Milliseconds a launch takes." }),
        ),
        ("lost_reply", flag("Lost Reply", "The first launch takes effect, but its answer is lost.")),
        ("warnings", texts("Warnings")),
        ("output", texts("Output")),
        ("output_bytes", json!({ "type": "integer", "title": "Output Bytes" })),
        ("run_for_ms", json!({ "type": "integer", "title": "Run For", "description": "Milliseconds the run lasts." })),
        ("run_until_killed", flag("Run Until Killed", "The run lasts until it is stopped.")),
        ("exit_code", json!({ "type": "integer", "title": "Exit Code" })),
        ("exit_signal", json!({ "type": "integer", "title": "Exit Signal" })),
        ("exit", json!({ "title": "Exit", "enum": ["out_of_memory", "evicted", "vanished"] })),
        ("concluded", json!({ "title": "Concluded", "description": "What the engine concluded before the end." })),
        ("detail", json!({ "type": "string", "title": "Detail", "description": "A sentence about the end." })),
        ("ignore_grace", flag("Ignore Grace", "Only force ends the run.")),
        (
            "stop_takes_ms",
            json!({ "type": "integer", "title": "Stop Takes", "description": "Milliseconds to obey a stop." }),
        ),
        ("acknowledges_cancel", flag("Acknowledges Cancel", "The engine settles a cancellation itself.")),
        ("kill_unsupported", flag("Kill Unsupported", "The run cannot be killed.")),
    ];
    let placeholder = |name: &str| Value::String(format!("{{{{ {name} }}}}"));
    let configuration: Map<String, Value> =
        variables.iter().map(|(name, _)| ((*name).to_owned(), placeholder(name))).collect();
    let properties: Map<String, Value> =
        variables.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    JobTemplate::new(json!({
        "job_configuration": configuration,
        "variables": { "type": "object", "properties": properties },
    }))
}

fn flag(title: &str, description: &str) -> Value {
    json!({ "type": "boolean", "title": title, "description": description })
}

fn texts(title: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "title": title })
}

fn failure(title: &str) -> Value {
    json!({
        "type": "object",
        "title": title,
        "properties": {
            "class": { "enum": ["transient", "bad_spec", "denied", "unsupported", "bug"] },
            "text": { "type": "string" },
            "times": { "type": "integer" },
        },
        "required": ["class", "text"],
    })
}
