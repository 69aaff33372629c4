//! Whether runs can be executed here.

use std::process::Stdio;
use std::time::Duration;

use infra_contract::{Finding, InfraError, Severity};
use tokio::process::Command;
use tokio::time::timeout;

use crate::environment;
use crate::error::INTERPRETER_HINT;
use crate::interpreter;
use crate::settings::ProcessSettings;

/// How long the interpreter may take to answer.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Looks for the SDK without importing it, which would take seconds.
const PROBE: &str = "import importlib.util, sys; sys.exit(10 if importlib.util.find_spec('prefect') is None else 0)";

/// The exit code of [`PROBE`] if there is no SDK: none that Python itself uses.
const NO_SDK: i32 = 10;

/// Whether the default interpreter is there and has the Prefect SDK.
pub(crate) async fn interpreter_has_prefect(settings: &ProcessSettings) -> Finding {
    let python = match interpreter::choose(settings) {
        Ok(python) => python,
        Err(error) => {
            let edge = InfraError::from(error);
            return Finding { severity: Severity::Error, message: edge.context, hint: edge.hint };
        }
    };
    let probe = Command::new(&python)
        .args(["-c", PROBE])
        .env_clear()
        .envs(environment::inherited(&settings.worker_environment))
        // Python looks for modules in the working directory too.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    let error =
        |message: String| Finding { severity: Severity::Error, message, hint: Some(INTERPRETER_HINT.to_owned()) };
    match timeout(PROBE_LIMIT, probe).await {
        Ok(Ok(status)) if status.success() => {
            let message = format!("runs use `{python}`, which has the Prefect SDK");
            Finding { severity: Severity::Ok, message, hint: None }
        }
        Ok(Ok(status)) if status.code() == Some(NO_SDK) => {
            error(format!("`{python}` does not have the Prefect SDK: only runs with a command of their own can work"))
        }
        Ok(Ok(status)) => error(format!("`{python}` is not a working Python: it ended with {status}")),
        Ok(Err(cause)) => error(format!("`{python}` cannot be executed: {cause}")),
        Err(_) => {
            let message = format!("`{python}` did not answer within {} s", PROBE_LIMIT.as_secs());
            Finding { severity: Severity::Warning, message, hint: None }
        }
    }
}
