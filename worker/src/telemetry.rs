//! The worker's own log, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use worker_config::LogFormat;

use crate::console::LogWriter;

/// Starts logging. `directives` is a level or a list such as `info,worker=debug`; colours are only used on a
/// terminal.
///
/// # Errors
/// The directives cannot be understood.
pub fn start(directives: &str, format: LogFormat, colors: bool) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(directives)?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LogWriter)
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(terminal && colors);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
        LogFormat::Auto | LogFormat::Human => builder.init(),
    }
    Ok(())
}
