//! Cases about preparing, launching and finding.

use worker_core::exit::Exit;

use super::{Behaviour, Fixture, Launched};
use crate::{Found, Unheard};

/// The daemon stores handles of several plugins side by side, and gives each back to the plugin of its kind.
pub async fn the_kind_is_the_handles_kind_and_the_template_has_both_parts(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::ExitsZero).await;
    assert_eq!(launched.handle.kind, launched.plugin.kind());
    let template = launched.plugin.base_job_template().as_json().clone();
    assert!(template.pointer("/job_configuration").is_some_and(serde_json::Value::is_object));
    assert!(template.pointer("/variables/properties").is_some_and(serde_json::Value::is_object));
    launched.discard().await;
}

/// A plan is shown to people who have no intention of running it.
pub async fn preparing_starts_nothing(fixture: &dyn Fixture) {
    let plugin = fixture.plugin();
    let spec = fixture.spec(Behaviour::ExitsZero);
    let plan = plugin.prepare(&spec).await.expect("prepares");
    assert_eq!(plan.key, spec.key);
    assert_eq!(plugin.find(&spec.key).await.expect("answers"), None);
}

/// The plainest run.
pub async fn exit_zero_is_reported(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::ExitsZero).await;
    assert_eq!(launched.exit().await, Exit::Code(0));
    launched.discard().await;
}

/// The exit code arrives as it is.
pub async fn exit_seven_is_reported(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::ExitsSeven).await;
    assert_eq!(launched.exit().await, Exit::Code(7));
    launched.discard().await;
}

/// A launch that is repeated, because its answer was lost, must not execute the flow a second time.
pub async fn launching_twice_with_one_key_is_one_infrastructure(fixture: &dyn Fixture) {
    let plugin = fixture.plugin();
    let plan = plugin.prepare(&fixture.spec(Behaviour::UntilStopped)).await.expect("prepares");
    let (first, second) = tokio::join!(plugin.launch(&plan, &Unheard), plugin.launch(&plan, &Unheard));
    let first = first.expect("launches");
    assert_eq!(first.infra_id, second.expect("is found").infra_id);
    let third = plugin.launch(&plan, &Unheard).await.expect("is found");
    assert_eq!(first.infra_id, third.infra_id);
    let owned = plugin.owned().await.expect("answers");
    assert_eq!(owned.iter().filter(|handle| handle.key == plan.key).count(), 1);
    Launched { plugin, handle: first }.discard().await;
}

/// A launch whose answer was lost is found by what was known before it.
pub async fn what_was_launched_is_found_by_its_key(fixture: &dyn Fixture) {
    let launched = Launched::ready(fixture, Behaviour::UntilStopped).await;
    let found = launched.plugin.find(&launched.handle.key).await.expect("answers").expect("is found");
    assert_eq!(found.infra_id, launched.handle.infra_id);
    assert_eq!(launched.plugin.reattach(&found).await.expect("answers"), Found::Running);
    launched.discard().await;
}
