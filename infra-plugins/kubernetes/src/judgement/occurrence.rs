//! The events of a pod, as Prefect's observer emits them. Their ids are Prefect's, so that several observers tell one thing.

use std::collections::BTreeMap;

use infra_contract::Occurrence;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::diagnosis::{Category, Diagnosis};
use super::digest::{ContainerDigest, Moment, PodDigest, PodPhase, State};
use super::related::related;

/// An event follows the one before it only if they are closer than this.
const FOLLOWS_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// How many events of one pod are remembered: a container that crashes in a loop makes new ones without end.
const REMEMBERED: usize = 32;

/// What has been told of one pod.
#[derive(Debug, Default)]
pub(crate) struct PodTold {
    ids: Vec<Uuid>,
    last: Option<(Uuid, Timestamp)>,
    is_known: bool,
}

impl PodTold {
    /// The event about how a pod is now, if there was none of the same. `ours` is what Prefect's observer does not see; it
    /// labels the event and makes none of its own. `version` is that of the Prefect client this worker passes for.
    pub(crate) fn news(&mut self, pod: &PodDigest, ours: Option<&Diagnosis>, version: &str) -> Option<Occurrence> {
        let was_known = std::mem::replace(&mut self.is_known, true);
        let upstream = Category::upstream(pod);
        let id = event_id(pod, upstream);
        if self.ids.contains(&id) {
            return None;
        }
        let occurred = occurred(pod)?;
        // Prefect calls every end an eviction that it sees happen and that has a reason.
        let eviction = if was_known && pod.phase == PodPhase::Failed { terminated_reason(pod) } else { None };
        let phase = if eviction.is_some() { "evicted".to_owned() } else { pod.phase.name().to_ascii_lowercase() };
        let diagnosis = upstream.or(ours.map(|ours| ours.category)).map(Category::label);
        let mut resource = BTreeMap::from([
            ("prefect.resource.id".to_owned(), format!("prefect.kubernetes.pod.{}", pod.uid)),
            ("prefect.resource.name".to_owned(), pod.name.to_string()),
            ("kubernetes.namespace".to_owned(), pod.namespace.to_string()),
        ]);
        resource.extend(diagnosis.map(|label| ("kubernetes.diagnosis".to_owned(), label.to_owned())));
        resource.extend(eviction.map(|reason| ("kubernetes.reason".to_owned(), reason.to_owned())));
        let previous = self.last.replace((id, occurred));
        if self.ids.len() == REMEMBERED {
            self.ids.remove(0);
        }
        self.ids.push(id);
        Some(Occurrence {
            id,
            event: format!("prefect.kubernetes.pod.{phase}"),
            occurred,
            resource,
            follows: previous
                .filter(|(_, before)| occurred.duration_since(*before).abs() < FOLLOWS_WITHIN)
                .map(|(id, _)| id),
            related: related(&pod.labels, version),
        })
    }
}

/// The id that Prefect's observer gives an event: a hash of what Python's `json.dumps` makes of it.
fn event_id(pod: &PodDigest, diagnosis: Option<Category>) -> Uuid {
    let restarts: i64 = pod.regular().map(|container| i64::from(container.restarts)).sum();
    let diagnosis = diagnosis.map_or_else(|| "null".to_owned(), |category| python_string(category.label()));
    let (phase, uid) = (python_string(pod.phase.name()), python_string(&pod.uid));
    let json = format!(r#"{{"diagnosis": {diagnosis}, "phase": {phase}, "restart_count": {restarts}, "uid": {uid}}}"#);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, json.as_bytes())
}

/// A string as Python writes it in JSON: in ASCII.
fn python_string(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\u{8}' => written.push_str("\\b"),
            '\u{c}' => written.push_str("\\f"),
            ' '..='~' => written.push(character),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    let escaped = format!("\\u{unit:04x}");
                    written.push_str(&escaped);
                }
            }
        }
    }
    written.push('"');
    written
}

fn terminated_reason(pod: &PodDigest) -> Option<&str> {
    pod.regular().find_map(|container| container.terminated()?.reason())
}

/// When a pod came to be as it is; without a time of its own, when anything about it changed last.
fn occurred(pod: &PodDigest) -> Option<Timestamp> {
    let running = |container: &ContainerDigest| {
        if let State::Running(started) = container.state { started } else { None }
    };
    let finished = |container: &ContainerDigest| container.terminated().and_then(|end| end.finished);
    let own: Option<Moment> = match pod.phase {
        PodPhase::Pending => pod.created,
        PodPhase::Running => pod.regular().filter_map(running).max().or(pod.accepted),
        PodPhase::Succeeded | PodPhase::Failed => pod.containers.iter().filter_map(finished).max(),
        PodPhase::Unknown => None,
    };
    own.or(pod.changed).or(pod.accepted).or(pod.created).map(Moment::timestamp)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, pod};
    use super::*;

    fn news(told: &mut PodTold, name: &str) -> Option<Occurrence> {
        told.news(&pod(name), None, "3.8.8")
    }

    /// Ids made by Python: `uuid5(NAMESPACE_URL, json.dumps({…}, sort_keys=True))`.
    #[test]
    fn c112_ids_are_those_of_prefects_observer() {
        for (name, id) in [
            ("1.20/pod-evicted", "00e5e28a-6198-53a2-8fa2-1931d1eef3ce"),
            ("1.20/pod-succeeded", "86eb48a3-b371-5565-bd3a-02e47951300e"),
            ("1.20/pod-unschedulable", "5cabf7f6-a0a0-57c1-a89b-21581fdda508"),
            ("modern/pod-config-error", "fa54a979-7ab7-5fd6-87fe-2b78b2e11152"),
            ("modern/pod-crash-loop", "ad6965bb-1235-5235-9db2-bc01f3e59f71"),
            ("modern/pod-image-failing", "0ad729a7-aecb-5a99-85a2-937d6dcc3cdc"),
            ("modern/pod-out-of-memory", "22654ec0-6f9a-59e3-a451-8ddad95628fe"),
            ("modern/pod-running", "f0634597-03ce-53cd-ba49-22766f96810d"),
            ("modern/pod-sidecar-failed", "85a9ac1a-1839-5796-87ec-6ecbe47f3fc2"),
            ("modern/pod-unschedulable", "8ebf6b68-9aab-5b3f-bad7-62be45f00f3d"),
        ] {
            let found = news(&mut PodTold::default(), &format!("{name}.json")).unwrap();
            assert_eq!(found.id.to_string(), id, "{name}");
        }
    }

    #[test]
    fn c112_strings_are_written_as_python_writes_them() {
        for (text, written) in [
            ("plain", "\"plain\""),
            ("a\"b\\c\u{a}\u{d}\u{9}\u{8}\u{c}\u{1}\u{7f}/", "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u007f/\""),
            ("Gr\u{fc}\u{df}e \u{20ac}", "\"Gr\\u00fc\\u00dfe \\u20ac\""),
            ("\u{1f600}", "\"\\ud83d\\ude00\""),
        ] {
            assert_eq!(python_string(text), written);
        }
    }

    #[test]
    fn c112_each_thing_is_told_once_and_follows_what_was_before_if_that_was_just_now() {
        let mut told = PodTold::default();
        let first = news(&mut told, "modern/pod-creating.json").unwrap();
        assert_eq!(first.event, "prefect.kubernetes.pod.pending");
        assert_eq!((first.occurred, first.follows), (at("00:00"), None));
        assert_eq!(news(&mut told, "modern/pod-creating.json"), None);
        let second = news(&mut told, "modern/pod-running.json").unwrap();
        assert_eq!(second.event, "prefect.kubernetes.pod.running");
        assert_eq!((second.occurred, second.follows), (at("00:05"), Some(first.id)));
        let third = news(&mut told, "modern/pod-succeeded.json").unwrap();
        assert_eq!(third.event, "prefect.kubernetes.pod.succeeded");
        assert_eq!((third.occurred, third.follows), (at("09:30"), None), "nine minutes later");
        let resource: Vec<(&str, &str)> = third.resource.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(
            resource,
            [
                ("kubernetes.namespace", "flows"),
                ("prefect.resource.id", "prefect.kubernetes.pod.3b0a1d9e-5a57-4c55-9d0d-000000000002"),
                ("prefect.resource.name", "cute-crab-x7k2p-4tqzn"),
            ]
        );
        assert_eq!(third.related.len(), 5);
    }

    #[test]
    fn c112_an_end_that_is_seen_to_happen_is_called_an_eviction_and_has_the_same_id_after_a_restart() {
        let mut told = PodTold::default();
        news(&mut told, "modern/pod-running.json").unwrap();
        let seen = news(&mut told, "modern/pod-exit-3.json").unwrap();
        assert_eq!(seen.event, "prefect.kubernetes.pod.evicted");
        assert_eq!(seen.resource["kubernetes.reason"], "Error");
        let found = news(&mut PodTold::default(), "modern/pod-exit-3.json").unwrap();
        assert_eq!(found.event, "prefect.kubernetes.pod.failed");
        assert_eq!((found.id, found.occurred), (seen.id, seen.occurred));
        let bare = news(&mut PodTold::default(), "1.20/pod-evicted.json").unwrap();
        assert_eq!((bare.event.as_str(), bare.occurred), ("prefect.kubernetes.pod.failed", at("00:01")));
        assert_eq!(bare.resource["kubernetes.diagnosis"], "Evicted");
    }

    #[test]
    fn c115_the_diagnosis_labels_the_event_and_only_prefects_makes_a_new_one() {
        let mut told = PodTold::default();
        let first = news(&mut told, "modern/pod-image-failing.json").unwrap();
        assert_eq!(first.resource["kubernetes.diagnosis"], "ImagePullError");
        assert_eq!(news(&mut told, "modern/pod-image-back-off.json"), None);
        let config = pod("modern/pod-config-error.json");
        let ours = super::super::diagnosis::diagnose(&config, &[]);
        let labelled = PodTold::default().news(&config, ours.as_ref(), "3.8.8").unwrap();
        assert_eq!(labelled.resource["kubernetes.diagnosis"], "ContainerConfigError");
        assert_eq!(labelled.id, news(&mut PodTold::default(), "modern/pod-config-error.json").unwrap().id);
    }

    #[test]
    fn what_is_remembered_of_a_pod_that_crashes_for_ever_is_bounded() {
        let (mut told, mut crashing) = (PodTold::default(), pod("modern/pod-crash-loop.json"));
        for restarts in 0..100 {
            crashing.containers[0].restarts = restarts;
            assert!(told.news(&crashing, None, "3.8.8").is_some());
        }
        assert_eq!(told.ids.len(), REMEMBERED);
    }
}
