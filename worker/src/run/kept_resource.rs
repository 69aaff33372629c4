//! An event's resource as it is kept between two events of a run.
//!
//! A run's last event may be told days after its first one, and thousands of runs wait for that at the same time. The map that
//! goes over the wire has room for eleven entries from the start, and each name in an allocation of its own: several times what
//! it holds.

use std::borrow::Cow;
use std::sync::Arc;

use central_api_wire::event::Resource;
use serde::{Deserialize, Serialize, Serializer};

/// Names of entries that all runs have.
const NAMES: [&str; 5] =
    ["prefect.resource.id", "prefect.resource.name", "prefect.resource.role", "prefect.version", "prefect.worker-type"];

/// A resource, in as little memory as it needs. Clones share it: each record for the journal has one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Resource")]
pub(super) struct KeptResource(Arc<[(Cow<'static, str>, Box<str>)]>);

impl From<Resource> for KeptResource {
    fn from(resource: Resource) -> Self {
        let name = |name: String| match NAMES.iter().find(|known| **known == name) {
            Some(known) => Cow::Borrowed(*known),
            None => Cow::Owned(name),
        };
        Self(resource.into_iter().map(|(key, value)| (name(key), value.into_boxed_str())).collect())
    }
}

/// As the map that it stands for, without making one: a run is written down several times.
impl Serialize for KeptResource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl KeptResource {
    /// As it goes over the wire.
    pub(super) fn resource(&self) -> Resource {
        self.0.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    /// The value of an entry.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn resource() -> Resource {
        let entries =
            NAMES.into_iter().chain(["of.a.plugin"]).map(|name| (name.to_owned(), format!("value of {name}")));
        entries.collect()
    }

    #[test]
    fn what_is_kept_is_the_same_in_memory_and_in_the_journal() {
        let kept = KeptResource::from(resource());
        assert_eq!(kept.resource(), resource());
        let written = serde_json::to_string(&kept).unwrap();
        assert_eq!(written, serde_json::to_string(&resource()).unwrap(), "other versions read it");
        assert_eq!(serde_json::from_str::<KeptResource>(&written).unwrap(), kept);
        assert_eq!((kept.get("prefect.version"), kept.get("x")), (Some("value of prefect.version"), None));
    }

    #[test]
    fn names_that_every_run_has_are_not_kept_once_for_each() {
        let written: KeptResource = serde_json::from_value(serde_json::json!(resource())).unwrap();
        let owned: BTreeMap<&str, bool> =
            written.0.iter().map(|(name, _)| (&**name, matches!(name, Cow::Owned(_)))).collect();
        assert_eq!(
            owned.iter().filter(|(_, owned)| **owned).map(|(name, _)| *name).collect::<Vec<_>>(),
            ["of.a.plugin"]
        );
    }
}
