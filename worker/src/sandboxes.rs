//! Which profile keeps a local process apart: what its pool says, and what the run may choose.

use serde_json::{Map, Value};
use worker_config::{DEFAULT_SANDBOX, SandboxChoice};
use worker_core::job_configuration::{JobConfigurationError, lenient};

/// The job variable that names a profile.
const VARIABLE: &str = "sandbox";

/// Puts the profile of a run into its fields, where its kind has profiles.
///
/// # Errors
/// The run names one that the settings do not allow runs of its pool.
pub(crate) fn choose(
    choice: &SandboxChoice,
    own_variables: &[&str],
    fields: &mut Map<String, Value>,
) -> Result<(), JobConfigurationError> {
    if !own_variables.contains(&VARIABLE) {
        return Ok(());
    }
    let of_pool = choice.default.as_deref().unwrap_or(DEFAULT_SANDBOX);
    let named = lenient::string(fields, VARIABLE)?.filter(|named| !named.is_empty());
    let chosen = match named {
        None => of_pool.to_owned(),
        Some(named) if named == of_pool || choice.allow.contains(&named) => named,
        Some(value) => {
            let others = choice.allow.iter().map(String::as_str).filter(|name| *name != of_pool);
            let offered: Vec<String> = [of_pool].into_iter().chain(others).map(|name| format!("`{name}`")).collect();
            return Err(JobConfigurationError::NotOffered { variable: VARIABLE, value, offered: offered.join(", ") });
        }
    };
    fields.insert(VARIABLE.to_owned(), chosen.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chosen(choice: &SandboxChoice, fields: Value) -> Result<Value, String> {
        chosen_of(&[VARIABLE], choice, fields)
    }

    fn chosen_of(own: &[&str], choice: &SandboxChoice, fields: Value) -> Result<Value, String> {
        let Value::Object(mut fields) = fields else { panic!("{fields}") };
        choose(choice, own, &mut fields).map_err(|error| error.to_string())?;
        Ok(Value::Object(fields))
    }

    #[test]
    fn a_run_has_the_profile_of_its_pool_or_one_that_the_pool_allows() {
        let none = SandboxChoice::default();
        let choice = SandboxChoice { default: Some("small".to_owned()), allow: vec!["big".to_owned()] };
        for (choice, fields, expected) in [
            (&none, json!({}), "default"),
            (&none, json!({"sandbox": null}), "default"),
            (&none, json!({"sandbox": "default"}), "default"),
            (&choice, json!({"sandbox": ""}), "small"),
            (&choice, json!({}), "small"),
            (&choice, json!({"sandbox": "small"}), "small"),
            (&choice, json!({"sandbox": "big"}), "big"),
        ] {
            assert_eq!(chosen(choice, fields).unwrap(), json!({"sandbox": expected}));
        }
        let refused = chosen(&choice, json!({"sandbox": "default"})).unwrap_err();
        assert_eq!(
            refused,
            "job variable `sandbox` is `default`, and the worker offers runs of this pool `small`, `big`"
        );
        assert!(chosen(&none, json!({"sandbox": "big"})).unwrap_err().ends_with("this pool `default`"));
        assert!(chosen(&none, json!({"sandbox": 3})).is_err());
        let elsewhere = chosen_of(&["native_code"], &choice, json!({"sandbox": "x"}));
        assert_eq!(elsewhere.unwrap(), json!({"sandbox": "x"}), "a kind without profiles");
    }
}
