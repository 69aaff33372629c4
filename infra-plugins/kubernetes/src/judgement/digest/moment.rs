//! A point in time, as small as Kubernetes says it.

use std::num::NonZeroI64;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Whole seconds since the epoch, which itself means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroI64);

impl Moment {
    pub(crate) fn of(time: Option<&Time>) -> Option<Self> {
        NonZeroI64::new(time?.0.as_second()).map(Self)
    }

    pub(crate) fn timestamp(self) -> Timestamp {
        Timestamp::from_second(self.0.get()).unwrap_or_default()
    }
}
