//! The commands that talk to running daemons.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use worker_config::Override;

use super::operator_drain::{DrainArgs, drain};
use super::settings::Source;
use crate::console;
use crate::operator::{
    self, AskError, Cordoned, Line, RunSeen, Status, cancelled, lines, runs_table, status_text, why_text,
};
use crate::run::ErrorChain;

#[derive(Debug, Subcommand)]
pub(super) enum OperatorCommand {
    /// Show the running workers and their pools
    Status(Asking),
    /// Show the live runs
    Runs(Asking),
    /// Tell what was decided about a run, or why nobody here executes it
    Why(OneRun),
    /// Cancel a run, also while the API is away
    Cancel(OneRun),
    /// Take no more runs, wait for those that are live, and end
    Drain(DrainArgs),
    /// Take no more runs until uncordoned, also after a restart
    Cordon(Asking),
    /// Take runs again
    Uncordon(Asking),
}

/// Whom to ask, and in which form to answer.
#[expect(clippy::doc_markdown, reason = "the text is the help, where backticks would be shown")]
#[derive(Clone, Debug, Args)]
pub(super) struct Asking {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Only this worker, by the name that `worker status` shows [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) daemon: Option<String>,
    /// The state directory of the workers [env: WORKER_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<Utf8PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct OneRun {
    /// Its id, its name, or the beginning of either
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    run: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(command: OperatorCommand, from: Source) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the async runtime cannot be started: {error}")),
    };
    let done = runtime.block_on(async {
        match command {
            OperatorCommand::Status(asking) => status(&asking, from).await,
            OperatorCommand::Runs(asking) => runs(&asking, from).await,
            OperatorCommand::Why(one) => why(&one, from).await,
            OperatorCommand::Cancel(one) => cancel(&one, from).await,
            OperatorCommand::Drain(args) => drain(&args, from).await,
            OperatorCommand::Cordon(asking) => cordon(&asking, from, "/cordon").await,
            OperatorCommand::Uncordon(asking) => cordon(&asking, from, "/uncordon").await,
        }
    });
    match done {
        Ok(code) => code,
        Err(text) => failed(&text),
    }
}

fn failed(text: &str) -> ExitCode {
    // The settings say theirs themselves.
    if !text.is_empty() {
        console::complaint(&format!("error: {text}"));
    }
    ExitCode::FAILURE
}

impl Asking {
    /// The daemons that are meant. An error without text has been said already.
    pub(super) async fn lines(&self, from: Source) -> Result<Vec<Line>, String> {
        let named = |directory: &Utf8PathBuf| Override::new("state.dir", directory.as_str(), "--state-dir");
        let loaded = from.load(self.state_dir.iter().map(named).collect()).map_err(|errors| {
            errors.complain();
            String::new()
        })?;
        let state_dir = &loaded.0.settings.worker.state_dir;
        lines(state_dir, self.daemon.as_deref()).await.map_err(|nobody| nobody.to_string())
    }

    /// Prints answers as JSON, or as the text that they make.
    pub(super) fn print<T: Serialize>(&self, answers: &T, text: impl FnOnce(&T) -> String) {
        if !self.json {
            return console::line(&text(answers));
        }
        match serde_json::to_string_pretty(answers) {
            Ok(json) => console::line(&json),
            Err(error) => console::complaint(&format!("error: the answer is no JSON: {error}")),
        }
    }
}

/// The answers of daemons, and whether all gave one; those that did not are complained about.
#[derive(Debug)]
pub(super) struct Answers<T> {
    pub(super) given: Vec<T>,
    pub(super) complete: bool,
}

impl<T> Answers<T> {
    pub(super) fn sort(all: Vec<Result<T, AskError>>) -> Self {
        let mut answers = Self { given: Vec::new(), complete: true };
        for answer in all {
            match answer {
                Ok(answer) => answers.given.push(answer),
                Err(error) => {
                    console::complaint(&format!("error: {}", ErrorChain(&error)));
                    answers.complete = false;
                }
            }
        }
        answers
    }

    pub(super) const fn code(&self) -> ExitCode {
        if self.complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

async fn status(asking: &Asking, from: Source) -> Result<ExitCode, String> {
    let lines = asking.lines(from).await?;
    let answers =
        Answers::<Status>::sort(futures::future::join_all(lines.iter().map(|line| line.get("/status"))).await);
    asking.print(&answers.given, |all| status_text(all));
    Ok(answers.code())
}

async fn runs(asking: &Asking, from: Source) -> Result<ExitCode, String> {
    let lines = asking.lines(from).await?;
    let asked = futures::future::join_all(lines.iter().map(|line| line.get::<Vec<RunSeen>>("/runs"))).await;
    let answers = Answers::sort(asked);
    let mut runs: Vec<RunSeen> = answers.given.iter().flatten().cloned().collect();
    runs.sort_by_key(|run| run.since);
    asking.print(&runs, |runs| runs_table(runs, Timestamp::now()));
    Ok(answers.code())
}

async fn cordon(asking: &Asking, from: Source, path: &str) -> Result<ExitCode, String> {
    let lines = asking.lines(from).await?;
    let asked = futures::future::join_all(lines.iter().map(|line| line.post::<Cordoned>(path, &()))).await;
    let answers = Answers::sort(asked);
    let said = |it: &Cordoned| {
        let what = if it.cordoned { "takes no new runs" } else { "takes runs" };
        let since = if it.changed { "from now on" } else { "as before" };
        format!("{} {what} {since}", it.daemon)
    };
    asking.print(&answers.given, |all| all.iter().map(said).collect::<Vec<_>>().join("\n"));
    Ok(answers.code())
}

async fn why(one: &OneRun, from: Source) -> Result<ExitCode, String> {
    let told = operator::why(&one.asking.lines(from).await?, &one.run).await?;
    one.asking.print(&told, |why| why_text(why, Timestamp::now()));
    Ok(ExitCode::SUCCESS)
}

async fn cancel(one: &OneRun, from: Source) -> Result<ExitCode, String> {
    let done = operator::cancel(&one.asking.lines(from).await?, &one.run).await?;
    one.asking.print(&done, cancelled);
    Ok(if done.took() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
