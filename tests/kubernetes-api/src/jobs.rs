//! The controllers: they follow each change at once, until nothing is left to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::generated_name;
use crate::delete::{self, Options, collect_garbage};
use crate::resource::Resource;
use crate::state::{Key, State, is_deleting, is_over, now, text};

/// What the controller remembers of the pods of a Job, by their uids, also when they are gone.
pub(crate) type Track = BTreeMap<String, Fate>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Active,
    Succeeded,
    Failed,
}

/// The condition that a Job ends with.
struct End<'a> {
    kind: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl State {
    /// Lets the controllers do all there is to do.
    pub(crate) fn control(&mut self) {
        while let Some(key) = self.to_control.pop_first() {
            if self.settings.garbage_collector {
                collect_garbage(self, &key);
            }
            if self.settings.job_controller && key.resource == Resource::Jobs {
                control_job(self, &key);
            }
        }
    }
}

fn control_job(state: &mut State, key: &Key) {
    let Some(job) = state.get(key).map(Arc::clone) else { return };
    if is_deleting(&job) || has_condition(&job, "Complete") || has_condition(&job, "Failed") {
        return;
    }
    let uid = text(&job, "/metadata/uid").to_owned();
    let pods: Vec<(Key, Arc<Value>)> =
        state.owned_by(&uid).into_iter().filter(|(key, _)| key.resource == Resource::Pods).collect();
    let track = state.tracks.entry(uid).or_default();
    look(track, &pods);
    let number = |fate: Fate| track.values().filter(|is| **is == fate).count();
    let (active, succeeded, failed) = (number(Fate::Active), number(Fate::Succeeded), number(Fate::Failed));
    let terminating = pods.iter().filter(|(_, pod)| is_deleting(pod) && !is_over(pod)).count();
    let limit = job.pointer("/spec/backoffLimit").and_then(Value::as_u64).unwrap_or(6);
    let exceeded = u64::try_from(failed).is_ok_and(|failed| failed > limit);
    let completions = job.pointer("/spec/completions").and_then(Value::as_u64).unwrap_or(1);
    let complete = u64::try_from(succeeded).is_ok_and(|succeeded| succeeded >= completions);
    let suspended = job.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false);
    let modern = state.settings.minor >= 31;
    state.edit(key, |job| {
        let status = &mut job["status"];
        count(status, "active", active);
        count(status, "succeeded", succeeded);
        count(status, "failed", failed);
        if modern {
            status["terminating"] = json!(terminating);
        }
        if status.get("startTime").is_none() && !suspended {
            status["startTime"] = json!(now());
        }
    });
    if let Some(target) = condition(&job, "FailureTarget") {
        let (reason, message) = (text(target, "/reason"), text(target, "/message"));
        fail(state, key, &End { kind: "Failed", reason, message });
    } else if complete {
        let end =
            |kind| End { kind, reason: "CompletionsReached", message: "Reached expected number of succeeded pods" };
        if modern {
            add_condition(state, key, &end("SuccessCriteriaMet"));
            add_condition(state, key, &end("Complete"));
        } else {
            add_condition(state, key, &End { kind: "Complete", reason: "", message: "" });
        }
        state.edit(key, |job| job["status"]["completionTime"] = json!(now()));
    } else if exceeded {
        let message = "Job has reached the specified backoff limit";
        fail(state, key, &End { kind: "Failed", reason: "BackoffLimitExceeded", message });
    } else if !suspended && active == 0 {
        create_pod(state, key, &job);
    }
}

/// A pod counts as failed as soon as it is being deleted, or gone without a word.
fn look(track: &mut Track, pods: &[(Key, Arc<Value>)]) {
    for fate in track.iter_mut() {
        let there = pods.iter().any(|(_, pod)| text(pod, "/metadata/uid") == fate.0);
        if !there && *fate.1 == Fate::Active {
            *fate.1 = Fate::Failed;
        }
    }
    for (_, pod) in pods {
        let fate = match text(pod, "/status/phase") {
            "Succeeded" => Fate::Succeeded,
            "Failed" => Fate::Failed,
            _ if is_deleting(pod) => Fate::Failed,
            _ => Fate::Active,
        };
        let known = track.entry(text(pod, "/metadata/uid").to_owned()).or_insert(fate);
        if *known == Fate::Active {
            *known = fate;
        }
    }
}

/// Ends a Job as failed, and what is active of it. A modern server says so beforehand, and then waits for the pods.
fn fail(state: &mut State, key: &Key, end: &End<'_>) {
    let Some(job) = state.get(key).map(Arc::clone) else { return };
    let modern = state.settings.minor >= 31;
    if modern {
        add_condition(state, key, &End { kind: "FailureTarget", ..*end });
    }
    let pods = state.owned_by(text(&job, "/metadata/uid"));
    for (pod, object) in pods {
        if pod.resource == Resource::Pods
            && !is_over(&object)
            && !is_deleting(&object)
            && let Err(failure) = delete::one(state, &pod, &Options::default())
        {
            tracing::debug!(?failure, "a pod was gone already");
        }
    }
    let pods = state.owned_by(text(&job, "/metadata/uid"));
    let waits = pods.iter().any(|(pod, object)| pod.resource == Resource::Pods && !is_over(object));
    if !modern || !waits {
        state.edit(key, |job| count(&mut job["status"], "active", 0));
        add_condition(state, key, end);
    }
}

/// Ends a Job as failed though its pods are well, as a deadline does.
pub(crate) fn fail_job(state: &mut State, key: &Key, reason: &str, message: &str) {
    fail(state, key, &End { kind: "Failed", reason, message });
}

fn count(status: &mut Value, field: &str, number: usize) {
    if number > 0 {
        status[field] = json!(number);
    } else if let Some(fields) = status.as_object_mut() {
        fields.shift_remove(field);
    }
}

fn condition<'a>(job: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array)?;
    conditions.iter().find(|is| text(is, "/type") == kind && text(is, "/status") == "True")
}

fn has_condition(job: &Value, kind: &str) -> bool {
    condition(job, kind).is_some()
}

fn add_condition(state: &mut State, key: &Key, end: &End<'_>) {
    if state.get(key).is_some_and(|job| has_condition(job, end.kind)) {
        return;
    }
    let mut condition =
        json!({"type": end.kind, "status": "True", "lastProbeTime": now(), "lastTransitionTime": now()});
    if !end.reason.is_empty() {
        condition["reason"] = json!(end.reason);
        condition["message"] = json!(end.message);
    }
    state.edit(key, |job| {
        let conditions = &mut job["status"]["conditions"];
        match conditions.as_array_mut() {
            Some(conditions) => conditions.push(condition),
            None => *conditions = json!([condition]),
        }
    });
}

fn create_pod(state: &mut State, key: &Key, job: &Value) {
    let template = job.pointer("/spec/template").cloned().unwrap_or_default();
    let mut metadata = template.get("metadata").cloned().unwrap_or_default();
    metadata["generateName"] = json!(format!("{}-", key.name));
    metadata["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": key.name, "uid": text(job, "/metadata/uid"),
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let pod = Key {
        resource: Resource::Pods,
        namespace: key.namespace.clone(),
        name: generated_name(&format!("{}-", key.name)),
    };
    let status = json!({"phase": "Pending", "qosClass": "BestEffort"});
    state.insert(&pod, json!({"metadata": metadata, "spec": template.get("spec"), "status": status}));
}
