//! `worker init`.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use url::Url;
use worker_config::{KEYS, PrefectSettings};

use super::asking::{ask, somebody_is_there};
use super::new_file;
use super::settings::{self, Source};
use crate::registry::KINDS;

/// The address of a server that somebody has just started on this machine.
const LOCAL_SERVER: &str = "http://127.0.0.1:4200/api";
/// Prefect's own file of settings, read in the directory in which a program is started.
const PREFECT_TOML: &str = "prefect.toml";

#[expect(clippy::doc_markdown, reason = "the text is the help, where backticks would be shown")]
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Address of the API; goes to prefect.toml beside the file, unless Prefect's settings have it already
    #[arg(long, value_name = "URL", value_parser = api_url)]
    api_url: Option<Url>,
    /// Work pool to take runs from
    #[arg(long, short = 'p', value_name = "NAME")]
    pool: Option<String>,
    /// Kind of infrastructure [default: process]
    #[arg(long = "type", short = 't', value_name = "TYPE", value_parser = PossibleValuesParser::new(KINDS))]
    kind: Option<String>,
    /// Most runs at the same time [default: no limit]
    #[arg(long, short = 'l', value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Python that runs the flows [default: that of VIRTUAL_ENV, else python3]
    #[arg(long, value_name = "PATH")]
    python: Option<String>,
    /// File to write
    #[arg(long, short = 'f', value_name = "FILE", default_value = "worker.toml")]
    file: Utf8PathBuf,
    /// Ask nothing: what no flag says is left at its default
    #[arg(long, short = 'y')]
    yes: bool,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

fn api_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; expected something like {LOCAL_SERVER}"))?;
    match url.scheme() {
        "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
        "http" | "https" => Err("leave user and password out: they belong into PREFECT_API_AUTH_STRING".to_owned()),
        _ => Err(format!("it starts with http:// or https://, like {LOCAL_SERVER}")),
    }
}

/// What the files are to say.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    /// Only if Prefect's settings do not have it already.
    api_url: Option<String>,
    pool: String,
    kind: String,
    limit: Option<NonZeroUsize>,
    python: Option<String>,
}

pub(super) fn run(args: InitArgs, from: Source) -> ExitCode {
    settings::ended(init(args, from))
}

fn init(args: InitArgs, from: Source) -> Result<String, String> {
    let (loaded, _) = from.load_or_complain(Vec::new())?;
    let (file, force) = (args.file.clone(), args.force);
    if !force && file.exists() {
        return Err(format!("{file} exists. Name another file with --file, or replace it with --force"));
    }
    let answers = answers(args, &loaded.settings.prefect)?;
    let mut written = vec![file.to_string()];
    if let Some(url) = &answers.api_url {
        let beside = file.parent().unwrap_or(Utf8Path::new("")).join(PREFECT_TOML);
        new_file::write(&beside, &prefect_toml(url), force).map_err(|text| {
            format!("{text}. Or say the API's address there, or in PREFECT_API_URL, and leave --api-url out")
        })?;
        written.insert(0, beside.to_string());
    }
    new_file::write(&file, &worker_toml(&answers), force)?;
    let config = if file == "worker.toml" { String::new() } else { format!(" --config {file}") };
    Ok(format!(
        "Wrote {}. Next:\n  worker doctor{config}    # whether all is well\n  worker start{config}     # take runs",
        written.join(" and ")
    ))
}

fn answers(args: InitArgs, prefect: &PrefectSettings) -> Result<Answers, String> {
    let asks = !args.yes && somebody_is_there();
    if !asks && !args.yes && args.pool.is_none() {
        return Err(
            "there is no terminal to ask at. Say --pool NAME, and what else is to differ from its default, or --yes"
                .to_owned(),
        );
    }
    let question = |given: Option<String>, text: &str| given.or_else(|| asks.then(|| ask(text))?);
    let known = prefect.api.url.as_ref().map(|url| url.as_url().clone());
    let api_url = match (args.api_url, &known) {
        (Some(url), Some(known)) if url == *known => None,
        (Some(url), _) => Some(url),
        (None, Some(_)) => None,
        (None, None) => {
            let text = question(None, &format!("Address of the API? [{LOCAL_SERVER}]"));
            Some(api_url(text.as_deref().unwrap_or(LOCAL_SERVER))?)
        }
    };
    let pool = question(args.pool, "What work pool should this worker take runs from?");
    let pool = pool.ok_or("no work pool is given. Say --pool NAME")?;
    let kind = question(args.kind, &format!("Kind of infrastructure: {}? [process]", KINDS.join(", ")));
    let kind = kind.unwrap_or_else(|| "process".to_owned());
    if !KINDS.contains(&kind.as_str()) {
        return Err(format!("there is no kind '{kind}'. This build executes: {}", KINDS.join(", ")));
    }
    let limit = match args.limit {
        Some(limit) => Some(limit),
        None => question(None, "Most runs at the same time? [no limit]").map(|text| number(&text)).transpose()?,
    };
    let python = if kind == "process" {
        question(args.python, "Python that runs the flows? [that of VIRTUAL_ENV, else python3]")
    } else {
        args.python
    };
    Ok(Answers { api_url: api_url.map(|url| url.to_string()), pool, kind, limit, python })
}

fn number(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number of runs: it is a whole number of at least one"))
}

fn prefect_toml(api_url: &str) -> String {
    format!(
        "# Settings of Prefect, made by `worker init`. Every Prefect program that is started in this directory reads them.\n\
         # Credentials do not belong here: put them into the environment (PREFECT_API_KEY, PREFECT_API_AUTH_STRING) or a profile.\n\
         \n[api]\nurl = {}\n",
        text(api_url)
    )
}

fn worker_toml(answers: &Answers) -> String {
    let mut out = "# Settings of the worker, made by `worker init`. `worker config show` lists all that there are.\n\
                   # The address of the API and its credentials are settings of Prefect: PREFECT_API_URL and so on, a profile, or\n\
                   # prefect.toml.\n\n\
                   # One table for each work pool.\n[[pool]]\n"
        .to_owned();
    let _infallible = writeln!(out, "name = {}", text(&answers.pool));
    setting(&mut out, "start.type", "type", Some(text(&answers.kind)));
    setting(&mut out, "start.limit", "limit", answers.limit.map(|limit| limit.to_string()));
    out.push_str("\n[process]\n");
    setting(&mut out, "process.python", "python", answers.python.as_deref().map(text));
    out
}

/// A setting with what it does above it; commented out if it is left at its default.
fn setting(out: &mut String, key: &str, name: &str, value: Option<String>) {
    let Some(known) = KEYS.iter().find(|known| known.dotted == key) else { return };
    let _infallible = match value {
        Some(value) => writeln!(out, "# {}\n{name} = {value}", known.doc),
        None => writeln!(out, "# {}\n# {name} = {}", known.doc, known.example),
    };
}

/// A text as TOML has it, which takes JSON's.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}
