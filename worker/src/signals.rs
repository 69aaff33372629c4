//! The signals that a worker listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. They are taken over even if the process was started with one of them ignored, as background jobs
/// of scripts are.
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take_over() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one and gives its name. Cancel safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// SIGHUP, which would end a process that does not take it over. It is, also where the process was started with it ignored.
pub struct ReloadSignal(Signal);

impl ReloadSignal {
    /// Takes the signal over.
    ///
    /// # Errors
    /// The system refuses.
    pub fn take_over() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one. Cancel safe.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
