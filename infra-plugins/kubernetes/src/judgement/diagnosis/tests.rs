use super::super::fixtures::{happenings, job, pod};
use super::*;

fn of(name: &str) -> Diagnosis {
    diagnose(&pod(&format!("{name}.json")), &[]).unwrap()
}

/// What Prefect's own `diagnose_k8s_pod` says of the same statuses.
#[test]
fn c115_prefects_categories_are_found_where_prefect_finds_them() {
    for (name, label) in [
        ("1.20/pod-config-error", ""),
        ("1.20/pod-creating", ""),
        ("1.20/pod-evicted", "Evicted"),
        ("1.20/pod-exit-3", ""),
        ("1.20/pod-image-back-off", "ImagePullError"),
        ("1.20/pod-image-failing", "ImagePullError"),
        ("1.20/pod-node-lost", ""),
        ("1.20/pod-node-shutdown", ""),
        ("1.20/pod-out-of-memory", "OOMKilled"),
        ("1.20/pod-running", ""),
        ("1.20/pod-succeeded", ""),
        ("1.20/pod-unschedulable", "Unschedulable.InsufficientResources"),
        ("modern/pod-being-preempted", ""),
        ("modern/pod-collected", ""),
        ("modern/pod-config-error", ""),
        ("modern/pod-crash-loop", "CrashLoopBackOff"),
        ("modern/pod-creating", ""),
        ("modern/pod-critical-preempted", ""),
        ("modern/pod-deadline", ""),
        ("modern/pod-deleted", ""),
        ("modern/pod-drained", ""),
        ("modern/pod-evicted", "Evicted"),
        ("modern/pod-exit-3", ""),
        ("modern/pod-gated", ""),
        ("modern/pod-image-back-off", "ImagePullError"),
        ("modern/pod-image-denied", "ImagePullError"),
        ("modern/pod-image-failing", "ImagePullError"),
        ("modern/pod-image-name-invalid", ""),
        ("modern/pod-image-never-pulled", ""),
        ("modern/pod-init-failed", ""),
        ("modern/pod-init-running", ""),
        ("modern/pod-just-made", ""),
        ("modern/pod-node-shutdown", ""),
        ("modern/pod-out-of-memory", "OOMKilled"),
        ("modern/pod-preempted", ""),
        ("modern/pod-refused-by-node", ""),
        ("modern/pod-running", ""),
        ("modern/pod-sidecar-failed", ""),
        ("modern/pod-start-error", ""),
        ("modern/pod-status-unknown", ""),
        ("modern/pod-stranded", ""),
        ("modern/pod-succeeded", ""),
        ("modern/pod-tainted", ""),
        ("modern/pod-unschedulable", "Unschedulable.Taint"),
    ] {
        let pod = pod(&format!("{name}.json"));
        let label = (!label.is_empty()).then_some(label);
        assert_eq!(Category::upstream(&pod).map(Category::label), label, "{name}");
        if label.is_some() {
            assert_eq!(diagnose(&pod, &[]).map(|found| found.category.label()), label, "{name}");
        }
    }
}

#[test]
fn c115_what_prefect_does_not_see_has_labels_of_ours() {
    for (name, label, reason) in [
        ("modern/pod-image-name-invalid", "InvalidImage", "InvalidName"),
        ("modern/pod-image-never-pulled", "InvalidImage", "NeverPulled"),
        ("modern/pod-config-error", "ContainerConfigError", "CreateContainerConfigError"),
        ("modern/pod-start-error", "ContainerStartError", "StartError"),
        ("modern/pod-preempted", "Preempted", "PreemptionByScheduler"),
        ("modern/pod-being-preempted", "Preempted", "PreemptionByScheduler"),
        ("modern/pod-drained", "Drained", "EvictionByEvictionAPI"),
        ("modern/pod-tainted", "Drained", "DeletionByTaintManager"),
        ("modern/pod-collected", "NodeLost", "DeletionByPodGC"),
        ("modern/pod-node-shutdown", "NodeLost", "TerminationByKubelet"),
        ("1.20/pod-node-lost", "NodeLost", "NodeLost"),
        ("1.20/pod-node-shutdown", "NodeLost", "Shutdown"),
        ("modern/pod-status-unknown", "NodeLost", "ContainerStatusUnknown"),
        ("modern/pod-refused-by-node", "PodRejected", "OutOfcpu"),
        ("modern/pod-deadline", "PodRejected", "DeadlineExceeded"),
        ("modern/pod-gated", "SchedulingGated", "SchedulingGated"),
    ] {
        let found = of(name);
        assert_eq!((found.category.label(), found.reason.as_deref()), (label, Some(reason)), "{name}");
        assert_eq!(Category::upstream(&pod(&format!("{name}.json"))), None, "{name}");
    }
    for name in ["pod-running", "pod-succeeded", "pod-exit-3", "pod-creating"] {
        for version in ["1.20", "modern"] {
            assert_eq!(diagnose(&pod(&format!("{version}/{name}.json")), &[]), None, "{version}/{name}");
        }
    }
}

#[test]
fn c115_a_text_says_what_where_why_and_what_to_do() {
    let texts: Vec<String> = [
        "modern/pod-image-failing",
        "modern/pod-config-error",
        "modern/pod-out-of-memory",
        "modern/pod-preempted",
        "modern/pod-evicted",
        "1.20/pod-unschedulable",
        "modern/pod-crash-loop",
    ]
    .map(|name| of(name).text)
    .into();
    assert_eq!(
        texts,
        [
            "Image `registry.example.com/team/flows:1.2` of container `prefect-job` of pod flows/cute-crab-x7k2p-4tqzn \
             cannot be pulled: registry.example.com/team/flows:1.2: not found. Check name and tag of the image. A registry \
             also says so of a private image when it gets no credentials.",
            "Container `prefect-job` of pod flows/cute-crab-x7k2p-4tqzn cannot be made (CreateContainerConfigError): secret \
             \"db-password\" not found. Create the secret (or its key) in the pod's namespace, or correct its name in the \
             job template.",
            "Container `prefect-job` of pod flows/cute-crab-x7k2p-4tqzn was killed because it used more memory than its \
             limit of 64Mi. Raise `memory_limit`, or make the flow use less memory.",
            "Pod flows/cute-crab-x7k2p-4tqzn: the pod was preempted by one with a higher priority: default-scheduler: \
             preempting to accommodate a higher priority pod. Give the pod a priority class, or the cluster more room.",
            "Pod flows/cute-crab-x7k2p-4tqzn was evicted by its node: The node was low on resource: memory. Threshold \
             quantity: 100Mi, available: 60Mi. Container prefect-job was using 512Mi, request is 0, has larger consumption \
             of memory. Raise the pod's requests for what the node ran short of, so that it gets a node with enough of it.",
            "No node takes pod flows/cute-crab-9x8vq-4tqzn: 0/3 nodes are available: 3 Insufficient memory. Lower the \
             requests for CPU and memory, or give the cluster more nodes; an autoscaler may be on its way.",
            "Container `prefect-job` of pod flows/cute-crab-x7k2p-4tqzn crashes again and again, last with exit code 1. \
             Look at the container's log for the cause.",
        ]
    );
}

#[test]
fn c115_texts_are_bounded() {
    let mut long = pod("modern/pod-evicted.json");
    long.words.as_mut().unwrap().message = Some("\u{20ac}".repeat(400).into());
    let text = diagnose(&long, &[]).unwrap().text;
    assert!(text.len() <= LONGEST && text.ends_with("enough of it."), "{} {text}", text.len());
}

#[test]
fn c115_news_is_a_new_cause_and_not_a_new_text() {
    for version in ["1.20", "modern"] {
        let events = happenings(&format!("{version}/events-image.json"));
        let failing = diagnose(&pod(&format!("{version}/pod-image-failing.json")), &events).unwrap();
        let waiting = diagnose(&pod(&format!("{version}/pod-image-back-off.json")), &events).unwrap();
        assert!(Diagnosis::is_news(None, &failing));
        assert!(!Diagnosis::is_news(Some(&failing), &waiting), "{version}");
        let unsaid = diagnose(&pod(&format!("{version}/pod-image-back-off.json")), &[]).unwrap();
        assert!(!Diagnosis::is_news(Some(&failing), &unsaid), "{version}: nothing new is known");
    }
    let unsaid = of("1.20/pod-image-back-off");
    assert!(Diagnosis::is_news(Some(&unsaid), &of("1.20/pod-image-failing")), "now the cause is known");
    assert!(Diagnosis::is_news(Some(&of("modern/pod-image-failing")), &of("modern/pod-image-denied")));
    let (mut fewer, more) = (pod("1.20/pod-unschedulable.json"), of("1.20/pod-unschedulable"));
    fewer.unscheduled.as_mut().unwrap().message = Some("0/7 nodes are available: 7 Insufficient memory.".into());
    assert!(!Diagnosis::is_news(Some(&more), &diagnose(&fewer, &[]).unwrap()));
}

#[test]
fn what_the_autoscaler_says_is_shown_at_once() {
    for version in ["1.20", "modern"] {
        let unplaced = pod(&format!("{version}/pod-unschedulable.json"));
        let bare = diagnose(&unplaced, &[]).unwrap();
        let refused = diagnose(&unplaced, &happenings(&format!("{version}/events-no-scale-up.json"))).unwrap();
        assert!(Diagnosis::is_news(Some(&bare), &refused));
        assert_eq!((refused.category, refused.severity), (bare.category, Severity::Warning));
        assert!(refused.text.contains("adds no node: pod didn't trigger scale-up"), "{}", refused.text);
        assert!(refused.text.contains("1 max node group size reached"), "{}", refused.text);
        let added = diagnose(&unplaced, &happenings(&format!("{version}/events-scale-up.json"))).unwrap();
        assert!(Diagnosis::is_news(Some(&refused), &added));
        assert_eq!(added.severity, Severity::Ok);
    }
    let mut silent = pod("modern/pod-unschedulable.json");
    silent.unscheduled = None;
    let told = diagnose(&silent, &happenings("modern/events-scale-up.json")).unwrap();
    assert_eq!(told.category.label(), "NotPlaced");
}

#[test]
fn c115_volumes_that_cannot_be_mounted_are_told_with_their_cause() {
    for version in ["1.20", "modern"] {
        let creating = pod(&format!("{version}/pod-creating.json"));
        let mount = diagnose(&creating, &happenings(&format!("{version}/events-mount.json"))).unwrap();
        assert_eq!((mount.category.label(), mount.reason.as_deref()), ("MountFailed", Some("FailedMount")));
        assert!(mount.text.contains("secret \"gcp-key\" not found. Create the secret"), "{}", mount.text);
        let attach = diagnose(&creating, &happenings(&format!("{version}/events-attach.json"))).unwrap();
        assert_eq!(attach.reason.as_deref(), Some("FailedAttachVolume"));
        let mut running = pod(&format!("{version}/pod-running.json"));
        running.uid = creating.uid.clone();
        assert_eq!(diagnose(&running, &happenings(&format!("{version}/events-mount.json"))), None, "it got over it");
    }
}

#[test]
fn c115_a_job_that_may_not_make_its_pod_is_told_with_the_clusters_words() {
    for version in ["1.20", "modern"] {
        let mut waiting = job(&format!("{version}/job-active.json"));
        for (events, label, words) in [
            ("quota", "QuotaExceeded", "exceeded quota: compute, requested: requests.memory=4Gi"),
            ("admission", "AdmissionDenied", "validate.kyverno.svc-fail"),
            ("service-account", "PodNotCreated", "serviceaccount \"runner\" not found"),
        ] {
            let events = happenings(&format!("{version}/events-{events}.json"));
            waiting.active = 1;
            assert_eq!(diagnose_job(&waiting, &events), None, "it has its pod");
            waiting.active = 0;
            let found = diagnose_job(&waiting, &events).unwrap();
            assert_eq!(found.category.label(), label);
            assert!(found.text.contains(words), "{}", found.text);
        }
    }
    assert_eq!(diagnose_job(&job("modern/job-suspended.json"), &[]).unwrap().category.label(), "Suspended");
    assert_eq!(diagnose_job(&job("modern/job-failed.json"), &happenings("modern/events-quota.json")), None);
}
