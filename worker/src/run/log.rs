//! The worker's lines in a run's log.

use central_api_wire::log::LogLine;
use infra_contract::{OutputLine, Severity};
use jiff::Timestamp;
use worker_core::ids::RunId;

use crate::control_plane::ControlPlane;
use crate::timeline::Timelines;

/// The logger under which a worker's lines appear on a run.
const LOGGER: &str = "prefect.flow_runs.worker";

/// The logger under which the output of a run's infrastructure appears.
pub(super) const OUTPUT_LOGGER: &str = "prefect.flow_runs.infrastructure";

/// The logger under which Prefect's own Kubernetes observer says what is wrong with a pod.
pub(super) const DIAGNOSIS_LOGGER: &str = "prefect.flow_runs.observer";

/// Writes lines to the run's log at the API, to the worker's own log, and to the run's timeline.
#[derive(Clone, Copy, Debug)]
pub struct RunLog<'a> {
    api: &'a dyn ControlPlane,
    run: RunId,
    timelines: &'a Timelines,
}

impl<'a> RunLog<'a> {
    pub(super) const fn new(api: &'a dyn ControlPlane, run: RunId, timelines: &'a Timelines) -> Self {
        Self { api, run, timelines }
    }

    /// What an operator would tell a colleague.
    pub(super) fn info(&self, message: impl Into<String>) {
        let message = message.into();
        tracing::info!("{message}");
        self.ship(20, message);
    }

    /// Something that may make the run fail.
    pub(super) fn warn(&self, message: impl Into<String>) {
        let message = message.into();
        tracing::warn!("{message}");
        self.ship(30, message);
    }

    /// Something that failed the run.
    pub(super) fn error(&self, message: impl Into<String>) {
        let message = message.into();
        tracing::error!("{message}");
        self.ship(40, message);
    }

    /// What is wrong with the run's infrastructure.
    pub(super) fn diagnosis(&self, severity: Severity, text: String) {
        let level = match severity {
            Severity::Ok => 20,
            Severity::Warning => 30,
            Severity::Error => 40,
        };
        tracing::warn!("{text}");
        self.timelines.note(self.run, text.clone());
        self.line(DIAGNOSIS_LOGGER, level, text, Timestamp::now());
    }

    /// A line that the run's infrastructure wrote before the run could log anything itself.
    pub(super) fn last_output(&self, line: OutputLine) {
        self.line(OUTPUT_LOGGER, 40, line.text, line.written);
    }

    /// A line that the run's infrastructure wrote. It is no word of the worker: its own log and the timeline do without.
    pub(super) fn output(&self, line: String, written: Timestamp) {
        self.line(OUTPUT_LOGGER, 20, line, written);
    }

    fn ship(&self, level: u8, message: String) {
        self.timelines.note(self.run, message.clone());
        self.line(LOGGER, level, message, Timestamp::now());
    }

    fn line(&self, logger: &str, level: u8, message: String, timestamp: Timestamp) {
        let flow_run_id = Some(self.run);
        self.api.log(LogLine { name: logger.to_owned(), level, message, timestamp, flow_run_id, worker_id: None });
    }
}
