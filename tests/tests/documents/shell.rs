//! A shell that goes on from one command of a document to the next: with its variables, in one folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use worker_tests::harness::until;

/// Bound for one command.
const COMMAND: Duration = Duration::from_mins(2);

/// Commands that go on until they are stopped, and what they print once they are at work.
const UNTIL_STOPPED: [(&str, &str); 1] = [("worker start", " started!")];

/// What standard input has for a command that wants something pasted.
pub(crate) const PASTED: &str = "pasted-key";

pub(crate) struct Shell {
    /// The program that the shell is, with its arguments; a script comes last.
    pub(crate) program: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) folder: PathBuf,
    /// Where, as the shell sees it, its variables are kept between commands.
    pub(crate) variables: PathBuf,
    pub(crate) running: Vec<Running>,
}

/// A command that goes on.
pub(crate) struct Running {
    text: String,
    child: Child,
    output: PathBuf,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) is_well: bool,
    pub(crate) output: String,
}

impl Shell {
    /// Carries a command out; one that goes on until it is stopped is only waited for to be at work.
    pub(crate) async fn does(&mut self, text: &str) -> Ended {
        match UNTIL_STOPPED.iter().find(|(command, _)| text.starts_with(command)) {
            Some((_, at_work)) => self.starts(text, at_work).await,
            None => self.runs(text).await,
        }
    }

    async fn runs(&self, text: &str) -> Ended {
        let variables = self.variables.display();
        let script = format!("if [ -e {variables} ]; then . {variables}; fi\n{text}\nexport -p >{variables}");
        // A file, because programs that a command leaves behind would keep a pipe open.
        let output = self.folder.join("output");
        let mut child = self.command(&script, &output);
        let Ok(status) = tokio::time::timeout(COMMAND, child.wait()).await else {
            child.start_kill().unwrap();
            return Ended { is_well: false, output: format!("it does not end\n{}", read(&output)) };
        };
        Ended { is_well: status.unwrap().success(), output: read(&output) }
    }

    async fn starts(&mut self, text: &str, at_work: &str) -> Ended {
        let variables = self.variables.display();
        let script = format!("if [ -e {variables} ]; then . {variables}; fi\nexec {text}");
        let output = self.folder.join(format!("output-{}", self.running.len()));
        let mut child = self.command(&script, &output);
        let is_well = until(COMMAND, text, async || {
            let has_ended = child.try_wait().unwrap().is_some();
            if read(&output).contains(at_work) { Some(true) } else { has_ended.then_some(false) }
        })
        .await;
        let ended = Ended { is_well, output: read(&output) };
        self.running.push(Running { text: text.to_owned(), child, output });
        ended
    }

    fn command(&self, script: &str, output: &PathBuf) -> Child {
        let (program, arguments) = self.program.split_first().unwrap();
        let pasted = self.folder.join("pasted");
        fs_err::write(&pasted, PASTED).unwrap();
        let output = fs_err::File::create(output).unwrap().into_parts().0;
        let child = Command::new(program)
            .args(arguments)
            .arg(script)
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.folder)
            .stdin(fs_err::File::open(&pasted).unwrap().into_parts().0)
            .stdout(Stdio::from(output.try_clone().unwrap()))
            .stderr(output)
            .kill_on_drop(true)
            .spawn();
        child.unwrap()
    }

    /// Stops what goes on, as a service manager does; what did not end well then.
    pub(crate) async fn ends(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for mut running in self.running.drain(..) {
            if let Some(pid) = running.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                // It may have ended in this moment.
                kill_process(pid, Signal::TERM).unwrap_or_default();
            }
            let ended = tokio::time::timeout(COMMAND, running.child.wait()).await;
            if !ended.is_ok_and(|status| status.unwrap().success()) {
                wrong.push(format!("`{}` did not end well:\n{}", running.text, read(&running.output)));
            }
        }
        wrong
    }
}

fn read(path: &PathBuf) -> String {
    String::from_utf8_lossy(&fs_err::read(path).unwrap()).into_owned()
}
