//! Ending runs while the cluster does not do as it is told.

use std::time::Duration;

use infra_contract::{InfraPlugin as _, Killed};
use kubernetes_api::{Api, PodState, Verb};
use worker_core::machine::KillIntent;

use crate::support::clock::FastClock;
use crate::support::scripted::{Scripted, plain};
use crate::support::with_manifest;

const GRACE: Duration = Duration::from_secs(30);

fn deletions(api: &Api) -> Vec<serde_json::Value> {
    let deletions = api.requests().into_iter().filter(|request| request.verb == Verb::Delete);
    deletions.map(|request| serde_json::from_str(&request.body).unwrap_or_default()).collect()
}

async fn nothing_is_left(api: &Api) {
    let is_gone = |api: &Api| (api.list("pods").is_empty() && api.list("jobs").is_empty()).then_some(());
    api.until("nothing is left", is_gone).await;
}

#[tokio::test]
async fn c110_a_kill_gives_the_grace_and_waits_for_the_pod() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, _) = bench.start_running(&plain()).await;
    bench.api.auto_kubelet(Some(Duration::from_secs(1)));
    let killed = bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await.unwrap();
    assert_eq!(killed, Killed::Gracefully);
    let of_job = &deletions(&bench.api)[0];
    assert_eq!((&of_job["gracePeriodSeconds"], &of_job["propagationPolicy"]), (&30.into(), &"Foreground".into()));
    let detail: serde_json::Value = watched.handle.detail.read().unwrap();
    assert_eq!(of_job["preconditions"]["uid"], detail["uid"]);
    nothing_is_left(&bench.api).await;
    watched.end().await;
    assert_eq!(bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await.unwrap(), Killed::AlreadyGone);
}

#[tokio::test]
async fn two_kills_at_once_both_succeed() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (watched, _) = bench.start_running(&plain()).await;
    bench.api.auto_kubelet(Some(Duration::from_secs(1)));
    let (one, other) = tokio::join!(
        bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE),
        bench.plugin.kill(&watched.handle, KillIntent::Force, GRACE),
    );
    one.unwrap();
    other.unwrap();
    nothing_is_left(&bench.api).await;
}

#[tokio::test]
async fn a_pod_that_does_not_go_away_is_removed_in_the_end() {
    let _clock = FastClock::start();
    for (intent, least, most) in [(KillIntent::Cancel, 30, 100), (KillIntent::Force, 1, 30)] {
        let bench = Scripted::new().await;
        let (watched, pod) = bench.start_running(&plain()).await;
        let began = tokio::time::Instant::now();
        let killed = bench.plugin.kill(&watched.handle, intent, GRACE).await.unwrap();
        assert_eq!(killed, Killed::Forcibly);
        let taken = began.elapsed().as_secs();
        assert!((least..most).contains(&taken), "{intent:?}: {taken}");
        assert_eq!(deletions(&bench.api).last().unwrap()["gracePeriodSeconds"], 0);
        assert!(bench.api.get("pods", &pod).is_none());
        nothing_is_left(&bench.api).await;
    }
}

#[tokio::test]
async fn a_kill_while_the_server_is_away_fails_and_succeeds_later() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, _) = bench.start_running(&plain()).await;
    bench.api.faults().down(true);
    let error = bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await.unwrap_err();
    assert_eq!(error.class, infra_contract::ErrorClass::Transient);
    assert_eq!(watched.seen().end, None);
    bench.api.faults().down(false);
    bench.api.auto_kubelet(Some(Duration::from_secs(1)));
    bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await.unwrap();
    nothing_is_left(&bench.api).await;
    watched.end().await;
}

#[tokio::test]
async fn a_kill_whose_replies_are_lost_can_be_asked_again() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, _) = bench.start_running(&plain()).await;
    bench.api.auto_kubelet(Some(Duration::from_secs(1)));
    bench.api.faults().lose_replies(Verb::Delete, "jobs", 1);
    let first = bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await;
    assert!(first.is_err());
    bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await.unwrap();
    nothing_is_left(&bench.api).await;
    watched.end().await;
}

#[tokio::test]
async fn a_job_whose_pods_are_gone_is_removed_all_the_same() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let spec = with_manifest(plain(), |job| job["spec"]["backoffLimit"] = 6.into());
    let (mut watched, pod) = bench.start_running(&spec).await;
    bench.api.job_controller(false);
    bench.api.delete_pod_object(&pod);
    bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await.unwrap();
    nothing_is_left(&bench.api).await;
    watched.end().await;
}

#[tokio::test]
async fn a_run_that_is_over_is_not_killed() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.set_pod(&pod, &PodState::Succeeded);
    let killed = bench.plugin.kill(&watched.handle, KillIntent::Cancel, GRACE).await.unwrap();
    assert_eq!(killed, Killed::AlreadyGone);
    assert_eq!(watched.end().await.exit, worker_core::exit::Exit::Code(0));
}

#[tokio::test]
async fn a_job_that_was_made_anew_under_the_name_is_left_alone() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (watched, pod) = bench.start_running(&plain()).await;
    let job = watched.job().to_owned();
    let old = bench.api.get("jobs", &job).unwrap();
    bench.api.remove("jobs", &job);
    bench.api.delete_pod_object(&pod);
    bench.api.put("jobs", "default", &job, serde_json::json!({"metadata": old["metadata"], "spec": old["spec"]}));
    let next = bench.api.pod_of(&job).await;
    bench.api.set_pod(&next, &PodState::Running);
    let killed = bench.plugin.kill(&watched.handle, KillIntent::Force, GRACE).await.unwrap();
    assert_eq!(killed, Killed::AlreadyGone);
    bench.plugin.cleanup(&watched.handle).await.unwrap();
    assert!(bench.api.get("jobs", &job).is_some() && bench.api.get("pods", &next).is_some());
}
