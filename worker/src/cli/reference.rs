//! The reference of the command line in Markdown, made from the commands themselves.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;
use super::exit_codes::{OF_ALL, OF_COMMANDS};

/// `docs/cli.md`.
pub fn cli_md() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = String::from(
        "# Command line\n\n<!-- Made by `cargo run -p worker --example reference`; a test fails when it is out of date. -->\n\n",
    );
    out.push_str(
        "What the daemon does is set by settings ([settings.md](settings.md)); an option that has one names its variable, and \
         beats it. [operating.md](operating.md) and [troubleshooting.md](troubleshooting.md) say which command is for what.\n\n\
         Every command takes:\n\n",
    );
    options(&mut out, root.get_arguments().filter(|argument| argument.is_global_set()));
    exit_codes(&mut out);
    out.push_str("## Commands\n\n| command | |\n|---|---|\n");
    let mut sections = String::new();
    for command in root.get_subcommands().filter(|command| is_shown(command)) {
        section(&mut out, &mut sections, "worker", command);
    }
    out.push('\n');
    out.push_str(&sections);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn exit_codes(out: &mut String) {
    out.push_str("## Exit codes\n\n| code | command | meaning |\n|---|---|---|\n");
    for (code, meaning) in OF_ALL {
        let _infallible = writeln!(out, "| {code} | all | {meaning} |");
    }
    for (command, code, meaning) in OF_COMMANDS {
        let _infallible = writeln!(out, "| {code} | `worker {command}` | {meaning} |");
    }
    out.push_str("\nWhat a command prints goes to standard output, what is wrong to standard error.\n\n");
}

/// Adds a line to the table of commands and a section, for the command and those below it.
fn section(table: &mut String, sections: &mut String, above: &str, command: &Command) {
    let name = format!("{above} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let below: Vec<&Command> = command.get_subcommands().filter(|command| is_shown(command)).collect();
    if below.is_empty() {
        let anchor = name.replace(' ', "-");
        let _infallible = writeln!(table, "| [`{name}`](#{anchor}) | {about} |");
        let _infallible = writeln!(sections, "## {name}\n\n{about}.\n");
        let own: Vec<&Arg> = command.get_arguments().filter(|argument| !argument.is_global_set()).collect();
        if own.iter().any(|argument| is_listed(argument)) {
            options(sections, own.into_iter());
        }
    }
    for command in below {
        section(table, sections, &name, command);
    }
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn is_listed(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_action(), ArgAction::Help | ArgAction::Version)
}

fn options<'a>(out: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    out.push_str("| option | |\n|---|---|\n");
    for argument in arguments.filter(|argument| is_listed(argument)) {
        let _infallible = writeln!(out, "| `{}` | {} |", spelling(argument), meaning(argument).replace('|', "\\|"));
    }
    out.push('\n');
}

/// `-p`, `--pool NAME`.
fn spelling(argument: &Arg) -> String {
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let flags = short.into_iter().chain(long).collect::<Vec<_>>().join("`, `");
    match (flags.is_empty(), takes_value) {
        (true, _) => value,
        (false, true) => format!("{flags} {value}"),
        (false, false) => flags,
    }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let words: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !words.is_empty() && matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
        let _infallible = write!(text, " (one of {})", words.join(", "));
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if !defaults.is_empty() && matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
        let _infallible = write!(text, " [default: {}]", defaults.join(", "));
    }
    if argument.is_required_set() {
        text.push_str(" (required)");
    }
    // Markdown would take it for a tag.
    text.replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
        let written = fs_err::read_to_string(path).unwrap_or_default();
        assert!(written == cli_md(), "docs/cli.md is out of date: run `cargo run -p worker --example reference`");
    }

    #[test]
    fn every_exit_code_is_of_a_command_that_there_is() {
        let mut root = Cli::command();
        root.build();
        for (command, _, _) in OF_COMMANDS {
            let name = command.split_whitespace().next().unwrap();
            assert!(root.find_subcommand(name).is_some(), "{command}");
        }
    }
}
