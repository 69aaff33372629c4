//! What the API server says when it refuses something, and what to do about it. Pure.

use crate::cluster::CallError;

/// The server's reason and words, as Prefect's worker joins them.
pub(crate) fn told(error: &CallError) -> String {
    match error.reason() {
        "" => error.to_string(),
        reason => format!("{reason}: {error}"),
    }
}

/// What to do about it.
pub(crate) fn hint(error: &CallError) -> Option<&'static str> {
    let said = error.to_string().to_ascii_lowercase();
    let says = |word: &str| said.contains(word);
    Some(match error.code() {
        Some(403) if says("exceeded quota") => {
            "The namespace has no room for another run: raise its ResourceQuota, let finished Jobs be removed (`finished_job_ttl`), or \
             limit the runs of the pool"
        }
        Some(403) if says("violates podsecurity") || says("pod security") => {
            "The namespace's Pod Security level forbids this: set `securityContext` in the pool's job manifest"
        }
        Some(403) if says("is being terminated") => "The namespace is being deleted: choose another in `namespace`",
        Some(403) if says("forbidden: user") || says("cannot ") => {
            "The worker's service account may not do this: `worker kubernetes rbac` prints the Role that it needs, and `worker doctor` what \
             is missing"
        }
        Some(401) => {
            "The worker's credentials for the cluster are not accepted: check the kubeconfig or the service account's token"
        }
        Some(404) if says("namespace") => "Create the namespace, or correct `namespace` in the job variables",
        Some(400 | 403 | 422) if says("admission webhook") || says("denied the request") || says("denied by") => {
            "A policy of the cluster refuses this Job: change the pool's job manifest as it says, or ask who runs the cluster"
        }
        Some(400) if says("strict decoding error") || says("unknown field") => {
            "Correct the field in the pool's job manifest; `kubectl explain job.spec` lists those that there are"
        }
        Some(422) => "Correct the field in the job variables or in the pool's job manifest",
        Some(429) => "The API server is busy, or limits how much the worker may ask",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> CallError {
        let status = Status { code, reason: reason.to_owned(), message: message.to_owned(), ..Status::default() };
        CallError::Refused(Box::new(status))
    }

    #[test]
    fn c108_refusals_say_reason_message_and_what_to_do() {
        for (code, reason, message, word) in [
            (
                403,
                "Forbidden",
                "jobs.batch \"x\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: 5, limited: 5",
                "ResourceQuota",
            ),
            (
                403,
                "Forbidden",
                "jobs.batch is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"jobs\" in API group \"batch\"",
                "worker kubernetes rbac",
            ),
            (404, "NotFound", "namespaces \"nope\" not found", "Create the namespace"),
            (
                400,
                "BadRequest",
                "admission webhook \"v.k.io\" denied the request: no latest tag",
                "policy of the cluster",
            ),
            (400, "BadRequest", "strict decoding error: unknown field \"spec.foo\"", "kubectl explain"),
            (
                422,
                "Invalid",
                "Job.batch \"x\" is invalid: spec.template.spec.containers[0].image: Required value",
                "job manifest",
            ),
        ] {
            let error = refused(code, reason, message);
            assert_eq!(told(&error), format!("{reason}: {message}"));
            assert!(hint(&error).unwrap().contains(word), "{message}");
        }
        assert_eq!(hint(&refused(500, "InternalError", "etcdserver: request timed out")), None);
    }
}
