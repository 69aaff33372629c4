//! The worker's own log, on standard error.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::reload::{self, Handle};
use worker_config::LogFormat;

use crate::console::LogWriter;

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

/// Starts logging. `directives` is a level or a list such as `info,worker=debug`; colours are only used on a
/// terminal.
///
/// # Errors
/// The directives cannot be understood.
pub fn start(directives: &str, format: LogFormat, colors: bool) -> Result<LogLevel, ParseError> {
    let filter = EnvFilter::builder().parse(directives)?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LogWriter)
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(terminal && colors);
    Ok(match format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(true).with_span_list(false);
            let builder = builder.with_filter_reloading();
            let level = LogLevel::of(builder.reload_handle());
            builder.init();
            level
        }
        LogFormat::Auto | LogFormat::Human => {
            let builder = builder.with_filter_reloading();
            let level = LogLevel::of(builder.reload_handle());
            builder.init();
            level
        }
    })
}
