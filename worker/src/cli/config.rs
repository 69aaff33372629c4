//! `worker config`: the settings in force.

use std::process::ExitCode;

use clap::Subcommand;
use worker_config::Effective;

use super::settings::Source;
use crate::console;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print each setting in force, its value (secrets masked) and where it came from
    Show {
        /// Only those that something has set
        #[arg(long)]
        set: bool,
    },
    /// Check all settings and files, and print everything that is wrong with them
    Check,
}

pub(super) fn run(command: &ConfigCommand, from: Source) -> ExitCode {
    let loaded = match from.load(Vec::new()) {
        Ok((loaded, _)) => loaded,
        Err(errors) => {
            errors.complain();
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        console::complaint(&format!("warning: {warning}"));
    }
    match command {
        ConfigCommand::Check => console::line("The settings are valid."),
        ConfigCommand::Show { set } => {
            loaded.report().iter().filter(|setting| !*set || setting.origin.is_set()).for_each(show);
        }
    }
    ExitCode::SUCCESS
}

fn show(setting: &Effective) {
    let value = setting.value.as_deref().unwrap_or("(unset)");
    let name = setting.variable.as_ref().unwrap_or(&setting.key);
    console::line(&format!("{name} = {value}    # {} ({})", setting.key, setting.origin));
}
