//! Whether runs can be executed here.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use camino::Utf8Path;
use infra_contract::{Finding, InfraError, Severity};
use rustix::fs::{Access, access};
use rustix::process::geteuid;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cgroup;
use crate::confinement::{Confinement, missing_controllers};
use crate::environment;
use crate::error::INTERPRETER_HINT;
use crate::interpreter;
use crate::settings::ProcessSettings;
use crate::warm::{self, Warm};

/// How long the interpreter may take to answer.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Looks for the SDK without importing it, which would take seconds.
const PROBE: &str = "
import importlib.metadata, importlib.util, sys
if importlib.util.find_spec('prefect') is None:
    sys.exit(10)
for package in ('prefect', 'prefect-client'):
    try:
        print(importlib.metadata.version(package), end='')
        break
    except importlib.metadata.PackageNotFoundError:
        pass
";

/// The exit code of [`PROBE`] if there is no SDK: none that Python itself uses.
const NO_SDK: i32 = 10;

/// What is asked for to keep runs apart and this machine cannot give, in `[sandbox]` and in the profiles.
pub(crate) fn confinement(settings: &ProcessSettings) -> Vec<Finding> {
    let of_profiles = settings.profiles.iter().flat_map(|(name, profile)| {
        one(settings, profile)
            .into_iter()
            .map(move |finding| Finding { message: format!("sandbox `{name}`: {}", finding.message), ..finding })
    });
    one(settings, &settings.confinement).into_iter().chain(of_profiles).collect()
}

fn one(settings: &ProcessSettings, asked: &Confinement) -> Vec<Finding> {
    let error = |message: String, hint: String| Finding { severity: Severity::Error, message, hint: Some(hint) };
    let mut findings = Vec::new();
    if asked.needs_root() && !geteuid().is_root() {
        findings.push(error(
            "runs cannot be executed as another user or with a `/tmp` of their own: the worker is not root".to_owned(),
            "start it as root, or leave `user` and `private_tmp` out of the section [sandbox]".to_owned(),
        ));
    }
    for controller in missing_controllers(asked) {
        findings.push(error(
            format!("the limit of `{controller}` for runs cannot be set: this machine gives the worker no such cgroup"),
            "give the worker's unit `Delegate=yes` and `DelegateSubgroup=worker`, or leave the limit out of the section [sandbox]"
                .to_owned(),
        ));
    }
    findings.extend(hidden_state(settings, asked));
    findings
}

/// The way to a run's folder has to be open to its user above the worker's state directory, which is replaced.
fn hidden_state(settings: &ProcessSettings, asked: &Confinement) -> Option<Finding> {
    asked.run_as.as_ref()?;
    let state = settings.runs_directory.parent()?;
    let is_closed =
        |directory: &&Utf8Path| directory.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o001 == 0);
    let closed = state.ancestors().skip(1).find(is_closed)?;
    Some(Finding {
        severity: Severity::Error,
        message: format!("runs of another user cannot get to their folders: {closed} is closed to them"),
        hint: Some("name a state directory outside of it with WORKER_STATE_DIR, such as /var/lib/worker".to_owned()),
    })
}

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
        .envs(environment::inherited(settings))
        // Python looks for modules in the working directory too.
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let error =
        |message: String| Finding { severity: Severity::Error, message, hint: Some(INTERPRETER_HINT.to_owned()) };
    match timeout(PROBE_LIMIT, probe).await {
        Ok(Ok(probed)) if probed.status.success() => has_sdk(&python, &String::from_utf8_lossy(&probed.stdout)),
        Ok(Ok(probed)) if probed.status.code() == Some(NO_SDK) => {
            error(format!("`{python}` does not have the Prefect SDK: only runs with a command of their own can work"))
        }
        Ok(Ok(probed)) => error(format!("`{python}` is not a working Python: it ended with {}", probed.status)),
        Ok(Err(cause)) => error(format!("`{python}` cannot be executed: {cause}")),
        Err(_) => {
            let message = format!("`{python}` did not answer within {} s", PROBE_LIMIT.as_secs());
            Finding { severity: Severity::Warning, message, hint: None }
        }
    }
}

/// Whether runs start warm, where that is asked for.
pub(crate) async fn warm_starts(settings: &ProcessSettings) -> Option<Finding> {
    if settings.warm == Warm::Off {
        return None;
    }
    // That there is none is said already.
    let python = interpreter::choose(settings).ok()?;
    Some(match warm::look(&python, &environment::inherited(settings)).await {
        Ok(versions) => {
            let message = format!("runs of the default command can start warm: they are forked from {versions}");
            Finding { severity: Severity::Ok, message, hint: None }
        }
        Err(why) => Finding {
            severity: Severity::Warning,
            message: format!("runs start cold although `process.warm` is set: {why}"),
            hint: Some("see docs/warm-starts.md for what starts warm, or set `process.warm` to `off`".to_owned()),
        },
    })
}

fn has_sdk(python: &Utf8Path, version: &str) -> Finding {
    let ok = |message: String| Finding { severity: Severity::Ok, message, hint: None };
    if version.is_empty() {
        return ok(format!("runs use `{python}`, which has the Prefect SDK"));
    }
    if version.starts_with("3.") {
        return ok(format!("runs use `{python}`, which has the Prefect SDK {version}"));
    }
    let message = format!("`{python}` has the Prefect SDK {version}: runs need one of Prefect 3");
    Finding { severity: Severity::Error, message, hint: Some("pip install 'prefect>=3,<4'".to_owned()) }
}

/// Whether runs get control groups of their own. Without them nothing fails, but less is known and seen to.
pub(crate) fn cgroups() -> Finding {
    let missing = |why: String| Finding {
        severity: Severity::Ok,
        message: format!(
            "runs get no control group of their own ({why}): their processes are found by other marks, and whether memory ran \
             out is not certain"
        ),
        hint: Some("under systemd, set Delegate=yes in the unit".to_owned()),
    };
    let Some(own) = cgroup::own_directory() else {
        return missing("the machine has none of the second version".to_owned());
    };
    match access(own.as_std_path(), Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding {
            severity: Severity::Ok,
            message: format!("each run gets a control group of its own, in {own}"),
            hint: None,
        },
        Err(error) => missing(format!("{own} cannot be written: {}", std::io::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_of_another_prefect_is_an_error_and_an_unknown_one_is_not() {
        let severity = |version| has_sdk(Utf8Path::new("/py"), version).severity;
        assert_eq!(severity("3.8.0"), Severity::Ok);
        assert_eq!(severity(""), Severity::Ok);
        assert_eq!(severity("2.20.4"), Severity::Error);
    }
}
