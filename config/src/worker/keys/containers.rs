//! Settings of Docker and Kubernetes.

use super::{Key, KeyKind, key};

/// Words of `docker.cleanup` and `kubernetes.cleanup`.
pub(crate) const CLEANUP: &[&str] = &["ttl", "keep", "remove"];
/// Words of `docker.secrets`.
pub(crate) const SECRETS: &[&str] = &["file", "environment"];
/// Words of `kubernetes.secrets`.
pub(crate) const KUBERNETES_SECRETS: &[&str] = &["secret", "environment"];
/// Words of `kubernetes.hold_slots`.
pub(crate) const HOLD_SLOTS: &[&str] = &["until_end", "until_submitted"];

pub(crate) const DOCKER_HOST: Key = Key {
    example: "\"unix:///run/user/1000/docker.sock\"",
    doc: "Where the Docker engine is. Unset: found as the `docker` command finds it, by DOCKER_HOST, the current context or the \
          standard sockets, Podman's among them.",
    ..key("docker.host", "WORKER_DOCKER_HOST", KeyKind::Text)
};
pub(crate) const DOCKER_CLEANUP: Key = Key {
    default: Some("\"ttl\""),
    doc: "What becomes of the container of a run that is over: `keep` it, `remove` it, or remove it `cleanup_ttl_seconds` later. \
          The job variables `cleanup` and `auto_remove` of a run say otherwise for its own.",
    ..key("docker.cleanup", "WORKER_DOCKER_CLEANUP", KeyKind::Choice(CLEANUP))
};
pub(crate) const DOCKER_CLEANUP_TTL: Key = Key {
    default: Some("3600"),
    doc: "How long the container of a run that is over is kept where `cleanup` is `ttl`.",
    ..key("docker.cleanup_ttl_seconds", "WORKER_DOCKER_CLEANUP_TTL_SECONDS", KeyKind::WholeSeconds)
};
pub(crate) const DOCKER_SECRETS: Key = Key {
    default: Some("\"file\""),
    doc: "How secrets in the environment of a run reach its container. `file`: in a file that only the container's user can read \
          and that the engine does not record; needs `/bin/sh` in the image. `environment`: as plain variables, which `docker \
          inspect` shows.",
    ..key("docker.secrets", "WORKER_DOCKER_SECRETS", KeyKind::Choice(SECRETS))
};
pub(crate) const DOCKER_PULL_DEADLINE: Key = Key {
    default: Some("300"),
    doc: "A pull of an image that makes no progress for so long is given up. The job variable `image_pull_deadline_seconds` says \
          otherwise for a run.",
    ..key("docker.image_pull_deadline_seconds", "WORKER_DOCKER_IMAGE_PULL_DEADLINE_SECONDS", KeyKind::Interval)
};
pub(crate) const KUBECONFIG: Key = Key {
    example: "\"/etc/worker/kubeconfig.yaml\"",
    doc: "File that says where the Kubernetes cluster is and how to log in to it. Unset: the service account of the pod that the \
          worker runs in, else the file of KUBECONFIG, else `~/.kube/config`.",
    ..key("kubernetes.kubeconfig", "WORKER_KUBERNETES_KUBECONFIG", KeyKind::Path)
};
pub(crate) const KUBERNETES_CONTEXT: Key = Key {
    example: "\"production\"",
    doc: "Context of the kubeconfig file to use; set, the service account of the worker's own pod is not looked at. Unset: its \
          current one.",
    ..key("kubernetes.context", "WORKER_KUBERNETES_CONTEXT", KeyKind::Text)
};
pub(crate) const KUBERNETES_SECRETS_AS: Key = Key {
    default: Some("\"secret\""),
    doc: "How secrets in the environment of a run reach its pod. `secret`: in a Kubernetes Secret that belongs to the Job and goes \
          with it; the worker needs rights on secrets. `environment`: as plain variables, which everybody who may read the Job \
          sees. The secrets named by PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_NAME and the like are used in either \
          case.",
    ..key("kubernetes.secrets", "WORKER_KUBERNETES_SECRETS", KeyKind::Choice(KUBERNETES_SECRETS))
};
pub(crate) const CREATE_DEADLINE: Key = Key {
    default: Some("300"),
    doc: "How long the worker goes on trying to create a Job while the cluster cannot be reached or is overloaded. It takes the \
          place of PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_JOB_RETRY_MAX_RETRIES and its like.",
    ..key("kubernetes.create_deadline_seconds", "WORKER_KUBERNETES_CREATE_DEADLINE_SECONDS", KeyKind::Seconds)
};
pub(crate) const KUBERNETES_PULL_DEADLINE: Key = Key {
    default: Some("300"),
    doc: "A run whose image cannot be pulled for so long is given up; after 30 seconds if no further try will help, as with a \
          tag that does not exist. The job variable `image_pull_deadline_seconds` says otherwise for a run.",
    ..key("kubernetes.image_pull_deadline_seconds", "WORKER_KUBERNETES_IMAGE_PULL_DEADLINE_SECONDS", KeyKind::Interval)
};
pub(crate) const START_DEADLINE: Key = Key {
    example: "3600",
    doc: "A run whose pod does not start is given up after so long without progress: while it waits for a node, a volume or a \
          quota. The job variable `start_deadline_seconds` says otherwise for a run. Unset: it may wait for ever.",
    ..key("kubernetes.start_deadline_seconds", "WORKER_KUBERNETES_START_DEADLINE_SECONDS", KeyKind::Interval)
};
pub(crate) const KUBERNETES_CLEANUP: Key = Key {
    default: Some("\"keep\""),
    doc: "What becomes of the Job of a run that is over: `keep` it, as Prefect's worker does, `remove` it, or have the cluster \
          remove it `cleanup_ttl_seconds` later (`ttl`). A `ttlSecondsAfterFinished` in the Job of a run, or its job \
          variable `cleanup`, says otherwise for its own.",
    ..key("kubernetes.cleanup", "WORKER_KUBERNETES_CLEANUP", KeyKind::Choice(CLEANUP))
};
pub(crate) const KUBERNETES_CLEANUP_TTL: Key = Key {
    default: Some("3600"),
    doc: "How long the Job of a run that is over is kept where `cleanup` is `ttl` here. Where only the run says `ttl` it is an \
          hour.",
    ..key("kubernetes.cleanup_ttl_seconds", "WORKER_KUBERNETES_CLEANUP_TTL_SECONDS", KeyKind::WholeSeconds)
};
pub(crate) const KUBERNETES_HOLD_SLOTS: Key = Key {
    default: Some("\"until_end\""),
    doc: "How long a run counts for the limit of its pool. `until_end`: until it is over. `until_submitted`: until its Job exists, \
          as with Prefect's Kubernetes worker; then the limit bounds how many are started at a time and the cluster bounds how \
          many run.",
    ..key("kubernetes.hold_slots", "WORKER_KUBERNETES_HOLD_SLOTS", KeyKind::Choice(HOLD_SLOTS))
};
pub(crate) const INIT_IMAGE: Key = Key {
    example: "\"registry.example.com/prefect-worker:0.1.0\"",
    doc: "The image of the init container that brings a flow's code, for runs with the job variable `native_code`. It has the \
          programs `worker` and `git` in its PATH.",
    ..key("kubernetes.init_image", "WORKER_KUBERNETES_INIT_IMAGE", KeyKind::Text)
};
