use serde_json::{Value, json};

use crate::state::{now, text};

/// A state of a pod, as its kubelet or the scheduler would report it. All containers of the pod share it.
#[derive(Clone, Debug)]
pub enum PodState {
    /// No node has room for it.
    Unschedulable {
        /// What the scheduler says.
        message: String,
    },
    /// On a node, its containers wait: `ContainerCreating`, `ImagePullBackOff`, `CreateContainerConfigError`...
    Pending {
        /// Why they wait.
        reason: String,
        /// What the kubelet says.
        message: String,
    },
    /// Its containers run.
    Running,
    /// A container ended and waits in `CrashLoopBackOff` to be started again.
    CrashLoop {
        /// The exit code of the last time.
        exit: i32,
        /// How often it was started again.
        restarts: u32,
    },
    /// All containers ended well.
    Succeeded,
    /// The containers ended with this.
    Failed {
        /// The exit code.
        exit: i32,
        /// `Error`, `ContainerCannotRun`...
        reason: String,
    },
    /// The kernel killed a container for its memory.
    OomKilled,
    /// The kubelet took it off the node.
    Evicted {
        /// For example `The node was low on resource: memory.`
        message: String,
    },
    /// The scheduler took it off the node for another, with the exit code of a pod that heeds SIGTERM.
    Preempted,
    /// The pod ended for a reason of its own, without a container to tell: `DeadlineExceeded`, `NodeAffinity`...
    FailedPod {
        /// The reason of the pod.
        reason: String,
        /// The message of the pod.
        message: String,
    },
    /// Its node does not answer.
    NodeLost,
    /// This status, whole.
    Status(Value),
}

impl PodState {
    /// Waiting with a reason and no message.
    pub fn pending(reason: &str) -> Self {
        Self::Pending { reason: reason.to_owned(), message: String::new() }
    }

    /// Ended with an exit code and the reason `Error`.
    pub fn failed(exit: i32) -> Self {
        Self::Failed { exit, reason: "Error".to_owned() }
    }

    pub(crate) fn has_node(&self) -> bool {
        !matches!(self, Self::Unschedulable { .. } | Self::Status(_))
    }

    /// The status of a pod that comes to this state.
    pub(crate) fn status(&self, pod: &Value) -> Value {
        let started = match pod.pointer("/status/startTime") {
            Some(started) => started.clone(),
            None => json!(now()),
        };
        let with = |phase: &str, container: Value, extra: Value| {
            let ready = container.pointer("/state/running").is_some();
            let mut status = json!({
                "phase": phase, "qosClass": "BestEffort", "startTime": started, "hostIP": "10.0.0.1",
                "podIP": "10.1.0.1", "conditions": [
                    {"type": "PodScheduled", "status": "True"}, {"type": "Initialized", "status": "True"},
                    {"type": "Ready", "status": if ready { "True" } else { "False" }},
                    {"type": "ContainersReady", "status": if ready { "True" } else { "False" }},
                ],
            });
            if !container.is_null() {
                status["containerStatuses"] = containers(pod, &container, ready);
            }
            for (key, value) in extra.as_object().into_iter().flatten() {
                status[key.as_str()] = value.clone();
            }
            status
        };
        match self {
            Self::Unschedulable { message } => {
                let condition =
                    json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
                json!({"phase": "Pending", "qosClass": "BestEffort", "conditions": [condition]})
            }
            Self::Pending { reason, message } => {
                let mut waiting = json!({"reason": reason});
                if !message.is_empty() {
                    waiting["message"] = json!(message);
                }
                with("Pending", json!({"state": {"waiting": waiting}}), Value::Null)
            }
            Self::Running => with("Running", json!({"state": {"running": {"startedAt": now()}}}), Value::Null),
            Self::CrashLoop { exit, restarts } => {
                let container = json!({
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": terminated(*exit, "Error")}, "restartCount": restarts,
                });
                with("Running", container, Value::Null)
            }
            Self::Succeeded => with("Succeeded", ended(0, "Completed"), Value::Null),
            Self::Failed { exit, reason } => with("Failed", ended(*exit, reason), Value::Null),
            Self::OomKilled => with("Failed", ended(137, "OOMKilled"), Value::Null),
            Self::Evicted { message } => {
                let mut status = with("Failed", ended(137, "Error"), json!({"reason": "Evicted", "message": message}));
                disrupt(&mut status, "TerminationByKubelet", message);
                status
            }
            Self::Preempted => {
                let mut status = with("Failed", ended(143, "Error"), Value::Null);
                disrupt(&mut status, "PreemptionByScheduler", "preempting to accommodate a higher priority pod");
                status
            }
            Self::FailedPod { reason, message } => {
                with("Failed", Value::Null, json!({"reason": reason, "message": message}))
            }
            Self::NodeLost => {
                let message = "Node node-1 which was running the pod is unresponsive";
                let mut status = pod.get("status").cloned().unwrap_or_default();
                status["reason"] = json!("NodeLost");
                status["message"] = json!(message);
                for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
                    if text(condition, "/type") == "Ready" {
                        condition["status"] = json!("False");
                    }
                }
                disrupt(&mut status, "DeletionByTaintManager", message);
                status
            }
            Self::Status(status) => status.clone(),
        }
    }
}

fn disrupt(status: &mut Value, reason: &str, message: &str) {
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message});
    match status.get_mut("conditions").and_then(Value::as_array_mut) {
        Some(conditions) => conditions.push(condition),
        None => status["conditions"] = json!([condition]),
    }
}

fn ended(exit: i32, reason: &str) -> Value {
    json!({"state": {"terminated": terminated(exit, reason)}})
}

fn terminated(exit: i32, reason: &str) -> Value {
    json!({"exitCode": exit, "reason": reason, "startedAt": now(), "finishedAt": now()})
}

fn containers(pod: &Value, state: &Value, ready: bool) -> Value {
    let specs = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let statuses = specs.map(|spec| {
        let (name, image) = (text(spec, "/name"), text(spec, "/image"));
        let mut status = json!({
            "name": name, "image": image, "imageID": "", "ready": ready, "started": ready, "restartCount": 0,
            "lastState": {}, "containerID": format!("containerd://{name}"),
        });
        for (key, value) in state.as_object().into_iter().flatten() {
            status[key.as_str()] = value.clone();
        }
        status
    });
    statuses.collect()
}
