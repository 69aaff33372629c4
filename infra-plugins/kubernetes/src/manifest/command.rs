//! The command of the flow's container.

use serde_json::{Map, Value};
use worker_core::job_configuration::lenient::kind_of;
use worker_core::template::python_str;

use crate::plan_error::PlanError;

/// The command where none is configured. Prefect's Kubernetes worker has the same.
const DEFAULT_COMMAND: &str = "prefect flow-run execute";
/// The command for code that is in place: the default one would pull it again.
const COMMAND_FOR_CODE: &str = "python -m prefect.engine";
/// What Prefect's own supervisor, which ends a flow that is cancelled, is called by.
const SUPERVISOR: &str = "flow-run execute";

/// Sets the arguments of the container. Whether they are the default ones, which depend on whether its code is in place.
pub(crate) fn set_args(
    container: &mut Map<String, Value>,
    configured: Option<&str>,
    has_code: bool,
) -> Result<bool, PlanError> {
    let default = if has_code { COMMAND_FOR_CODE } else { DEFAULT_COMMAND };
    let mut is_default = false;
    let mut of_run = || {
        is_default = configured.is_none();
        configured.unwrap_or(default)
    };
    let words = |command: &str| shell_words::split(command).map(Value::from).map_err(PlanError::Command);
    let args = match container.get("args") {
        None | Some(Value::Null) => words(of_run())?,
        // What a pool means by an empty command it means by none.
        Some(Value::String(command)) if command.is_empty() => words(of_run())?,
        Some(Value::String(command)) => words(command)?,
        Some(Value::Array(args)) => args.iter().map(python_str).collect(),
        Some(other) => {
            return Err(PlanError::Shape {
                path: "/spec/template/spec/containers/0/args",
                expected: "a string or a list",
                found: kind_of(other),
            });
        }
    };
    container.insert("args".to_owned(), args);
    Ok(is_default)
}

/// Whether these are the arguments of a run without a command of its own.
pub(crate) fn is_default(arguments: &[String]) -> bool {
    [DEFAULT_COMMAND, COMMAND_FOR_CODE].contains(&arguments.join(" ").as_str())
}

/// Whether Prefect's own supervisor runs in the container.
pub(crate) fn cancels_itself(container: &Map<String, Value>) -> bool {
    let lists = ["command", "args"].into_iter().filter_map(|part| container.get(part)?.as_array());
    let words: Vec<&str> = lists.flatten().filter_map(Value::as_str).collect();
    words.join(" ").contains(SUPERVISOR)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(container: Value, configured: Option<&str>) -> Result<Value, PlanError> {
        let Value::Object(mut container) = container else { panic!("not an object") };
        set_args(&mut container, configured, false)?;
        Ok(container["args"].clone())
    }

    #[test]
    fn arguments_are_split_kept_or_the_default() {
        for (container, configured, expected) in [
            (json!({}), None, json!(["prefect", "flow-run", "execute"])),
            (json!({"args": ""}), None, json!(["prefect", "flow-run", "execute"])),
            (json!({"args": null}), Some("python x.py"), json!(["python", "x.py"])),
            (json!({"args": "python -m x 'a b'"}), None, json!(["python", "-m", "x", "a b"])),
            (json!({"args": ["a b", 1, "$(X)"]}), Some("other"), json!(["a b", "1", "$(X)"])),
            (json!({"args": []}), None, json!([])),
        ] {
            assert_eq!(args(container.clone(), configured).unwrap(), expected, "{container}");
        }
        let error = args(json!({"args": {"a": 1}}), None).unwrap_err().to_string();
        assert_eq!(
            error,
            "the job manifest's `/spec/template/spec/containers/0/args` must be a string or a list, found an object"
        );
        assert!(matches!(args(json!({"args": "a 'b"}), None), Err(PlanError::Command(_))));
    }

    #[test]
    fn the_supervisor_is_seen_wherever_it_is_called() {
        let is = |container: Value| cancels_itself(container.as_object().unwrap());
        assert!(is(json!({"args": ["prefect", "flow-run", "execute"]})));
        assert!(is(json!({"command": ["sh", "-c"], "args": ["exec prefect flow-run execute"]})));
        assert!(!is(json!({"args": ["python", "-m", "prefect.engine"]})));
    }
}
