//! `worker template`.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Args;
use clap::builder::PossibleValuesParser;
use worker_core::handle::PluginKind;

use super::daemon_plan::plugin_settings;
use super::new_file;
use super::settings::{self, Source};
use crate::registry::{KINDS, Registry};

#[derive(Debug, Args)]
pub(super) struct TemplateArgs {
    /// The kind of infrastructure
    #[arg(value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS))]
    kind: String,
    /// Write it to this file instead of standard output
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<Utf8PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "file")]
    force: bool,
}

pub(super) fn run(args: &TemplateArgs, from: Source) -> ExitCode {
    settings::ended(template(args, from))
}

fn template(args: &TemplateArgs, from: Source) -> Result<String, String> {
    let (loaded, surroundings) = from.load_or_complain(Vec::new())?;
    let registry = Registry::new(plugin_settings(&loaded.settings, &surroundings.variables)?);
    let registered = registry.plugin(&PluginKind::new(args.kind.as_str()));
    let plugin = registered.ok_or_else(|| format!("this worker has no kind '{}'", args.kind))?.plugin;
    let template = serde_json::to_string_pretty(plugin.base_job_template().as_json());
    let template = template.map_err(|error| format!("the template is no JSON: {error}"))?;
    let Some(file) = &args.file else { return Ok(template) };
    new_file::write(file, &format!("{template}\n"), args.force)?;
    Ok(format!("Wrote {file}"))
}
