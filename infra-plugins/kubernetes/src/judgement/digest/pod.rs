//! What is kept of a pod.

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::container::{FLOW_CONTAINER, containers};
use super::{ContainerDigest, Moment, Role, Terminated, Words, kept};

/// The labels of a pod that events about it relate to, in the order of [`PodLabels`].
const LABELS: [&str; 9] = [
    "prefect.io/flow-run-id",
    "prefect.io/flow-run-name",
    "prefect.io/deployment-id",
    "prefect.io/deployment-name",
    "prefect.io/flow-id",
    "prefect.io/flow-name",
    "prefect.io/work-pool-id",
    "prefect.io/work-pool-name",
    "prefect.io/worker-name",
];

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

impl PodPhase {
    fn of(phase: Option<&str>) -> Self {
        match phase {
            Some("Pending") | None => Self::Pending,
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            Some(_) => Self::Unknown,
        }
    }

    /// As Kubernetes spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether nothing of the pod runs any more.
    pub(crate) const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodDigest {
    pub(crate) uid: Box<str>,
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) job: Option<Box<str>>,
    pub(crate) resource_version: Box<str>,
    pub(crate) node: Option<Box<str>>,
    pub(crate) created: Option<Moment>,
    /// When it is to be gone, if it was deleted.
    pub(crate) deleted: Option<Moment>,
    /// When a kubelet took it.
    pub(crate) accepted: Option<Moment>,
    /// The newest change of any condition.
    pub(crate) changed: Option<Moment>,
    /// The pod's own reason and message.
    pub(crate) words: Option<Box<Words>>,
    /// Why it has no node.
    pub(crate) unscheduled: Option<Box<Words>>,
    /// Why its end is near or was brought about.
    pub(crate) disruption: Option<Box<Words>>,
    pub(crate) containers: Box<[ContainerDigest]>,
    pub(crate) labels: PodLabels,
    pub(crate) phase: PodPhase,
    pub(crate) is_ready: bool,
    /// The cluster does not have it any more; the rest is what was seen last. Set by the watcher.
    pub(crate) is_gone: bool,
}

impl PodDigest {
    pub(crate) fn of(pod: &Pod) -> Self {
        let (meta, status) = (&pod.metadata, pod.status.as_ref());
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let condition = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
        let is_true = |condition: &&PodCondition| condition.status == "True";
        let words = |condition: &PodCondition| Words::of(condition.reason.as_deref(), condition.message.as_deref());
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            job: job_of(meta),
            resource_version: meta.resource_version.as_deref().unwrap_or_default().into(),
            node: kept(pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref())),
            created: Moment::of(meta.creation_timestamp.as_ref()),
            deleted: Moment::of(meta.deletion_timestamp.as_ref()),
            accepted: Moment::of(status.and_then(|status| status.start_time.as_ref())),
            changed: conditions
                .iter()
                .filter_map(|condition| Moment::of(condition.last_transition_time.as_ref()))
                .max(),
            words: status.and_then(|status| Words::of(status.reason.as_deref(), status.message.as_deref())),
            unscheduled: condition("PodScheduled").filter(|condition| !is_true(condition)).and_then(words),
            disruption: condition("DisruptionTarget").filter(is_true).and_then(words),
            containers: containers(pod.spec.as_ref(), status),
            labels: PodLabels::of(meta),
            phase: PodPhase::of(status.and_then(|status| status.phase.as_deref())),
            is_ready: condition("Ready").is_some_and(|condition| is_true(&condition)),
            is_gone: false,
        }
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.words.as_ref()?.reason.as_deref()
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.words.as_ref()?.message.as_deref()
    }

    /// The container that runs the flow.
    pub(crate) fn flow(&self) -> Option<&ContainerDigest> {
        self.containers.iter().find(|container| container.role == Role::Flow)
    }

    /// The containers that are not init containers.
    pub(crate) fn regular(&self) -> impl Iterator<Item = &ContainerDigest> {
        self.containers.iter().filter(|container| !container.is_init())
    }

    /// The init container that failed, and how.
    pub(crate) fn failed_init(&self) -> Option<(&ContainerDigest, &Terminated)> {
        let inits = self.containers.iter().filter(|container| container.role == Role::Init);
        inits.filter_map(|init| Some((init, init.terminated()?))).find(|(_, end)| end.code != 0)
    }

    /// The container whose output tells how the pod ended: an init container that failed, else the flow's.
    pub(crate) fn telling(&self) -> Option<&ContainerDigest> {
        self.failed_init().map(|(init, _)| init).or_else(|| self.flow())
    }

    /// Whether the container that tells how it ended ever ran.
    pub(crate) fn has_written(&self) -> bool {
        self.telling().is_some_and(ContainerDigest::has_started)
    }

    /// Whether the flow's container ever ran.
    pub(crate) fn has_started(&self) -> bool {
        self.flow().is_some_and(ContainerDigest::has_started)
    }

    /// Whether something of it runs or will.
    pub(crate) const fn may_run(&self) -> bool {
        !self.phase.is_terminal()
    }

    /// The exit code of the flow, if it has ended.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        Some(self.flow()?.terminated()?.code)
    }

    pub(crate) fn flow_container_name(&self) -> &str {
        self.flow().map_or(FLOW_CONTAINER, |flow| &flow.name)
    }

    /// The reason of its disruption.
    pub(crate) fn disruption_reason(&self) -> Option<&str> {
        self.disruption.as_ref()?.reason.as_deref()
    }
}

/// The Job that a pod belongs to.
fn job_of(meta: &ObjectMeta) -> Option<Box<str>> {
    let owners = meta.owner_references.as_deref().unwrap_or_default();
    let label = |key: &str| meta.labels.as_ref()?.get(key).map(String::as_str);
    let owner = || owners.iter().find(|owner| owner.kind == "Job").map(|owner| owner.name.as_str());
    kept(label("batch.kubernetes.io/job-name").or_else(|| label("job-name")).or_else(owner))
}

/// The labels that events relate to, in one piece: values of labels hold no line ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodLabels(Box<str>);

impl PodLabels {
    fn of(meta: &ObjectMeta) -> Self {
        let Some(labels) = &meta.labels else { return Self::default() };
        let values = LABELS.map(|key| labels.get(key).map(String::as_str).unwrap_or_default());
        Self(values.join("\n").into())
    }

    fn get(&self, index: usize) -> Option<&str> {
        self.0.split('\n').nth(index).filter(|value| !value.is_empty())
    }

    pub(crate) fn by_key(&self, key: &str) -> Option<&str> {
        self.get(LABELS.iter().position(|label| *label == key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures::pod;
    use super::*;

    /// What the digest takes on the heap.
    fn size(pod: &PodDigest) -> usize {
        let words = |words: &Option<Box<Words>>| {
            words.as_ref().map_or(0, |words| {
                size_of::<Words>()
                    + [&words.reason, &words.message].into_iter().flatten().map(|text| text.len()).sum::<usize>()
            })
        };
        let container = |container: &ContainerDigest| {
            size_of::<ContainerDigest>()
                + container.name.len()
                + container.image.len()
                + container.memory_limit.as_ref().map_or(0, |limit| limit.len())
        };
        let texts = [&pod.uid, &pod.namespace, &pod.name, &pod.resource_version, &pod.labels.0];
        let optional = [&pod.job, &pod.node];
        texts.into_iter().chain(optional.into_iter().flatten()).map(|text| text.len()).sum::<usize>()
            + [&pod.words, &pod.unscheduled, &pod.disruption].into_iter().map(words).sum::<usize>()
            + pod.containers.iter().map(container).sum::<usize>()
    }

    #[test]
    fn a_healthy_pod_is_kept_in_a_few_hundred_bytes() {
        let pod = pod("modern/pod-running.json");
        let bytes = size_of::<PodDigest>() + size(&pod);
        assert!(bytes <= 600, "{bytes}");
    }

    #[test]
    fn a_pod_is_told_by_its_labels_or_its_owner() {
        let modern = pod("modern/pod-running.json");
        assert_eq!(modern.job.as_deref(), Some("cute-crab-x7k2p"));
        assert_eq!(modern.labels.by_key("prefect.io/flow-run-id"), Some("0f9e7f0c-3f5c-4a53-9b0e-2f1f6a1f9d11"));
        assert_eq!(modern.labels.by_key("prefect.io/worker-name"), Some("w1"));
        assert!(modern.is_ready && modern.has_started());
        let old = pod("1.20/pod-running.json");
        assert_eq!(old.job.as_deref(), Some("cute-crab-9x8vq"));
        assert_eq!(old.labels.by_key("prefect.io/deployment-id"), None);
        assert_eq!(old.node.as_deref(), Some("node-1"));
    }

    #[test]
    fn the_flows_container_is_prefects_or_the_first() {
        let roles = |pod: &PodDigest| {
            pod.containers.iter().map(|container| (container.name.to_string(), container.role)).collect::<Vec<_>>()
        };
        let with_sidecars = pod("modern/pod-sidecar-failed.json");
        assert_eq!(
            roles(&with_sidecars),
            [
                ("fetch".to_owned(), Role::Init),
                ("mesh".to_owned(), Role::InitSidecar),
                ("metrics".to_owned(), Role::Sidecar),
                ("prefect-job".to_owned(), Role::Flow),
            ]
        );
    }
}
