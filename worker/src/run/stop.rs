//! Stopping infrastructure.

use std::time::Duration;

use infra_contract::{ErrorClass, Found};
use worker_core::handle::Handle;
use worker_core::machine::{Input, KillIntent};

use super::context::RunContext;
use super::launch::for_people;

const KILL_AGAIN: Duration = Duration::from_secs(2);

/// Stops the infrastructure, and asks again until it is gone or the plugin says that it cannot.
pub(super) async fn kill(cx: &RunContext, handle: &Handle, intent: KillIntent) -> Input {
    let grace = match intent {
        KillIntent::Cancel => cx.around.settings.kill_grace,
        KillIntent::Shutdown => cx.around.settings.shutdown_grace,
        KillIntent::Force => Duration::ZERO,
    };
    loop {
        match cx.around.plugin.kill(handle, intent, grace).await {
            Ok(how) => {
                tracing::debug!(?how, "the infrastructure was stopped");
                return how_it_ended(cx, handle).await;
            }
            Err(error) if error.class == ErrorClass::Unsupported => {
                tracing::warn!("the run cannot be stopped from here: {}", for_people(&error));
                return Input::KillUnsupported;
            }
            Err(error) => tracing::warn!("the infrastructure was not stopped, trying again: {}", for_people(&error)),
        }
        tokio::time::sleep(KILL_AGAIN).await;
    }
}

/// The exit is part of the report, and what the engine concluded decides about it, so it is asked for.
async fn how_it_ended(cx: &RunContext, handle: &Handle) -> Input {
    match cx.around.plugin.reattach(handle).await {
        Ok(Found::Exited(report)) => Input::Exited(report),
        Ok(Found::Running | Found::Gone) | Err(_) => Input::Killed,
    }
}
