//! Observing the Jobs of other workers.

use std::time::Duration;

use infra_contract::{InfraPlugin as _, Observation, Observed};
use kubernetes_api::{Failure, PodState, Verb};
use serde_json::{Value, json};
use uuid::Uuid;
use worker_core::ids::RunId;

use crate::support::clock::FastClock;
use crate::support::scripted::{Observing, Scripted, plain};

const FAILED: &str = "No active or succeeded pods found for any job";
const DELETED: &str = "Kubernetes job was deleted";

/// The ids, times and names of the events of a run.
fn events(seen: &[Observed], run: Uuid) -> Vec<(Uuid, String)> {
    let ours = seen.iter().filter(|seen| seen.run == RunId(run));
    let events = ours.filter_map(|seen| match &seen.observation {
        Observation::Occurred { occurrence, .. } => Some((occurrence.id, occurrence.event.clone())),
        Observation::Waiting(_) | Observation::Diagnosis { .. } | Observation::Ended { .. } => None,
    });
    events.collect()
}

fn ends(seen: &[Observed], run: Uuid) -> Vec<(String, String)> {
    let ours = seen.iter().filter(|seen| seen.run == RunId(run));
    let ends = ours.filter_map(|seen| match &seen.observation {
        Observation::Ended { infrastructure, message, .. } => Some((infrastructure.clone(), message.clone())),
        Observation::Waiting(_) | Observation::Diagnosis { .. } | Observation::Occurred { .. } => None,
    });
    ends.collect()
}

fn number(seen: &[Observed], run: Uuid, is: impl Fn(&Observation) -> bool) -> usize {
    seen.iter().filter(|seen| seen.run == RunId(run) && is(&seen.observation)).count()
}

fn is_waiting(observation: &Observation) -> bool {
    matches!(observation, Observation::Waiting(_))
}

fn is_diagnosis(observation: &Observation) -> bool {
    matches!(observation, Observation::Diagnosis { .. })
}

#[tokio::test]
async fn c112_events_keep_their_ids_across_restarts_and_come_once() {
    let clock = FastClock::start();
    let bench = Scripted::new().await;
    let run = Uuid::new_v4();
    let mut observing = Observing::begin(&bench.plugin);
    bench.put_foreign_job("default", "theirs", run, &json!({}));
    let pod = bench.api.pod_of("theirs").await;
    observing.until("it is pending", |seen| events(seen, run).len() == 1).await;
    bench.api.set_pod(&pod, &PodState::Running);
    observing.until("it runs", |seen| events(seen, run).len() == 2).await;
    for _ in 0..3 {
        bench.api.faults().replay_old_events();
        bench.api.faults().drop_watches();
        clock.pass(Duration::from_secs(10)).await;
    }
    bench.api.set_pod(&pod, &PodState::Succeeded);
    observing.until("it succeeded", |seen| events(seen, run).len() == 3).await;
    let told = events(&observing.seen, run);
    let names: Vec<&str> = told.iter().map(|(_, name)| name.as_str()).collect();
    let of = |phase: &str| format!("prefect.kubernetes.pod.{phase}");
    assert_eq!(names, [of("pending"), of("running"), of("succeeded")]);
    assert_eq!(number(&observing.seen, run, is_waiting), 1, "c113: once");

    let later = bench.restarted();
    let mut observing = Observing::begin(&later);
    observing.until("it is told again", |seen| !events(seen, run).is_empty()).await;
    assert_eq!(events(&observing.seen, run), told[2..], "the same event has the same id");
    let old = |observation: &Observation| matches!(observation, Observation::Occurred { is_old: true, .. });
    assert_eq!(number(&observing.seen, run, old), 1, "who hears it asks whether it was told");
}

#[tokio::test]
async fn c115_a_diagnosis_is_told_once_for_each_change() {
    let clock = FastClock::start();
    let bench = Scripted::new().await;
    let run = Uuid::new_v4();
    let mut observing = Observing::begin(&bench.plugin);
    bench.put_foreign_job("default", "theirs", run, &json!({}));
    let pod = bench.api.pod_of("theirs").await;
    let no_room = PodState::Unschedulable { message: "0/1 nodes are available: 1 Insufficient cpu.".to_owned() };
    bench.api.set_pod(&pod, &no_room);
    observing.until("no room", |seen| number(seen, run, is_diagnosis) == 1).await;
    for _ in 0..3 {
        bench.api.faults().replay_old_events();
        bench.api.faults().eof_watches();
        clock.pass(Duration::from_secs(10)).await;
    }
    bench.api.set_pod(&pod, &PodState::pending("ImagePullBackOff"));
    observing.until("no image", |seen| number(seen, run, is_diagnosis) == 2).await;
    assert_eq!(number(&observing.seen, run, is_waiting), 1);
}

#[tokio::test]
async fn c114_a_job_that_failed_or_was_deleted_is_told_once_in_prefects_words() {
    let clock = FastClock::start();
    let bench = Scripted::new().await;
    let (failed, deleted, well, last) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let mut observing = Observing::begin(&bench.plugin);
    for (name, run) in [("failed", failed), ("deleted", deleted), ("well", well)] {
        bench.put_foreign_job("flows", name, run, &json!({}));
        let pod = bench.api.pod_of(name).await;
        bench.api.set_pod(&pod, &PodState::Running);
    }
    observing.until("all run", |seen| [failed, deleted, well].iter().all(|run| !events(seen, *run).is_empty())).await;
    // The server does not answer at first.
    bench.api.faults().fail_next(Verb::Get, "jobs", 4, Failure::new(503, "ServiceUnavailable", "away"));
    bench.api.set_pod(&bench.api.pods_of("failed")[0], &PodState::failed(1));
    bench.api.set_pod(&bench.api.pods_of("well")[0], &PodState::Succeeded);
    bench.api.remove("jobs", "deleted");
    bench.api.delete_pod_object(&bench.api.pods_of("deleted")[0]);
    observing.until("both ended", |seen| !ends(seen, failed).is_empty() && !ends(seen, deleted).is_empty()).await;
    bench.api.remove("jobs", "well");
    bench.api.faults().replay_old_events();
    bench.api.faults().drop_watches();
    clock.pass(Duration::from_secs(30)).await;
    bench.put_foreign_job("flows", "last", last, &json!({}));
    observing.until("the last one", |seen| !events(seen, last).is_empty()).await;
    assert_eq!(ends(&observing.seen, failed), [("flows:failed".to_owned(), FAILED.to_owned())]);
    assert_eq!(ends(&observing.seen, deleted), [("flows:deleted".to_owned(), DELETED.to_owned())]);
    assert_eq!(ends(&observing.seen, well), []);
}

#[tokio::test]
async fn c114_a_job_with_retries_left_has_not_ended() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (run, last) = (Uuid::new_v4(), Uuid::new_v4());
    let mut observing = Observing::begin(&bench.plugin);
    bench.put_foreign_job("flows", "retrying", run, &json!({}));
    bench.api.edit("jobs", "retrying", |job| job["spec"]["backoffLimit"] = json!(2));
    let pod = bench.api.pod_of("retrying").await;
    bench.api.set_pod(&pod, &PodState::failed(1));
    observing
        .until("it failed", |seen| {
            events(seen, run).iter().any(|(_, name)| name.ends_with("failed") || name.ends_with("evicted"))
        })
        .await;
    bench.put_foreign_job("flows", "last", last, &json!({}));
    observing.until("the last one", |seen| !events(seen, last).is_empty()).await;
    assert_eq!(ends(&observing.seen, run), []);
}

#[tokio::test]
async fn own_jobs_are_left_out_and_so_is_what_the_filters_do_not_mean() {
    let _clock = FastClock::start();
    let bench = Scripted::with(|settings| infra_kubernetes::KubernetesSettings {
        label_filters: [("team".to_owned(), "blue".to_owned())].into(),
        ..settings
    })
    .await;
    let (red, blue) = (Uuid::new_v4(), Uuid::new_v4());
    let mut observing = Observing::begin(&bench.plugin);
    let own = bench.launch(&plain()).await.unwrap();
    bench.put_foreign_job("default", "red", red, &json!({"team": "red"}));
    bench.put_foreign_job("default", "blue", blue, &json!({"team": "blue"}));
    observing.until("blue is there", |seen| !events(seen, blue).is_empty()).await;
    assert!(observing.seen.iter().all(|seen| seen.run == RunId(blue)), "{:#?}", observing.seen);
    // What is launched here is watched all the same.
    let mut watched = bench.watch(own).await;
    let pod = bench.api.pod_of(watched.job()).await;
    bench.api.set_pod(&pod, &PodState::Succeeded);
    assert!(watched.end().await.exit.is_success());
}

#[tokio::test]
async fn namespaces_that_are_asked_for_are_observed_and_no_others() {
    let _clock = FastClock::start();
    let bench = Scripted::with(|settings| infra_kubernetes::KubernetesSettings {
        namespaces: vec!["one".to_owned(), "two".to_owned()],
        ..settings
    })
    .await;
    let runs: Vec<Uuid> = (0..3).map(|_| Uuid::new_v4()).collect();
    let mut observing = Observing::begin(&bench.plugin);
    for (namespace, run) in [("three", runs[2]), ("one", runs[0]), ("two", runs[1])] {
        bench.put_foreign_job(namespace, namespace, run, &json!({}));
    }
    observing.until("both", |seen| !events(seen, runs[0]).is_empty() && !events(seen, runs[1]).is_empty()).await;
    assert!(events(&observing.seen, runs[2]).is_empty());
    let paths: Vec<String> = bench.api.requests().iter().map(|request| request.path.clone()).collect();
    assert!(paths.iter().all(|path| path.contains("/namespaces/")), "{paths:#?}");
}

#[tokio::test]
async fn without_the_right_to_all_namespaces_those_with_runs_are_watched() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    for resource in ["jobs", "pods"] {
        let denied = Failure::new(
            403,
            "Forbidden",
            "jobs.batch is forbidden: User \"u\" cannot list resource at the cluster scope",
        );
        bench.api.faults().fail_next(Verb::List, resource, 1, denied);
    }
    let (mut watched, pod) = bench.start_running(&plain()).await;
    let run = Uuid::new_v4();
    let mut observing = Observing::begin(&bench.plugin);
    bench.put_foreign_job("default", "theirs", run, &json!({}));
    observing.until("theirs is there", |seen| !events(seen, run).is_empty()).await;
    bench.api.set_pod(&pod, &PodState::Succeeded);
    assert!(watched.end().await.exit.is_success());
    let watches = bench.api.requests().into_iter().filter(|request| request.verb == Verb::Watch);
    assert!(watches.into_iter().all(|watch| watch.path.contains("/namespaces/default/")));
}

#[tokio::test]
async fn c114_has_other_tells_whether_anything_of_a_run_goes_on() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.launch(&plain()).await.unwrap();
    let observer = bench.plugin.observer().unwrap();
    let run = Uuid::new_v4();
    assert!(!observer.has_other(RunId(run)).await.unwrap());
    bench.put_foreign_job("default", "first", run, &json!({}));
    assert!(observer.has_other(RunId(run)).await.unwrap(), "it is new, or active");
    let pod = bench.api.pod_of("first").await;
    bench.api.set_pod(&pod, &PodState::failed(1));
    assert!(!observer.has_other(RunId(run)).await.unwrap());
    bench.put_foreign_job("default", "second", run, &json!({}));
    let pod = bench.api.pod_of("second").await;
    assert!(observer.has_other(RunId(run)).await.unwrap());
    bench.api.set_pod(&pod, &PodState::Succeeded);
    assert!(observer.has_other(RunId(run)).await.unwrap(), "it succeeded");
    bench.api.faults().fail_next(Verb::List, "jobs", 1, Failure::new(500, "InternalError", "no"));
    assert!(observer.has_other(RunId(run)).await.is_err(), "what cannot be asked is not denied");
}

#[tokio::test]
async fn c116_the_last_output_of_a_crashed_pod_is_read() {
    let bench = Scripted::new().await;
    bench.put_foreign_job("default", "theirs", Uuid::new_v4(), &Value::Null);
    let pod = bench.api.pod_of("theirs").await;
    bench.api.set_log(&pod, crate::support::scripted::FLOW, "one\ntwo\n");
    bench.api.set_pod(&pod, &PodState::failed(1));
    let observer = bench.plugin.observer().unwrap();
    let lines = observer.last_output("default:theirs").await.unwrap();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
}
