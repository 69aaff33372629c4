//! Whether a pod that has not started yet still gets on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::diagnosis::clipped;
use super::digest::{ContainerDigest, HappeningDigest, JobDigest, Moment, PodDigest, PodPhase, Role, State};
use super::image_pull::failed_pull;

/// How long an image is waited for that will never come: registries are asked twice in that time.
const HOPELESS: Duration = Duration::from_secs(30);
/// The longest quotation of what the cluster says, in bytes.
const LONGEST_QUOTE: usize = 300;
/// Events that show that something was done for a pod. When they happened first counts: a kubelet that does the same again and
/// again gets nowhere.
const STEPS: [&str; 9] = [
    "Scheduled",
    "Pulling",
    "Pulled",
    "Created",
    "Started",
    "TriggeredScaleUp",
    "Nominated",
    "SuccessfulAttachVolume",
    "SuccessfulCreate",
];

/// What a pod waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A queue or another controller of the cluster that holds it back on purpose.
    Held,
    /// A pod. With what the cluster says against it.
    ForPod { said: Option<String> },
    /// A node. With what the scheduler says.
    ForNode { said: Option<String> },
    /// An image, whose pull has failed or is just under way.
    ForImage(Option<PullFailed>),
    /// Its containers. With what the kubelet says.
    ForStart { said: Option<String> },
    /// Nothing: it runs, or has run.
    Running,
}

/// An image that could not be pulled yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PullFailed {
    pub(crate) image: Box<str>,
    /// The registry's own words.
    pub(crate) said: Option<String>,
    /// When it failed first, if that is still known.
    pub(crate) since: Option<Timestamp>,
    /// Whether trying again brings nothing.
    pub(crate) is_definite: bool,
}

/// How long is waited; `None` is for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadlines {
    /// For an image, from its first failed pull on.
    pub(crate) image_pull: Option<Duration>,
    /// For a node or a start, from the last progress on.
    pub(crate) start: Option<Duration>,
}

/// When anything got on last. `None` if nothing is known of either.
pub(crate) fn last_progress(
    pod: Option<&PodDigest>,
    job: Option<&JobDigest>,
    happenings: &[HappeningDigest],
) -> Option<Timestamp> {
    let of_pod = pod.into_iter().flat_map(|pod| {
        let containers = pod.containers.iter().flat_map(times);
        [pod.created, pod.accepted, pod.changed].into_iter().chain(containers).flatten()
    });
    let of_job = job.into_iter().flat_map(|job| {
        let changes = job.conditions.iter().map(|condition| condition.since);
        [job.created, job.started].into_iter().chain(changes).flatten()
    });
    let told = happenings.iter().filter(|told| {
        let is_about = pod.is_some_and(|pod| told.is_about_pod(pod)) || job.is_some_and(|job| told.is_about_job(job));
        is_about && !told.is_warning && STEPS.contains(&&*told.reason)
    });
    of_pod.chain(of_job).map(Moment::timestamp).chain(told.map(|told| told.first)).max()
}

fn times(container: &ContainerDigest) -> [Option<Moment>; 4] {
    let running = if let State::Running(started) = container.state { started } else { None };
    let last = container.last.as_ref().and_then(|last| last.finished);
    let end = container.terminated();
    [running, last, end.and_then(|end| end.started), end.and_then(|end| end.finished)]
}

/// What a pod waits for.
pub(crate) fn phase(pod: &PodDigest, happenings: &[HappeningDigest]) -> Phase {
    // What an init container does is the author's own work, however long it takes.
    let works =
        |container: &ContainerDigest| container.role == Role::Init && matches!(container.state, State::Running(_));
    if pod.phase != PodPhase::Pending || pod.has_started() || pod.containers.iter().any(works) {
        return Phase::Running;
    }
    if pod.node.is_none() {
        let words = pod.unscheduled.as_ref();
        if words.and_then(|words| words.reason.as_deref()) == Some("SchedulingGated") {
            return Phase::Held;
        }
        return Phase::ForNode { said: words.and_then(|words| words.message.as_deref()).and_then(quoted) };
    }
    if let Some(failed) = failed_pull(pod, happenings) {
        return Phase::ForImage(Some(PullFailed {
            image: failed.container.image.clone(),
            said: quoted(&failed.said),
            since: failed.since,
            is_definite: failed.cause.is_definite(),
        }));
    }
    if is_pulling(pod, happenings) {
        return Phase::ForImage(None);
    }
    let waiting = pod.containers.iter().find_map(|container| {
        let (reason, message) = container.waiting().filter(|(_, message)| !message.is_empty())?;
        quoted(&format!("container `{}`: {reason}: {message}", container.name))
    });
    Phase::ForStart { said: waiting.or_else(|| newest_warning(pod, happenings)) }
}

/// What a Job waits for that has no pod.
pub(crate) fn phase_of_job(job: &JobDigest, happenings: &[HappeningDigest]) -> Phase {
    if job.is_suspended {
        return Phase::Held;
    }
    let warnings = happenings.iter().filter(|told| told.is_about_job(job) && told.is_warning);
    Phase::ForPod { said: warnings.max_by_key(|told| told.last).and_then(|told| quoted(&told.message)) }
}

/// Whether an image is being pulled without a failure so far.
fn is_pulling(pod: &PodDigest, happenings: &[HappeningDigest]) -> bool {
    let of = |reason: &str| {
        let told = happenings.iter().filter(|told| told.is_about_pod(pod) && &*told.reason == reason);
        told.map(|told| told.last).max()
    };
    of("Pulling").is_some_and(|begun| of("Pulled").is_none_or(|done| done < begun))
}

fn newest_warning(pod: &PodDigest, happenings: &[HappeningDigest]) -> Option<String> {
    let warnings = happenings.iter().filter(|told| told.is_about_pod(pod) && told.is_warning);
    quoted(&warnings.max_by_key(|told| told.last)?.message)
}

/// Why a pod is given up, if it is time for that.
pub(crate) fn overdue(phase: &Phase, last_progress: Timestamp, deadlines: Deadlines, now: Timestamp) -> Option<String> {
    let waited = |since: Timestamp| now.duration_since(since);
    let is_over = |since, deadline: Option<Duration>| {
        deadline
            .is_some_and(|deadline| SignedDuration::try_from(deadline).is_ok_and(|deadline| waited(since) >= deadline))
    };
    let since_progress = waited(last_progress).as_secs();
    match phase {
        Phase::ForImage(Some(failed)) => {
            let deadline =
                deadlines.image_pull.map(|deadline| if failed.is_definite { deadline.min(HOPELESS) } else { deadline });
            let since = failed.since.unwrap_or(last_progress);
            is_over(since, deadline).then(|| {
                let what = format!("image `{}` could not be pulled for {} s", failed.image, waited(since).as_secs());
                with_words(what, failed.said.as_deref())
            })
        }
        Phase::ForPod { said } => is_over(last_progress, deadlines.start)
            .then(|| with_words(format!("the cluster made no pod for {since_progress} s"), said.as_deref())),
        Phase::ForNode { said } => is_over(last_progress, deadlines.start)
            .then(|| with_words(format!("no node took the pod for {since_progress} s"), said.as_deref())),
        Phase::ForStart { said } => is_over(last_progress, deadlines.start)
            .then(|| with_words(format!("the pod did not start for {since_progress} s"), said.as_deref())),
        Phase::ForImage(None) | Phase::Held | Phase::Running => None,
    }
}

fn quoted(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('.');
    (!text.is_empty()).then(|| clipped(text, LONGEST_QUOTE))
}

fn with_words(what: String, said: Option<&str>) -> String {
    match said {
        Some(said) => format!("{what}: {said}"),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, happenings, job, pod};
    use super::*;

    const DEADLINES: Deadlines =
        Deadlines { image_pull: Some(Duration::from_mins(5)), start: Some(Duration::from_mins(2)) };

    fn late(phase: &Phase, last_progress: &str, now: &str) -> Option<String> {
        overdue(phase, at(last_progress), DEADLINES, at(now))
    }

    #[test]
    fn steps_are_progress_and_repetitions_are_not() {
        for version in ["1.20", "modern"] {
            let failing = pod(&format!("{version}/pod-image-failing.json"));
            let events = happenings(&format!("{version}/events-image.json"));
            let ready = if version == "modern" { at("00:03") } else { at("00:02") };
            assert_eq!(last_progress(Some(&failing), None, &events), Some(ready), "{version}");
            let unplaced = pod(&format!("{version}/pod-unschedulable.json"));
            let of = |name: &str| last_progress(Some(&unplaced), None, &happenings(&format!("{version}/{name}.json")));
            assert_eq!(of("events-no-scale-up"), Some(at("00:00")));
            assert_eq!(of("events-scale-up"), Some(at("00:15")), "a node is on its way");
        }
        assert_eq!(last_progress(Some(&pod("modern/pod-running.json")), None, &[]), Some(at("00:06")));
        let suspended = job("modern/job-suspended.json");
        assert_eq!(last_progress(None, Some(&suspended), &[]), Some(at("00:01")));
        assert_eq!(last_progress(None, None, &[]), None);
    }

    #[test]
    fn what_a_pod_waits_for_is_told_by_where_it_is() {
        let of = |name: &str| phase(&pod(&format!("{name}.json")), &[]);
        assert_eq!(of("modern/pod-just-made"), Phase::ForNode { said: None });
        assert_eq!(of("modern/pod-gated"), Phase::Held);
        assert_eq!(late(&Phase::Held, "00:00", "59:59"), None);
        assert_eq!(phase_of_job(&job("modern/job-suspended.json"), &[]), Phase::Held);
        let refused = phase_of_job(&job("modern/job-active.json"), &happenings("modern/events-quota.json"));
        let text = late(&refused, "00:00", "02:00").unwrap();
        assert!(text.starts_with("the cluster made no pod for 120 s: ") && text.contains("exceeded quota"), "{text}");
        let unplaced = Phase::ForNode { said: Some("0/3 nodes are available: 3 Insufficient memory".to_owned()) };
        assert_eq!(of("1.20/pod-unschedulable"), unplaced);
        assert_eq!(of("modern/pod-creating"), Phase::ForStart { said: None });
        for name in ["pod-running", "pod-crash-loop", "pod-init-running", "pod-succeeded", "pod-init-failed"] {
            assert_eq!(of(&format!("modern/{name}")), Phase::Running, "{name}");
        }
        let config = of("modern/pod-config-error");
        let text = late(&config, "00:01", "02:01").unwrap();
        assert_eq!(
            text,
            "the pod did not start for 120 s: container `prefect-job`: CreateContainerConfigError: secret \"db-password\" not \
             found"
        );
        assert_eq!(late(&config, "00:01", "02:00"), None);
        assert_eq!(late(&Phase::Running, "00:00", "59:59"), None);
    }

    #[test]
    fn a_wrong_tag_fails_fast_with_the_registrys_words() {
        for (version, said) in [
            ("modern", "registry.example.com/team/flows:1.2: not found"),
            ("1.20", "manifest for registry.example.com/team/flows:1.2 not found: manifest unknown: manifest unknown"),
        ] {
            let events = happenings(&format!("{version}/events-image.json"));
            let waiting = phase(&pod(&format!("{version}/pod-image-back-off.json")), &events);
            assert_eq!(late(&waiting, "00:03", "00:39"), None, "{version}");
            let text = format!("image `registry.example.com/team/flows:1.2` could not be pulled for 30 s: {said}");
            assert_eq!(late(&waiting, "00:03", "00:40"), Some(text), "{version}");
        }
        for name in ["pod-image-name-invalid", "pod-image-never-pulled"] {
            let waiting = phase(&pod(&format!("modern/{name}.json")), &[]);
            assert!(late(&waiting, "00:03", "00:34").is_some(), "{name}");
        }
        let short = Deadlines { image_pull: Some(Duration::from_secs(10)), start: None };
        let waiting = phase(&pod("modern/pod-image-name-invalid.json"), &[]);
        assert!(overdue(&waiting, at("00:03"), short, at("00:13")).is_some());
        assert_eq!(overdue(&waiting, at("00:03"), Deadlines::default(), at("59:59")), None, "no deadline is for ever");
    }

    #[test]
    fn a_pull_that_may_yet_work_has_the_whole_deadline() {
        let denied = phase(&pod("modern/pod-image-denied.json"), &[]);
        assert_eq!(late(&denied, "00:10", "05:09"), None);
        let text = late(&denied, "00:10", "05:10").unwrap();
        assert!(text.contains("401 Unauthorized"), "{text}");
    }

    #[test]
    fn a_slow_pull_is_no_failure() {
        for version in ["1.20", "modern"] {
            let creating = pod(&format!("{version}/pod-creating.json"));
            let pulling = phase(&creating, &happenings(&format!("{version}/events-pulling.json")));
            assert_eq!(pulling, Phase::ForImage(None));
            assert_eq!(late(&pulling, "00:03", "59:59"), None);
            let mounting = phase(&creating, &happenings(&format!("{version}/events-mount.json")));
            assert_eq!(late(&mounting, "00:03", "02:02"), None);
            let text = late(&mounting, "00:03", "02:03").unwrap();
            assert!(text.contains("secret \"gcp-key\" not found"), "{text}");
        }
    }
}
