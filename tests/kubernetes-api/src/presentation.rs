//! How an object is shown: in its API group, whole or only its metadata.

use serde_json::{Value, json};

use crate::resource::Target;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Presentation {
    new_events: bool,
    metadata_only: bool,
}

impl Presentation {
    pub(crate) fn new(target: &Target, accept: &str) -> Self {
        Self { new_events: target.new_events, metadata_only: accept.contains("as=PartialObjectMetadata") }
    }

    pub(crate) fn object(self, object: &Value) -> Value {
        let mut shown = object.clone();
        if self.new_events {
            new_event(&mut shown);
        }
        if self.metadata_only {
            let metadata = shown.get("metadata").cloned().unwrap_or_default();
            return json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            });
        }
        shown
    }

    /// The kind and the API version of a list.
    pub(crate) fn list_kind(self, target: &Target) -> (String, String) {
        if self.metadata_only {
            return ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned());
        }
        let version = if self.new_events { "events.k8s.io/v1".to_owned() } else { target.resource.api_version() };
        (format!("{}List", target.resource.kind()), version)
    }

    /// The kind and the API version of an object.
    pub(crate) fn kind(self, target: &Target) -> (String, String) {
        let (kind, version) = self.list_kind(target);
        (kind.trim_end_matches("List").to_owned(), version)
    }
}

/// An event of `v1` as `events.k8s.io/v1` has it.
fn new_event(event: &mut Value) {
    let mut take = |key: &str| event.as_object_mut().and_then(|fields| fields.remove(key)).unwrap_or_default();
    let (regarding, note, source) = (take("involvedObject"), take("message"), take("source"));
    let (count, first, last) = (take("count"), take("firstTimestamp"), take("lastTimestamp"));
    event["apiVersion"] = json!("events.k8s.io/v1");
    event["regarding"] = regarding;
    event["note"] = note;
    event["deprecatedSource"] = source;
    event["deprecatedCount"] = count;
    event["deprecatedFirstTimestamp"] = first;
    event["deprecatedLastTimestamp"] = last;
}
