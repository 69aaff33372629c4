//! What is kept of a container.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, PodSpec, PodStatus,
};

use super::{Moment, kept};

/// The container that Prefect's template gives the flow.
pub(super) const FLOW_CONTAINER: &str = "prefect-job";

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It runs the flow.
    Flow,
    /// It runs beside the flow.
    Sidecar,
    /// It runs before the flow and has to end well.
    Init,
    /// It is started before the flow and runs beside it.
    InitSidecar,
}

/// A reason in one word and what is said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) reason: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
}

impl Words {
    pub(super) fn of(reason: Option<&str>, message: Option<&str>) -> Option<Box<Self>> {
        let words = Self { reason: kept(reason), message: kept(message) };
        (words != Self::default()).then(|| Box::new(words))
    }
}

/// The end of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terminated {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) words: Option<Box<Words>>,
    pub(crate) started: Option<Moment>,
    pub(crate) finished: Option<Moment>,
}

impl Terminated {
    fn of(state: &ContainerStateTerminated) -> Self {
        Self {
            code: state.exit_code,
            signal: state.signal.filter(|signal| *signal != 0),
            words: Words::of(state.reason.as_deref(), state.message.as_deref()),
            started: Moment::of(state.started_at.as_ref()),
            finished: Moment::of(state.finished_at.as_ref()),
        }
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.words.as_ref()?.reason.as_deref()
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.words.as_ref()?.message.as_deref()
    }
}

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No kubelet has said anything.
    Unknown,
    Waiting(Option<Box<Words>>),
    Running(Option<Moment>),
    Terminated(Box<Terminated>),
}

impl State {
    fn of(state: Option<&ContainerState>) -> Self {
        let Some(state) = state else { return Self::Unknown };
        if let Some(terminated) = &state.terminated {
            return Self::Terminated(Box::new(Terminated::of(terminated)));
        }
        if let Some(running) = &state.running {
            return Self::Running(Moment::of(running.started_at.as_ref()));
        }
        state.waiting.as_ref().map_or(Self::Unknown, |waiting| {
            Self::Waiting(Words::of(waiting.reason.as_deref(), waiting.message.as_deref()))
        })
    }
}

/// What is kept of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerDigest {
    pub(crate) name: Box<str>,
    /// As the Job has it: kubelets tell a digest instead.
    pub(crate) image: Box<str>,
    pub(crate) memory_limit: Option<Box<str>>,
    pub(crate) state: State,
    pub(crate) last: Option<Box<Terminated>>,
    pub(crate) restarts: i32,
    pub(crate) role: Role,
}

impl ContainerDigest {
    fn new(name: &str, spec: Option<&Container>, status: Option<&ContainerStatus>, role: Role) -> Self {
        let image = spec.and_then(|spec| spec.image.as_deref()).or(status.map(|status| status.image.as_str()));
        let limits = spec.and_then(|spec| spec.resources.as_ref()?.limits.as_ref());
        let last = status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
        Self {
            name: name.into(),
            image: image.unwrap_or_default().into(),
            memory_limit: kept(limits.and_then(|limits| limits.get("memory")).map(|limit| limit.0.as_str())),
            state: State::of(status.and_then(|status| status.state.as_ref())),
            last: last.map(Terminated::of).map(Box::new),
            restarts: status.map_or(0, |status| status.restart_count),
            role,
        }
    }

    /// What it waits for, if it waits.
    pub(crate) fn waiting(&self) -> Option<(&str, &str)> {
        let State::Waiting(words) = &self.state else { return None };
        let words = words.as_ref()?;
        Some((words.reason.as_deref()?, words.message.as_deref().unwrap_or_default()))
    }

    pub(crate) fn terminated(&self) -> Option<&Terminated> {
        if let State::Terminated(terminated) = &self.state { Some(terminated) } else { None }
    }

    /// Whether it ever ran.
    pub(crate) fn has_started(&self) -> bool {
        self.last.is_some() || matches!(self.state, State::Running(_) | State::Terminated(_))
    }

    pub(crate) const fn is_init(&self) -> bool {
        matches!(self.role, Role::Init | Role::InitSidecar)
    }
}

/// The containers of a pod in the order of its status, init containers first.
pub(super) fn containers(spec: Option<&PodSpec>, status: Option<&PodStatus>) -> Box<[ContainerDigest]> {
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let init_statuses = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let statuses = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let flow = flow_container(regular).or(statuses.first().map(|status| status.name.as_str()));
    let init_role = |_: &str, spec: Option<&Container>| {
        let stays = spec.and_then(|spec| spec.restart_policy.as_deref()) == Some("Always");
        if stays { Role::InitSidecar } else { Role::Init }
    };
    let role = |name: &str, _: Option<&Container>| if Some(name) == flow { Role::Flow } else { Role::Sidecar };
    let mut digests = merged(init, init_statuses, init_role);
    digests.extend(merged(regular, statuses, role));
    digests.into_boxed_slice()
}

fn flow_container(containers: &[Container]) -> Option<&str> {
    let named = containers.iter().find(|container| container.name == FLOW_CONTAINER);
    named.or(containers.first()).map(|container| container.name.as_str())
}

fn merged(
    specs: &[Container],
    statuses: &[ContainerStatus],
    role: impl Fn(&str, Option<&Container>) -> Role,
) -> Vec<ContainerDigest> {
    let told = statuses.iter().map(|status| {
        let spec = specs.iter().find(|spec| spec.name == status.name);
        ContainerDigest::new(&status.name, spec, Some(status), role(&status.name, spec))
    });
    let untold = specs.iter().filter(|spec| !statuses.iter().any(|status| status.name == spec.name));
    let untold = untold.map(|spec| ContainerDigest::new(&spec.name, Some(spec), None, role(&spec.name, Some(spec))));
    told.chain(untold).collect()
}
