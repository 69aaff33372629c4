//! The worker's own log, on standard error.

use std::fmt;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::{self, Handle};
use worker_config::LogFormat;

use crate::console::LogWriter;
use crate::redaction::KnownSecrets;

/// The level of the log, which can be changed while it is written.
#[derive(Clone)]
pub struct LogLevel(Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevel").finish_non_exhaustive()
    }
}

impl LogLevel {
    fn of<S: 'static>(handle: Handle<EnvFilter, S>) -> Self {
        Self(Arc::new(move |filter| handle.reload(filter)))
    }

    /// Changes it.
    ///
    /// # Errors
    /// The directives cannot be understood.
    pub fn set(&self, directives: &str) -> Result<(), ParseError> {
        let filter = EnvFilter::builder().parse(directives)?;
        if let Err(error) = (self.0)(filter) {
            tracing::error!("the log level stays as it is: {error}");
        }
        Ok(())
    }
}

/// Starts logging. `directives` is a level or a list such as `info,worker=debug`; colours are only used on a terminal.
/// `journal` is what systemd says of its journal (`JOURNAL_STREAM`). What is logged loses the secrets.
///
/// # Errors
/// The directives cannot be understood.
pub fn start(
    directives: &str,
    format: LogFormat,
    colors: bool,
    journal: Option<&str>,
    secrets: KnownSecrets,
) -> Result<LogLevel, ParseError> {
    let filter = EnvFilter::builder().parse(directives)?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogWriter(secrets.clone()))
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(terminal && colors);
    Ok(match form(format, terminal, journal.is_some_and(is_standard_error)) {
        Form::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(true).with_span_list(false);
            let builder = builder.with_filter_reloading();
            let level = LogLevel::of(builder.reload_handle());
            builder.init();
            level
        }
        Form::Human => {
            let builder = builder.with_filter_reloading();
            let level = LogLevel::of(builder.reload_handle());
            builder.init();
            level
        }
        Form::Journal => {
            // The journal has a time of its own.
            let lines = format::format().with_target(false).with_level(false).with_ansi(false).without_time();
            let builder = builder.event_format(Prioritised(lines)).with_filter_reloading();
            let level = LogLevel::of(builder.reload_handle());
            builder.init();
            level
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Human,
    Json,
    /// For people, with the priority before each line as sd-daemon(3) has it.
    Journal,
}

const fn form(format: LogFormat, is_terminal: bool, is_journal: bool) -> Form {
    match format {
        LogFormat::Auto if is_journal && !is_terminal => Form::Journal,
        LogFormat::Auto if !is_terminal => Form::Json,
        LogFormat::Auto | LogFormat::Human => Form::Human,
        LogFormat::Json => Form::Json,
    }
}

/// Whether the journal that `JOURNAL_STREAM` names, as `DEVICE:INODE`, is what standard error goes to. The variable is
/// inherited, also by who has its standard error elsewhere.
fn is_standard_error(journal: &str) -> bool {
    let ours = std::fs::metadata("/proc/self/fd/2").map(|stream| format!("{}:{}", stream.dev(), stream.ino()));
    ours.is_ok_and(|ours| ours == journal)
}

/// Lines that begin with their priority.
struct Prioritised<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(cx, writer, event)
    }
}

/// The prefix by which the journal knows how important a line is.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_for_people_where_people_read_it_and_for_programs_elsewhere() {
        assert_eq!(form(LogFormat::Auto, true, false), Form::Human);
        assert_eq!(form(LogFormat::Auto, false, true), Form::Journal);
        assert_eq!(form(LogFormat::Auto, false, false), Form::Json);
        assert_eq!(form(LogFormat::Json, true, true), Form::Json);
        assert_eq!(form(LogFormat::Human, false, true), Form::Human);
    }

    #[test]
    fn a_journal_that_is_not_our_standard_error_is_none_of_ours() {
        assert!(!is_standard_error("0:0") && !is_standard_error("") && !is_standard_error("nonsense"));
        let ours = std::fs::metadata("/proc/self/fd/2").unwrap();
        assert!(is_standard_error(&format!("{}:{}", ours.dev(), ours.ino())));
    }
}
