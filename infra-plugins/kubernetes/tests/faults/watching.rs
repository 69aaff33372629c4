//! Watches that break, lie, stay silent or come late.

use std::time::Duration;

use infra_contract::{Found, InfraPlugin as _};
use jiff::{SignedDuration, Timestamp};
use kubernetes_api::{Failure, PodState, Verb};
use serde_json::json;
use worker_core::exit::Exit;

use crate::support::clock::FastClock;
use crate::support::scripted::{FLOW, Scripted, Watched, plain};
use crate::support::with_fields;

/// Ends a run well and waits for that to be told.
async fn ends_well(bench: &Scripted, watched: &mut Watched, pod: &str) {
    assert_eq!(watched.seen().end, None, "no false end");
    bench.api.set_pod(pod, &PodState::Succeeded);
    assert_eq!(watched.end().await.exit, Exit::Code(0));
}

/// A run that has written its first line, which was passed on.
async fn start_writing(bench: &Scripted) -> (Watched, String) {
    let spec = with_fields(plain(), &json!({"stream_output": true}));
    let (mut watched, pod) = bench.start_running(&spec).await;
    bench.api.append_log(&pod, FLOW, "one\n");
    watched.until("the first line", |seen| seen.output.contains("one")).await;
    (watched, pod)
}

async fn watches_again(bench: &Scripted, watches: usize) {
    bench.api.until_requests(Verb::Watch, "jobs", watches).await;
    bench.api.until_requests(Verb::Watch, "pods", watches).await;
}

#[tokio::test]
async fn c114_a_hundred_dropped_watches_are_no_end() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    for round in 0..100 {
        bench.api.until_watches("jobs", 1).await;
        bench.api.until_watches("pods", 1).await;
        let before = bench.api.count(Verb::Watch, "jobs");
        if round % 2 == 0 {
            bench.api.faults().drop_watches();
        } else {
            bench.api.faults().eof_watches();
        }
        watches_again(&bench, before + 1).await;
    }
    ends_well(&bench, &mut watched, &pod).await;
}

#[tokio::test]
async fn c114_a_failure_during_a_dropped_watch_is_told() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.faults().fail_next(Verb::Watch, "jobs", 3, Failure::new(500, "InternalError", "no"));
    bench.api.faults().fail_next(Verb::Watch, "pods", 3, Failure::new(429, "TooManyRequests", "no"));
    bench.api.faults().drop_watches();
    bench.api.set_pod(&pod, &PodState::failed(7));
    assert_eq!(watched.end().await.exit, Exit::Code(7));
}

#[tokio::test]
async fn a_watch_that_is_refused_for_its_age_is_begun_by_a_list() {
    let _clock = FastClock::start();
    for failure in
        [Failure::new(410, "Expired", "too old resource version"), Failure::new(400, "BadRequest", "resourceVersion")]
    {
        let bench = Scripted::new().await;
        let (mut watched, pod) = bench.start_running(&plain()).await;
        let lists = bench.api.count(Verb::List, "pods");
        bench.api.faults().fail_next(Verb::Watch, "pods", 1, failure.clone());
        bench.api.faults().fail_next(Verb::Watch, "jobs", 1, failure);
        bench.api.faults().drop_watches();
        bench.api.until_requests(Verb::List, "pods", lists + 1).await;
        ends_well(&bench, &mut watched, &pod).await;
    }
}

#[tokio::test]
async fn c114_a_forgotten_history_is_no_end() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    let lists = bench.api.count(Verb::List, "jobs");
    bench.api.faults().gone(3);
    bench.api.compact();
    bench.api.faults().drop_watches();
    bench.api.until_requests(Verb::List, "jobs", lists + 1).await;
    ends_well(&bench, &mut watched, &pod).await;
}

#[tokio::test]
async fn c114_a_silent_watch_is_given_up_and_what_it_missed_is_found() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.faults().silence_watches(true);
    bench.api.set_pod(&pod, &PodState::failed(3));
    // The new watches are silent too, but begin after what happened.
    let began = tokio::time::Instant::now();
    assert_eq!(watched.end().await.exit, Exit::Code(3));
    assert!(began.elapsed() < Duration::from_mins(12), "{:?}", began.elapsed());
}

#[tokio::test]
async fn c114_old_events_that_come_again_are_no_end() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    let job = watched.job().to_owned();
    // A Job that looked failed once: a defect of another controller, or a cache of another age.
    let status = bench.api.get("jobs", &job).unwrap()["status"].clone();
    bench.api.faults().silence_watches(true);
    bench.api.edit("jobs", &job, |job| {
        job["status"]["conditions"] =
            json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}]);
    });
    bench.api.edit("jobs", &job, |job| job["status"] = status);
    bench.api.faults().silence_watches(false);
    for _ in 0..5 {
        bench.api.faults().replay_old_events();
        bench.api.bookmark();
        let Found::Running = bench.plugin.reattach(&watched.handle).await.unwrap() else { panic!("it runs") };
    }
    ends_well(&bench, &mut watched, &pod).await;
}

#[tokio::test]
async fn events_that_come_late_are_in_time() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.faults().delay_events(Duration::from_secs(20));
    let (mut watched, pod) = bench.start_running(&plain()).await;
    ends_well(&bench, &mut watched, &pod).await;
}

#[tokio::test]
async fn long_lists_whose_continuation_expires_are_begun_again() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.job_controller(false);
    for number in 0..1100_u128 {
        bench.put_foreign_job("default", &format!("j{number}"), uuid::Uuid::from_u128(number), &json!({}));
    }
    bench.api.job_controller(true);
    bench.api.job_controller(false);
    let spec = plain();
    let handle = bench.launch(&spec).await.unwrap();
    // The pages are lost between one and the next, at any point.
    let mut watched = bench.watch(handle).await;
    for pages in 1..6 {
        bench.api.until_requests(Verb::List, "jobs", pages).await;
        bench.api.faults().expire_continue();
    }
    let job = watched.job().to_owned();
    bench.api.until_watches("jobs", 1).await;
    bench.api.edit("jobs", &job, |job| {
        job["status"] = json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]});
    });
    assert_eq!(watched.end().await.exit, Exit::Code(0));
}

#[tokio::test]
async fn c114_an_api_server_that_was_away_is_no_end() {
    let clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.faults().down(true);
    clock.pass(Duration::from_mins(5)).await;
    assert!(bench.plugin.reattach(&watched.handle).await.is_err());
    assert_eq!(watched.seen().end, None);
    bench.api.faults().down(false);
    ends_well(&bench, &mut watched, &pod).await;
}

#[tokio::test]
async fn c114_an_end_while_the_api_server_was_away_is_told() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.faults().down(true);
    bench.api.set_pod(&pod, &PodState::OomKilled);
    bench.api.faults().down(false);
    assert_eq!(watched.end().await.exit, Exit::OutOfMemory);
}

#[tokio::test]
async fn c114_a_missed_deletion_is_found_by_the_next_list() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, _) = bench.start_running(&plain()).await;
    let job = watched.job().to_owned();
    bench.api.faults().silence_watches(true);
    bench.api.garbage_collector(true);
    bench.api.remove("jobs", &job);
    bench
        .api
        .until("the pod is gone", |api| {
            api.list("pods").iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_string()).then_some(())
        })
        .await;
    for pod in bench.api.pods_of(&job) {
        bench.api.delete_pod_object(&pod);
    }
    bench.api.compact();
    bench.api.faults().silence_watches(false);
    bench.api.faults().drop_watches();
    let report = watched.end().await;
    assert!(!report.exit.is_success(), "{report:?}");
    assert!(report.detail.as_ref().unwrap().contains("deleted"), "{report:?}");
}

#[tokio::test]
async fn c114_a_failure_is_told_only_once_the_server_says_so() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = bench.start_running(&plain()).await;
    bench.api.faults().fail_next(Verb::Get, "jobs", 20, Failure::new(503, "ServiceUnavailable", "away"));
    bench.api.set_pod(&pod, &PodState::failed(9));
    bench.api.until_requests(Verb::Get, "jobs", 10).await;
    assert_eq!(watched.seen().end, None);
    assert_eq!(watched.end().await.exit, Exit::Code(9));
}

#[tokio::test]
async fn a_log_that_is_followed_on_has_all_that_was_written_late_in_a_second() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let spec = with_fields(plain(), &json!({"stream_output": true}));
    let (mut watched, pod) = bench.start_running(&spec).await;
    let second = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let at = |millis: i64| second + SignedDuration::from_millis(millis);
    bench.api.append_log_at(at(600), &pod, FLOW, "one\n");
    watched.until("the first line", |seen| seen.output.contains("one")).await;
    bench.api.faults().eof_logs();
    bench.api.append_log_at(at(700), &pod, FLOW, "two\n");
    watched.until("the line before the end", |seen| seen.output.contains("two")).await;
    bench.api.append_log_at(at(800), &pod, FLOW, "three\n");
    watched.until("the line after the end", |seen| seen.output.contains("three")).await;
    ends_well(&bench, &mut watched, &pod).await;
    assert_eq!(watched.seen().output, "one\ntwo\nthree\n");
}

#[tokio::test]
async fn the_last_output_is_asked_for_again_where_the_node_does_not_answer() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = start_writing(&bench).await;
    bench.api.faults().fail_next(Verb::Get, "pods/log", 1000, Failure::new(500, "InternalError", "busy"));
    bench.api.faults().eof_logs();
    let asked = bench.api.count(Verb::Get, "pods/log");
    bench.api.until_requests(Verb::Get, "pods/log", asked + 1).await;
    bench.api.append_log(&pod, FLOW, "two\n");
    bench.api.set_pod(&pod, &PodState::Succeeded);
    let asked = bench.api.count(Verb::Get, "pods/log");
    bench.api.until_requests(Verb::Get, "pods/log", asked + 4).await;
    bench.api.faults().heal();
    assert_eq!(watched.end().await.exit, Exit::Code(0));
    assert_eq!(watched.seen().output, "one\ntwo\n");
}

#[tokio::test]
async fn a_log_that_ends_while_its_pod_goes_on_is_followed_on() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let (mut watched, pod) = start_writing(&bench).await;
    bench.api.faults().eof_logs();
    bench.api.append_log(&pod, FLOW, "two\n");
    watched.until("the line after the end", |seen| seen.output.contains("two")).await;
    bench.api.faults().drop_logs();
    bench.api.append_log(&pod, FLOW, "three\n");
    watched.until("the line after the cut", |seen| seen.output.contains("three")).await;
    bench.api.faults().eof_logs();
    bench.api.append_log(&pod, FLOW, "four\n");
    ends_well(&bench, &mut watched, &pod).await;
    assert_eq!(watched.seen().output, "one\ntwo\nthree\nfour\n");
}
