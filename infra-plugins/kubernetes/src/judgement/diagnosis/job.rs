//! What keeps a Job from making its pod.

use infra_contract::Severity;

use super::super::digest::{HappeningDigest, JobConditionKind, JobDigest};
use super::{Category, Diagnosis, said};

/// What is wrong with a Job that has no pod. `happenings` are the recent events about it.
pub(crate) fn diagnose_job(job: &JobDigest, happenings: &[HappeningDigest]) -> Option<Diagnosis> {
    let is_waiting = job.conditions.iter().all(|condition| condition.kind == JobConditionKind::Suspended);
    if job.active > 0 || !is_waiting || job.deleted.is_some() {
        return None;
    }
    let place = format!("{}/{}", job.namespace, job.name);
    if job.is_suspended {
        let what = format!("Job {place} is suspended");
        let fix = "A queue of the cluster, or whoever suspended it, has to let it go";
        return Some(Diagnosis::new(Category::Suspended, Severity::Warning, &what, fix));
    }
    let about = happenings.iter().filter(|told| told.is_about_job(job) && &*told.reason == "FailedCreate");
    let message = &*about.max_by_key(|told| told.last)?.message;
    let (category, reason, fix) = cause(message);
    let message = message.strip_prefix("Error creating:").unwrap_or(message);
    let what = said(format!("The cluster refuses the pod of Job {place}"), Some(message));
    Some(Diagnosis::new(category, Severity::Error, &what, fix).because(Some(reason)))
}

fn cause(message: &str) -> (Category, &'static str, &'static str) {
    let says = |word: &str| message.contains(word);
    if says("exceeded quota") {
        let fix = "Wait for other pods to end, lower the requests, or raise the namespace's quota";
        (Category::QuotaExceeded, "Quota", fix)
    } else if says("failed quota") {
        let fix =
            "The namespace's quota asks for requests and limits: set `cpu_request`, `memory_request` and the limits";
        (Category::QuotaExceeded, "QuotaNeedsRequests", fix)
    } else if says("violates PodSecurity") || says("unable to validate against any pod security policy") {
        let fix = "Set the security context in the job template as the namespace's pod security level asks for";
        (Category::AdmissionDenied, "PodSecurity", fix)
    } else if says("denied the request") || says("failed calling webhook") {
        let fix = "Change the job template as the cluster's policy asks for, or ask who runs the cluster";
        (Category::AdmissionDenied, "Webhook", fix)
    } else if says("serviceaccount") || says("service account") {
        let fix = "Create the service account in the Job's namespace, or correct `service_account_name`";
        (Category::PodNotCreated, "ServiceAccount", fix)
    } else {
        (Category::PodNotCreated, "Other", "Correct the job template")
    }
}
