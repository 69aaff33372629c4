//! Starting infrastructure, and finding out whether it was started.

use std::time::Duration;

use async_trait::async_trait;
use infra_contract::{ErrorClass, Found, InfraError, LaunchLog};
use worker_core::handle::Handle;
use worker_core::machine::Input;
use worker_core::spec::Plan;

use super::auditing;
use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::patience::ASK_AGAIN;
use super::prepare::with_hint;
use super::repeated::Repeated;
use super::report::Told;
use super::waiting;
use crate::audit::Event;

/// Pauses between the tries of a launch that failed for a transient reason. A launch is idempotent by its key.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

pub(super) fn for_people(error: &InfraError) -> String {
    with_hint(ErrorChain(error).to_string(), error.hint.as_deref())
}

/// What a launch says goes to the run.
struct Launch<'l>(&'l RunContext);

#[async_trait]
impl LaunchLog for Launch<'_> {
    fn info(&self, text: String) {
        self.0.log().info(text);
    }

    fn warn(&self, text: String) {
        self.0.log().warn(text);
    }

    async fn waiting(&self, why: &str) {
        self.0.glance.waits();
        self.0.log().warn(why);
        waiting::announce(self.0, why).await;
    }
}

/// Starts the infrastructure.
pub(super) async fn launch(cx: &RunContext, plan: &Plan, told: Option<&Told>) -> Input {
    auditing::launching(cx, plan).await;
    let mut pauses = PAUSES.into_iter();
    loop {
        let error = match cx.around.plugin.launch(plan, &Launch(cx)).await {
            Ok(handle) => {
                let entry = auditing::entry(cx, Event::Started).on(Some(&handle.infra_id));
                auditing::add(cx, entry).await;
                return Input::Launched(handle);
            }
            Err(error) => error,
        };
        if let (Some(event), Some(told)) = (error.event, told) {
            cx.around.api.emit(told.subject.failed_launch(event));
        }
        if error.class != ErrorClass::Transient {
            return Input::SubmitFailed(for_people(&error));
        }
        let Some(pause) = pauses.next() else {
            cx.log().warn(format!("The launch did not succeed: {}", for_people(&error)));
            return Input::LaunchUnclear(for_people(&error));
        };
        tracing::warn!("the launch did not succeed, trying again: {}", for_people(&error));
        tokio::time::sleep(pause).await;
    }
}

/// Looks for what an unclear launch left, until the plugin can say.
pub(super) async fn find(cx: &RunContext) -> Input {
    let mut trouble = Repeated::default();
    loop {
        match cx.around.plugin.find(&cx.offer.key).await {
            Ok(found) => return Input::Located(found),
            Err(error) => trouble.warn(format!("cannot tell whether the launch took effect: {}", for_people(&error))),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Asks how the infrastructure is, until the plugin can say.
pub(super) async fn reattach(cx: &RunContext, handle: &Handle) -> Input {
    let mut trouble = Repeated::default();
    loop {
        match cx.around.plugin.reattach(handle).await {
            Ok(Found::Running) => return Input::FoundRunning,
            Ok(Found::Exited(report)) => return Input::Exited(report),
            Ok(Found::Gone) => return Input::Gone,
            Err(error) => trouble.warn(format!("cannot tell how the infrastructure is: {}", for_people(&error))),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
