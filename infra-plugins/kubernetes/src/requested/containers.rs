//! One container of the pod.

use serde_json::Value;
use worker_core::policy::Requested;

use super::{confinement, items, shown, text, volumes};
use crate::manifest::is_default_command;

/// Where a container names commands that Kubernetes executes in it besides its own.
const MORE_COMMANDS: [&str; 5] =
    ["/lifecycle/postStart", "/lifecycle/preStop", "/livenessProbe", "/readinessProbe", "/startupProbe"];

pub(super) fn read(container: &Value, is_flows: bool, requested: &mut Requested) {
    requested.images.extend(text(container, "image").map(str::to_owned));
    let words = |list: &str| items(container, list).map(shown).collect::<Vec<_>>();
    let (entrypoint, arguments) = (words("command"), words("args"));
    let is_default = is_flows && entrypoint.is_empty() && is_default_command(&arguments);
    let command = [entrypoint, arguments].concat().join(" ");
    if !is_default && !command.is_empty() {
        requested.commands.insert(command);
    }
    for place in MORE_COMMANDS {
        let command = container.pointer(place).and_then(|hook| hook.pointer("/exec/command")?.as_array());
        requested.commands.extend(command.map(|words| words.iter().map(shown).collect::<Vec<_>>().join(" ")));
    }
    for variable in items(container, "env") {
        requested.environment.extend(text(variable, "name").map(str::to_owned));
        if let Some(from) = variable.get("valueFrom") {
            volumes::of_variable(from, requested);
        }
    }
    for source in items(container, "envFrom") {
        volumes::of_environment(source, requested);
    }
    confinement::of_container(container, &mut requested.privileges);
}
