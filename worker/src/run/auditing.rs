//! What the audit log says of a run.

use std::time::Duration;

use worker_core::machine::{CrashCause, Outcome};
use worker_core::policy::Objection;
use worker_core::spec::Plan;

use super::context::RunContext;
use crate::audit::{Entry, Event};

/// Pause between the tries of a line that has to be there.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) fn entry(cx: &RunContext, event: Event) -> Entry {
    Entry {
        time: jiff::Timestamp::now(),
        event,
        worker: cx.around.identity.name.clone(),
        pid: std::process::id(),
        pool: cx.offer.pool.name.clone(),
        kind: cx.around.plugin.kind().as_str().to_owned(),
        flow_run_id: cx.offer.key.run,
        flow_run_name: cx.offer.flow_run.name.clone(),
        deployment_id: cx.offer.flow_run.deployment_id,
        infrastructure: None,
        images: Vec::new(),
        commands_sha256: None,
        rule: None,
        why: None,
    }
}

pub(super) async fn add(cx: &RunContext, entry: Entry) {
    cx.around.audit.add(&entry).await;
}

pub(super) async fn refused(cx: &RunContext, objection: &Objection) {
    let entry = Entry { rule: Some(objection.rule.clone()), ..entry(cx, Event::Refuse).because(&objection.why) };
    add(cx, entry).await;
}

/// What is about to be started. Where the log is required, nothing is started until it says so.
pub(super) async fn launching(cx: &RunContext, plan: &Plan) {
    let entry = entry(cx, Event::Launch).starting(&plan.requested);
    let mut said = false;
    while !cx.around.audit.add(&entry).await && cx.around.audit.is_required() {
        if !std::mem::replace(&mut said, true) {
            cx.log().warn("The worker's audit log cannot be written and is required, so the run waits.");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// How an execution ended, in words that do not change.
pub(super) fn ended(outcome: &Outcome) -> String {
    let (word, code) = match outcome {
        Outcome::Settled(_) => ("settled", outcome.status_code()),
        Outcome::Completed => ("completed", outcome.status_code()),
        Outcome::Failed(_) => ("failed", outcome.status_code()),
        Outcome::Crashed(CrashCause::Policy(_)) => ("refused", None),
        Outcome::Crashed(CrashCause::Submit(_)) => ("not started", None),
        Outcome::Crashed(_) => ("crashed", outcome.status_code()),
        Outcome::Cancelled(_) => ("cancelled", None),
        Outcome::Released => ("put back", None),
    };
    code.map_or_else(|| word.to_owned(), |code| format!("{word} with {code}"))
}
