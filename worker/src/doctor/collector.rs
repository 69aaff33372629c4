//! The collector that traces of runs are sent to.

use std::time::Duration;

use worker_config::OtlpSettings;

use super::{Check, Found, bounded};
use crate::redaction::KnownSecrets;
use crate::run::ErrorChain;
use crate::traces;

/// On top of what a request may take.
const MORE: Duration = Duration::from_secs(2);

/// Looks at it, without giving it anything. Runs are executed without traces, so nothing here is worse than a warning.
pub async fn look_at_collector(settings: &OtlpSettings) -> Check {
    bounded("traces", settings.timeout + MORE, async { vec![collector(settings).await] }).await
}

async fn collector(settings: &OtlpSettings) -> Found {
    let exporter = match traces::exporter(settings, KnownSecrets::default()) {
        Ok(exporter) => exporter,
        Err(error) => {
            let text = format!("traces of runs cannot be sent: {}", ErrorChain(&error));
            return Found::warning(text, "correct the setting in the section [otlp]");
        }
    };
    match exporter.probe().await {
        Ok(()) => Found::ok(format!("{} takes traces of runs", exporter.target().shown())),
        Err(error) => Found::warning(format!("traces of runs do not arrive: {error}"), error.hint()),
    }
}
