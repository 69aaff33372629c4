//! What is kept of Jobs, pods and events: what judging them needs and no more, because there can be ten thousand.

mod container;
mod happening;
mod job;
mod moment;
mod pod;

pub(crate) use container::{ContainerDigest, Role, State, Terminated, Words};
pub(crate) use happening::HappeningDigest;
pub(crate) use job::{JobCondition, JobConditionKind, JobDigest};
pub(crate) use moment::Moment;
pub(crate) use pod::{PodDigest, PodLabels, PodPhase};

/// A text, kept without room to grow.
fn kept(text: Option<&str>) -> Option<Box<str>> {
    text.filter(|text| !text.is_empty()).map(Box::from)
}
