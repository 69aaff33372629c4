//! Watching infrastructure until its end.

use std::time::Duration;

use futures::StreamExt;
use infra_contract::{Found, InfraEvent};
use worker_core::handle::Handle;
use worker_core::machine::Input;

use super::context::RunContext;
use super::launch::for_people;
use super::repeated::Repeated;
use super::report::Told;
use super::started::Started;
use super::waiting;

const WATCH_AGAIN: Duration = Duration::from_secs(2);

/// Watches, forwards output to the worker's own, and answers with the end. A broken watch proves nothing: it is begun
/// again, and only what the source itself says counts.
pub(super) async fn watch(cx: &RunContext, handle: &Handle, told: Option<&Told>, started: &Started) -> Input {
    let (mut broken, mut unknown) = (Repeated::default(), Repeated::default());
    loop {
        match cx.around.plugin.watch(handle).await {
            Ok(mut events) => {
                while let Some(event) = events.next().await {
                    match event {
                        Ok(InfraEvent::Started) => started.note(),
                        Ok(InfraEvent::Output { stream, text }) => cx.around.output.write(stream, text).await,
                        Ok(InfraEvent::LogLine { text, written }) => cx.log().output(text, written),
                        Ok(InfraEvent::Occurred(occurrence)) => {
                            if let Some(told) = told {
                                cx.around.api.emit(told.subject.occurred(*occurrence));
                            }
                        }
                        // Rare, and large: in a box it weighs nothing in the thousands of runs that do not wait.
                        Ok(InfraEvent::Waiting(why)) => Box::pin(waiting::announce(cx, &why)).await,
                        Ok(InfraEvent::Diagnosis { severity, text }) => cx.log().diagnosis(severity, text),
                        Ok(InfraEvent::Exited(report)) => return Input::Exited(report),
                        Err(error) => {
                            cx.metrics().watch_restarted();
                            broken.warn(format!("the watch broke and is begun again: {}", for_people(&error)));
                        }
                    }
                }
            }
            Err(error) => {
                cx.metrics().watch_restarted();
                broken.warn(format!("the infrastructure cannot be watched: {}", for_people(&error)));
            }
        }
        match cx.around.plugin.reattach(handle).await {
            Ok(Found::Exited(report)) => return Input::Exited(report),
            Ok(Found::Gone) => return Input::Gone,
            Ok(Found::Running) => {}
            Err(error) => unknown.warn(format!("cannot tell how the infrastructure is: {}", for_people(&error))),
        }
        tokio::time::sleep(WATCH_AGAIN).await;
    }
}
