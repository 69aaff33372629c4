//! Finding out how a container ended.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bollard::models::ContainerInspectResponse;
use infra_contract::masking;
use infra_contract::quote::{self, QUOTED_LINES};
use jiff::Timestamp;
use worker_core::exit::{Exit, ExitReport};

use crate::ending::{self, Surroundings, judge};
use crate::engine::Engine;
use crate::error::DockerError;
use crate::handle::Container;
use crate::secrets;
use crate::stopped::Stopped;

/// When this host was started.
static BOOT: LazyLock<Option<Timestamp>> = LazyLock::new(|| {
    let stat = fs_err::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Timestamp::from_second(seconds.trim().parse().ok()?).ok()
});

/// The question how a container ended.
pub(crate) struct Inquest<'i> {
    pub(crate) engine: &'i Engine,
    pub(crate) container: &'i Container,
    pub(crate) stopped: &'i Stopped,
}

impl Inquest<'_> {
    /// What the engine knows, and the last words of the container if it failed.
    pub(crate) async fn report(
        &self,
        found: Option<&ContainerInspectResponse>,
        waited: Option<i64>,
    ) -> Result<ExitReport, DockerError> {
        let was_stopped = self.stopped.has(&self.container.id);
        let state = found.and_then(|found| found.state.as_ref());
        let code = waited.or_else(|| state?.exit_code);
        if code.is_some_and(|code| ending::may_be_the_engines_doing(code, was_stopped)) {
            // An engine that goes away ends its containers first, and answers no new question.
            self.engine.is_there().await;
        }
        let around = Surroundings {
            waited,
            was_stopped,
            engine_away: self.engine.loss.last(),
            boot: BOOT.filter(|_| self.engine.endpoint.is_local()),
            memory_limit: found.and_then(|found| found.host_config.as_ref()?.memory),
        };
        let mut report = judge(state, &around);
        if let Some(found) = found
            && !matches!(report.exit, Exit::Code(0) | Exit::NodeLost)
            && !was_stopped
        {
            report.detail = joined(report.detail, self.last_words(found).await);
        }
        Ok(report)
    }

    /// The last lines of standard error, without the secrets of the run. That they cannot be read changes nothing.
    async fn last_words(&self, found: &ContainerInspectResponse) -> Option<String> {
        let words = self.engine.last_lines(&self.container.id, QUOTED_LINES).await.ok()?;
        let mut words = masking::without_secrets(&words, &environment_of(found));
        if self.container.marks.has_secrets {
            let script = self.engine.file(&self.container.id, &secrets::script_path()).await.ok()??;
            words = masking::without(&words, secrets::variables_of(&script).values().map(String::as_str));
        }
        quote::of_stderr(&words)
    }
}

fn environment_of(found: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let environment = found.config.iter().flat_map(|config| config.env.iter().flatten());
    environment
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn joined(detail: Option<String>, words: Option<String>) -> Option<String> {
    match (detail, words) {
        (Some(detail), Some(words)) => Some(format!("{detail}; {words}")),
        (detail, words) => detail.or(words),
    }
}
