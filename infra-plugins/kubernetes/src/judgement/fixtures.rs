//! Statuses as clusters give them, for tests.

use jiff::Timestamp;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Event;

use super::digest::{HappeningDigest, JobDigest, PodDigest};

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

pub(super) fn pod(name: &str) -> PodDigest {
    PodDigest::of(&read(name))
}

pub(super) fn job(name: &str) -> JobDigest {
    JobDigest::of(&read(name))
}

pub(super) fn happenings(name: &str) -> Vec<HappeningDigest> {
    read::<List<Event>>(name).items.iter().filter_map(HappeningDigest::of).collect()
}

/// A minute and second of the hour in which everything in the fixtures happens.
pub(super) fn at(minute: &str) -> Timestamp {
    format!("2026-11-26T10:{minute}Z").parse().unwrap()
}
