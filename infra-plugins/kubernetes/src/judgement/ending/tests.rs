use super::super::fixtures::{at, job, pod};
use super::*;

fn pods(names: &[&str]) -> Vec<PodDigest> {
    names.iter().map(|name| pod(&format!("{name}.json"))).collect()
}

fn found(job_name: &str, names: &[&str]) -> Option<ExitReport> {
    judge(Some(&job(&format!("{job_name}.json"))), &pods(names), false, at("09:40"))
}

fn of_gone(names: &[&str]) -> Option<ExitReport> {
    judge(None, &pods(names), false, at("09:40"))
}

#[test]
fn c114_what_is_not_over_has_no_end() {
    for (job, pods) in [
        ("1.20/job-active", vec!["1.20/pod-running"]),
        ("modern/job-active", vec!["modern/pod-running"]),
        ("modern/job-active", vec![]),
        ("modern/job-active", vec!["modern/pod-exit-3"]),
        ("1.20/job-retrying", vec!["1.20/pod-exit-3"]),
        ("1.20/job-retrying", vec!["1.20/pod-evicted", "1.20/pod-creating"]),
        ("modern/job-active", vec!["modern/pod-succeeded"]),
        ("modern/job-suspended", vec![]),
        ("modern/job-being-deleted", vec!["modern/pod-deleted"]),
        ("1.20/job-exhausted", vec!["1.20/pod-running"]),
        ("1.20/job-failed", vec!["1.20/pod-running"]),
        ("modern/job-failed", vec!["modern/pod-running"]),
        ("modern/job-failure-target", vec!["modern/pod-being-preempted"]),
        ("1.20/job-active", vec!["1.20/pod-node-lost"]),
    ] {
        assert_eq!(found(job, &pods), None, "{job} {pods:?}");
    }
    assert_eq!(of_gone(&["modern/pod-running"]), None, "a pod may outlive its Job");
    assert_eq!(of_gone(&["modern/pod-being-preempted"]), None, "it will say how it ends");
}

#[test]
fn c114_a_job_that_is_complete_ended_well() {
    for job in ["1.20/job-complete", "modern/job-success-criteria", "modern/job-complete"] {
        assert_eq!(found(job, &[]), Some(ExitReport::bare(Exit::Code(0))), "{job}");
        assert_eq!(found(job, &["modern/pod-evicted"]), Some(ExitReport::bare(Exit::Code(0))), "{job}: tried again");
    }
}

#[test]
fn c114_a_job_that_failed_ended_as_its_newest_pod() {
    for (job, version) in [
        ("1.20/job-failed", "1.20"),
        ("1.20/job-exhausted", "1.20"),
        ("modern/job-failure-target", "modern"),
        ("modern/job-failed", "modern"),
    ] {
        let of = |pod: &str| found(job, &[&format!("{version}/{pod}")]).unwrap();
        assert_eq!(of("pod-exit-3"), ExitReport::bare(Exit::Code(3)), "{job}");
        let memory = of("pod-out-of-memory");
        assert_eq!(memory.exit, Exit::OutOfMemory, "{job}");
        assert_eq!(memory.detail.as_deref(), Some("it used more memory than its limit of 64Mi"));
        let evicted = of("pod-evicted");
        assert_eq!(evicted.exit, Exit::Evicted, "{job}");
        let detail = evicted.detail.unwrap();
        assert!(
            detail.starts_with("the pod was evicted by its node: The node was low on resource: memory."),
            "{detail}"
        );
    }
    let mut tries = pods(&["1.20/pod-out-of-memory", "1.20/pod-exit-3"]);
    tries[0].created = Some(crate::judgement::digest::Moment::of(Some(&at("00:50").into())).unwrap());
    let report = judge(Some(&job("1.20/job-failed.json")), &tries, false, at("09:40")).unwrap();
    assert_eq!(report.exit, Exit::OutOfMemory);
}

#[test]
fn c114_who_took_the_pod_away_goes_before_its_exit_code() {
    for (name, exit, words) in [
        ("modern/pod-drained", Exit::Evicted, "eviction API"),
        ("modern/pod-preempted", Exit::Evicted, "preempted by one with a higher priority"),
        ("modern/pod-critical-preempted", Exit::Evicted, "admit critical pod"),
        ("modern/pod-tainted", Exit::Evicted, "taint"),
        ("modern/pod-collected", Exit::NodeLost, "node no longer exists"),
        ("modern/pod-node-shutdown", Exit::NodeLost, "imminent node shutdown"),
        ("modern/pod-status-unknown", Exit::NodeLost, "lost its container"),
        ("1.20/pod-node-shutdown", Exit::NodeLost, "shut down"),
    ] {
        let report = found("modern/job-failed", &[name]).unwrap();
        assert_eq!(report.exit, exit, "{name}");
        let detail = report.detail.unwrap();
        assert!(detail.contains(words), "{name}: {detail}");
    }
    let stopped = judge(Some(&job("modern/job-failed.json")), &pods(&["modern/pod-drained"]), true, at("09:40"));
    assert_eq!(stopped.unwrap().exit, Exit::Code(143), "this worker ended it");
}

#[test]
fn c114_a_container_that_made_the_pod_fail_is_named() {
    for (name, exit, detail) in [
        ("modern/pod-init-failed", Exit::Code(2), "init container `fetch` failed with exit code 2"),
        (
            "modern/pod-sidecar-failed",
            Exit::Code(0),
            "the flow ended well, container `metrics` beside it failed with exit code 9",
        ),
        (
            "modern/pod-refused-by-node",
            Exit::NeverStarted,
            "the pod failed before the flow started (OutOfcpu): Pod was rejected: Node didn't have enough resource: cpu, \
             requested: 4000, used: 3900, capacity: 4000",
        ),
        ("modern/pod-deadline", Exit::Code(137), "it ran longer than the pod's activeDeadlineSeconds allows"),
        ("modern/pod-deleted", Exit::Code(143), "the pod was deleted from outside while the run was not over"),
    ] {
        let report = found("modern/job-failed", &[name]).unwrap();
        assert_eq!((report.exit, report.detail.as_deref()), (exit, Some(detail)), "{name}");
    }
    let not_started = found("modern/job-failed", &["modern/pod-start-error"]).unwrap();
    assert_eq!(not_started.exit, Exit::Code(128));
    assert!(not_started.detail.unwrap().contains("executable file not found"));
}

#[test]
fn c114_a_job_that_failed_without_a_pod_says_why() {
    let deleted = found("modern/job-failed", &[]).unwrap();
    assert_eq!(deleted.exit, Exit::Vanished);
    assert_eq!(
        deleted.detail.as_deref(),
        Some(
            "the pod was deleted from outside while the run was not over; the Job says: Job has reached the specified \
             backoff limit"
        )
    );
    let policy = found("modern/job-pod-failure-policy", &["modern/pod-exit-3"]).unwrap();
    assert_eq!(policy.exit, Exit::Code(3));
    assert!(policy.detail.unwrap().ends_with("matching FailJob rule at index 0"));
}

#[test]
fn c114_a_job_that_took_too_long_says_so() {
    let detail = Some("it ran longer than the Job's activeDeadlineSeconds allows");
    for (job, pods, exit) in [
        ("1.20/job-deadline", vec![], Exit::Signal(15)),
        ("modern/job-deadline", vec!["modern/pod-deleted"], Exit::Code(143)),
        ("modern/job-deadline", vec!["modern/pod-refused-by-node"], Exit::NeverStarted),
    ] {
        let report = found(job, &pods).unwrap();
        assert_eq!((report.exit, report.detail.as_deref()), (exit, detail), "{job} {pods:?}");
    }
    let mut gone = pods(&["1.20/pod-creating"]);
    gone[0].is_gone = true;
    let report = judge(Some(&job("1.20/job-deadline.json")), &gone, false, at("09:40")).unwrap();
    assert_eq!((report.exit, report.detail.as_deref()), (Exit::NeverStarted, detail));
    for job in ["modern/job-deadline", "1.20/job-deadline"] {
        assert_eq!(found(job, &["modern/pod-running"]), None, "{job}: it is being ended");
    }
}

#[test]
fn c114_a_job_that_is_gone_ended_as_its_pods_if_they_tell() {
    let gone = of_gone(&[]).unwrap();
    assert_eq!((gone.exit, gone.detail.as_deref()), (Exit::Vanished, Some("Kubernetes job was deleted")));
    assert_eq!(of_gone(&["modern/pod-succeeded"]), Some(ExitReport::bare(Exit::Code(0))));
    let failed = of_gone(&["modern/pod-exit-3"]).unwrap();
    assert_eq!((failed.exit, failed.detail.as_deref()), (Exit::Code(3), Some("Kubernetes job was deleted")));
    assert_eq!(of_gone(&["modern/pod-evicted"]).unwrap().exit, Exit::Evicted);
    let stopped = judge(None, &pods(&["modern/pod-deleted"]), true, at("09:40")).unwrap();
    assert_eq!(stopped, ExitReport::bare(Exit::Code(143)));
}

#[test]
fn c114_a_pod_that_is_gone_is_told_as_it_was_seen_last() {
    let of = |name: &str, job_name: Option<&str>, was_stopped| {
        let mut pods = pods(&[name]);
        pods[0].is_gone = true;
        let job = job_name.map(|name| job(&format!("{name}.json")));
        let report = judge(job.as_ref(), &pods, was_stopped, at("09:40")).unwrap();
        (report.exit, report.detail.unwrap_or_default())
    };
    let outside = "the pod was deleted from outside while the run was not over".to_owned();
    let job_gone = "Kubernetes job was deleted".to_owned();
    assert_eq!(of("modern/pod-running", Some("modern/job-failed"), false), (Exit::Vanished, outside));
    assert_eq!(of("modern/pod-running", None, false), (Exit::Vanished, job_gone.clone()));
    assert_eq!(of("modern/pod-deleted", None, false), (Exit::Code(143), job_gone));
    assert_eq!(of("modern/pod-running", None, true), (Exit::Vanished, String::new()));
    assert_eq!(of("modern/pod-being-preempted", Some("modern/job-failed"), false).0, Exit::Evicted);
    assert_eq!(of("1.20/pod-node-lost", Some("1.20/job-failed"), false).0, Exit::NodeLost);
}

#[test]
fn c114_a_pod_too_much_that_was_taken_away_does_not_speak_for_its_job() {
    let mut two = pods(&["1.20/pod-exit-3", "1.20/pod-running"]);
    two[0].created = Some(crate::judgement::digest::Moment::of(Some(&at("00:10").into())).unwrap());
    two[1].created = Some(crate::judgement::digest::Moment::of(Some(&at("00:11").into())).unwrap());
    two[1].is_gone = true;
    let report = judge(Some(&job("1.20/job-failed.json")), &two, false, at("09:40")).unwrap();
    assert_eq!(report, ExitReport::bare(Exit::Code(3)));
}

#[test]
fn a_pod_whose_node_does_not_answer_is_lost_after_its_time() {
    let at_hand = pods(&["modern/pod-stranded"]);
    let target = job("modern/job-failure-target.json");
    for job in [None, Some(&target)] {
        assert_eq!(judge(job, &at_hand, false, at("10:30")), None);
        assert_eq!(judge(job, &at_hand, false, at("11:30")).unwrap().exit, Exit::NodeLost);
    }
    let old = judge(Some(&job("1.20/job-failed.json")), &pods(&["1.20/pod-node-lost"]), false, at("09:40"));
    assert_eq!(old.unwrap().exit, Exit::NodeLost);
}
