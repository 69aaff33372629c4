//! An event's resource as it is kept between two events of a run.
//!
//! A run's last event may be told days after its first one, and thousands of runs wait for that at the same time. The map that
//! goes over the wire has room for eleven entries from the start, and each name in an allocation of its own: several times what
//! it holds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use central_api_wire::event::Resource;
use serde::{Deserialize, Serialize, Serializer};

/// Names of entries that all runs have.
const NAMES: [&str; 5] =
    ["prefect.resource.id", "prefect.resource.name", "prefect.resource.role", "prefect.version", "prefect.worker-type"];

/// A resource, in as little memory as it needs. Clones share it: each record for the journal has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
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

/// So many resources are kept before it is looked which of them no run has any more.
const MANY: usize = 256;

/// Resources that many runs have: their worker, pool, flow, deployment. Each is kept once.
#[derive(Debug, Default)]
pub struct SharedResources(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: HashSet<KeptResource>,
    /// How many there were when it was last looked.
    in_use: usize,
}

impl SharedResources {
    /// The one that is kept already, or this one from now on.
    pub(super) fn one_of(&self, resource: Resource) -> KeptResource {
        let resource = KeptResource::from(resource);
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = shared.kept.get(&resource) {
            return kept.clone();
        }
        if shared.kept.len() >= MANY.max(shared.in_use.saturating_mul(2)) {
            shared.kept.retain(|kept| Arc::strong_count(&kept.0) > 1);
            shared.in_use = shared.kept.len();
        }
        shared.kept.insert(resource.clone());
        resource
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
    fn what_many_runs_have_is_kept_once_and_not_for_longer_than_they_have_it() {
        let shared = SharedResources::default();
        let one = shared.one_of(resource());
        assert!(Arc::ptr_eq(&one.0, &shared.one_of(resource()).0));
        for n in 0..10 * MANY {
            let other = shared.one_of(Resource::from([("prefect.resource.id".to_owned(), n.to_string())]));
            assert_eq!(other.get("prefect.resource.id"), Some(n.to_string().as_str()));
        }
        assert!(shared.0.lock().unwrap().kept.len() <= MANY);
        assert!(Arc::ptr_eq(&one.0, &shared.one_of(resource()).0));
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
