//! Which Python runs the engine. Prefect's worker is itself Python and uses its own interpreter; this one has to choose.

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::ProcessError;
use crate::executable;
use crate::settings::ProcessSettings;

/// The interpreter of the default command: the configured one, else that of the worker's virtual environment, else
/// `python3` or `python` on the worker's `PATH`.
///
/// Symbolic links are kept: the one in a virtual environment is what makes it one.
pub(crate) fn choose(settings: &ProcessSettings) -> Result<Utf8PathBuf, ProcessError> {
    let path = settings.variable("PATH");
    match settings.python.as_deref() {
        Some(python) if python.contains('/') => Ok(camino::absolute_utf8(python).unwrap_or_else(|_| python.into())),
        Some(python) => {
            executable::on_path(python, path).ok_or_else(|| ProcessError::InterpreterNotFound(python.to_owned()))
        }
        None => in_virtual_environment(settings)
            .or_else(|| executable::on_path("python3", path))
            .or_else(|| executable::on_path("python", path))
            .ok_or(ProcessError::NoInterpreter),
    }
}

fn in_virtual_environment(settings: &ProcessSettings) -> Option<Utf8PathBuf> {
    let root = settings.variable("VIRTUAL_ENV").filter(|root| !root.is_empty())?;
    let python = Utf8Path::new(root).join("bin/python");
    python.exists().then_some(python)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::inheritance::Inheritance;
    use crate::settings::SupervisorProgram;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn with(files: &[&str]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for file in files {
                let file = root.path().join(file);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, "").unwrap();
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            Self(root)
        }

        fn path(&self, file: &str) -> String {
            self.0.path().join(file).to_str().unwrap().to_owned()
        }

        fn choice(&self, python: Option<&str>) -> Result<String, ProcessError> {
            let worker_environment =
                BTreeMap::from([("PATH".to_owned(), self.path("bin")), ("VIRTUAL_ENV".to_owned(), self.path("venv"))]);
            let settings = ProcessSettings {
                python: python.map(str::to_owned),
                worker_environment,
                inheritance: Inheritance::Everything,
                confinement: crate::confinement::Confinement::default(),
                warm: crate::warm::Warm::Off,
                profiles: BTreeMap::new(),
                runs_directory: "/nonexistent".into(),
                owner: infra_contract::Owner::new("tests"),
                supervisor: SupervisorProgram::new("/nonexistent"),
            };
            choose(&settings).map(Utf8PathBuf::into_string)
        }
    }

    #[test]
    fn the_configured_one_comes_before_the_virtual_environment_before_the_path() {
        let machine = Machine::with(&["bin/python3", "bin/python", "bin/python3.12", "venv/bin/python"]);
        assert_eq!(machine.choice(Some("/opt/py/bin/python")).unwrap(), "/opt/py/bin/python");
        assert_eq!(machine.choice(Some("python3.12")).unwrap(), machine.path("bin/python3.12"));
        assert_eq!(machine.choice(None).unwrap(), machine.path("venv/bin/python"));
    }

    #[test]
    fn python3_comes_before_python_and_a_stale_virtual_environment_is_passed_over() {
        let machine = Machine::with(&["bin/python3", "bin/python"]);
        assert_eq!(machine.choice(None).unwrap(), machine.path("bin/python3"));
        let machine = Machine::with(&["bin/python"]);
        assert_eq!(machine.choice(None).unwrap(), machine.path("bin/python"));
    }

    #[test]
    fn no_interpreter_is_an_error_that_says_which_was_looked_for() {
        let machine = Machine::with(&[]);
        assert!(matches!(machine.choice(None), Err(ProcessError::NoInterpreter)));
        assert!(machine.choice(Some("python9")).unwrap_err().to_string().contains("`python9`"));
    }
}
