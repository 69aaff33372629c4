//! The reference of job variables in Markdown, made from the base job templates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::registry::{KINDS, PluginSettings, Registry};

/// The variables of ours: of every kind, and of those whose plugins have them.
const OWN: [(&str, &str, &str); 9] = [
    (
        "report_state",
        "`engine`, `worker`",
        "Who reports the run's states. `worker` is for commands that never talk to the API: Running, Completed and Failed are \
         told by start and exit code. Unset: the Prefect engine in the run.",
    ),
    ("ship_output", "boolean", "What is written also goes to the run's log at the API, line by line."),
    (
        "mount_code",
        "boolean",
        "The worker pulls the deployment's code and mounts it read-only; only with an engine on the worker's machine.",
    ),
    ("secret_files", "object", "Paths in the container and contents of files that only its user can read."),
    (
        "image_pull_deadline_seconds",
        "number",
        "A run whose image cannot be pulled for so long is given up. Unset: the setting of this name of the kind.",
    ),
    (
        "start_deadline_seconds",
        "number",
        "A run whose pod does not get on for so long is given up. Unset: `kubernetes.start_deadline_seconds`.",
    ),
    (
        "sandbox",
        "string",
        "The profile by which the run is kept apart (`[[sandbox_profile]]`), of those that the worker allows for the pool. Unset: \
         that of the pool.",
    ),
    ("native_code", "boolean", "An init container brings the code."),
    (
        "cleanup",
        "`keep`, `remove`, `ttl`",
        "What becomes of the run's infrastructure once the run is over. Unset: the setting of this name of the kind.",
    ),
];
const OF_EVERY_KIND: &str = "report_state";

/// `docs/job-variables.md`.
pub(crate) fn job_variables_md(settings: PluginSettings) -> String {
    let mut out = String::from(
        "# Job variables\n\n<!-- Made by `cargo run -p worker --example reference`; a test fails when it is out of date. -->\n\n",
    );
    out.push_str(
        "What a run's infrastructure is made from. The work pool has a default for each, a deployment may say otherwise \
         (`job_variables`), and a run may say otherwise again; `env` is put together from all three. `worker render` shows what \
         comes of it for a run, and who said each value. Variables marked with \u{2020} are this worker's own: they also work in \
         pools that Prefect made, whose form does not show them.\n",
    );
    let registry = Registry::new(settings);
    for kind in KINDS {
        if let Some(registered) = registry.plugin(&worker_core::handle::PluginKind::new(kind)) {
            let plugin = registered.plugin;
            of_kind(&mut out, kind, plugin.base_job_template().as_json(), plugin.own_variables());
        }
    }
    out
}

fn of_kind(out: &mut String, kind: &str, template: &Value, own: &[&str]) {
    let _infallible = writeln!(out, "\n## {kind}\n\n| variable | type | default | |\n|---|---|---|---|");
    let properties = template.pointer("/variables/properties").and_then(Value::as_object);
    let mut rows: BTreeMap<&str, &Value> = BTreeMap::new();
    let own: Vec<&str> = own.iter().copied().chain([OF_EVERY_KIND]).collect();
    rows.extend(own.iter().map(|name| (*name, &Value::Null)));
    rows.extend(properties.into_iter().flatten().map(|(name, property)| (name.as_str(), property)));
    for (name, property) in rows {
        let mark = if own.contains(&name) { " \u{2020}" } else { "" };
        let default = match property.get("default") {
            None | Some(Value::Null) => String::new(),
            Some(Value::Object(_)) => "see `worker template`".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let of_ours = OWN.iter().find(|(known, _, _)| *known == name).filter(|_| property.is_null());
        let description = property.get("description").and_then(Value::as_str);
        let description = description.or_else(|| of_ours.map(|(_, _, text)| *text)).unwrap_or_default();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        let kind = of_ours.map_or_else(|| type_of(property), |(_, kind, _)| (*kind).to_owned());
        let _infallible = writeln!(out, "| `{name}`{mark} | {kind} | {} | {} |", cell(&default), cell(&description));
    }
}

fn type_of(property: &Value) -> String {
    let choices: Vec<String> =
        property.get("enum").and_then(Value::as_array).into_iter().flatten().map(|word| format!("`{word}`")).collect();
    if !choices.is_empty() {
        return choices.join(", ");
    }
    if let Some(kind) = property.get("type").and_then(Value::as_str) {
        return kind.to_owned();
    }
    let alternatives = property.get("anyOf").or_else(|| property.get("allOf")).and_then(Value::as_array);
    let kinds: Vec<String> =
        alternatives.into_iter().flatten().map(type_of).filter(|kind| kind != "null" && !kind.is_empty()).collect();
    if !kinds.is_empty() {
        return kinds.join(" or ");
    }
    property.get("$ref").map(|_| "block".to_owned()).unwrap_or_default()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_variable_of_ours_is_explained() {
        let written = crate::cli::job_variables_md();
        let bare: Vec<&str> =
            written.lines().filter(|line| line.contains('\u{2020}') && line.ends_with("|  |")).collect();
        assert!(written.contains("| `cleanup` \u{2020} | `keep`"), "{written}");
        assert_eq!(bare, Vec::<&str>::new());
    }
}
