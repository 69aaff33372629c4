//! The process kind's own job variables.

use camino::Utf8PathBuf;
use serde_json::{Map, Value};
use worker_core::job_configuration::lenient;

use crate::error::ProcessError;

/// The job variable of ours that names a profile. What a run may name the worker decides.
pub(crate) const SANDBOX: &str = "sandbox";

/// The job variables that only this kind has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Whether the run's output is copied to the worker's.
    pub(crate) stream_output: bool,
    /// Where the command runs; `None` is a temporary directory.
    pub(crate) working_dir: Option<Utf8PathBuf>,
    /// The profile by which the run is kept apart.
    pub(crate) sandbox: Option<String>,
}

impl Fields {
    pub(crate) fn read(fields: &Map<String, Value>) -> Result<Self, ProcessError> {
        Ok(Self {
            stream_output: lenient::bool(fields, "stream_output").map_err(ProcessError::Field)?.unwrap_or(true),
            working_dir: lenient::path(fields, "working_dir").map_err(ProcessError::Field)?,
            sandbox: lenient::string(fields, SANDBOX).map_err(ProcessError::Field)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: &Value) -> Result<Fields, ProcessError> {
        Fields::read(fields.as_object().unwrap())
    }

    #[test]
    fn absent_and_null_variables_have_their_defaults() {
        let defaults = Fields { stream_output: true, working_dir: None, sandbox: None };
        assert_eq!(read(&json!({})).unwrap(), defaults);
        assert_eq!(read(&json!({ "stream_output": null, "working_dir": null })).unwrap(), defaults);
    }

    #[test]
    fn booleans_are_read_leniently() {
        assert!(!read(&json!({ "stream_output": "off" })).unwrap().stream_output);
    }

    #[test]
    fn a_wrong_type_names_the_variable() {
        let error = read(&json!({ "working_dir": 3 })).unwrap_err();
        assert!(error.to_string().contains("`working_dir`"), "{error}");
    }
}
