//! Filters on events. Pure.

use central_api_wire::event::{Event, Resource};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Which events are wanted. A list that is empty or missing restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EventQuery {
    occurred: Option<Occurred>,
    event: Option<NameFilter>,
    resource: Option<ResourceFilter>,
    related: Option<OneOrMore<ResourceFilter>>,
    any_resource: Option<OneOrMore<ResourceFilter>>,
    id: Option<IdFilter>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Occurred {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct NameFilter {
    prefix: Option<Vec<String>>,
    exclude_prefix: Option<Vec<String>>,
    name: Option<Vec<String>>,
    exclude_name: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ResourceFilter {
    id: Option<Vec<String>>,
    id_prefix: Option<Vec<String>>,
    role: Option<Vec<String>>,
    labels: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct IdFilter {
    id: Option<Vec<Uuid>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::More(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

impl EventQuery {
    /// Limits how far it looks back.
    pub(crate) fn not_before(&mut self, earliest: Timestamp) {
        let occurred = self.occurred.get_or_insert(Occurred { since: None, until: None });
        occurred.since = Some(occurred.since.map_or(earliest, |since| since.max(earliest)));
    }

    /// Whether an event is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        let all: Vec<&Resource> = std::iter::once(&event.resource).chain(&event.related).collect();
        let related: Vec<&Resource> = event.related.iter().collect();
        self.occurred.as_ref().is_none_or(|occurred| occurred.holds(event.occurred))
            && self.event.as_ref().is_none_or(|name| name.holds(&event.event))
            && self.resource.as_ref().is_none_or(|filter| filter.holds(&event.resource))
            && any_holds(self.related.as_ref(), &related)
            && any_holds(self.any_resource.as_ref(), &all)
            && self.id.as_ref().is_none_or(|filter| unset_or(filter.id.as_deref(), |id| *id == event.id))
    }
}

impl Occurred {
    fn holds(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }
}

impl NameFilter {
    fn holds(&self, name: &str) -> bool {
        let begins = |prefix: &String| name.starts_with(prefix.as_str());
        let is = |wanted: &String| wanted == name;
        unset_or(self.prefix.as_deref(), begins)
            && unset_or(self.name.as_deref(), is)
            && !self.exclude_prefix.iter().flatten().any(begins)
            && !self.exclude_name.iter().flatten().any(is)
    }
}

impl ResourceFilter {
    fn holds(&self, resource: &Resource) -> bool {
        let label = |key: &str| resource.get(key).map(String::as_str).unwrap_or_default();
        let (id, role) = (label("prefect.resource.id"), label("prefect.resource.role"));
        unset_or(self.id.as_deref(), |wanted| wanted == id)
            && unset_or(self.id_prefix.as_deref(), |prefix| id.starts_with(prefix.as_str()))
            && unset_or(self.role.as_deref(), |wanted| wanted == role)
            && self.labels.iter().flatten().all(|(key, wanted)| has_label(wanted, label(key)))
    }
}

fn has_label(wanted: &Value, value: &str) -> bool {
    match wanted {
        Value::Array(any) => any.iter().any(|wanted| wanted == value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => wanted == value,
    }
}

/// Every filter is met by some resource.
fn any_holds(filters: Option<&OneOrMore<ResourceFilter>>, resources: &[&Resource]) -> bool {
    filters
        .map_or(&[][..], OneOrMore::as_slice)
        .iter()
        .all(|filter| resources.iter().any(|resource| filter.holds(resource)))
}

fn unset_or<T>(list: Option<&[T]>, holds: impl FnMut(&T) -> bool) -> bool {
    list.is_none_or(|list| list.is_empty() || list.iter().any(holds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Event {
        serde_json::from_value(json!({
            "occurred": "2026-11-21T01:47:00.812584Z",
            "event": "prefect.flow-run.Cancelling",
            "resource": {"prefect.resource.id": "prefect.flow-run.1"},
            "related": [{"prefect.resource.id": "prefect.work-pool.2", "prefect.resource.role": "work-pool"}],
            "id": Uuid::from_u128(7),
        }))
        .unwrap()
    }

    fn matches(query: Value) -> bool {
        serde_json::from_value::<EventQuery>(query).unwrap().matches(&event())
    }

    #[test]
    fn what_a_filter_leaves_open_matches_everything() {
        assert!(matches(json!({"event": {"name": null, "prefix": null}, "any_resource": null, "id": {"id": []}})));
    }

    #[test]
    fn each_part_of_a_filter_restricts() {
        for (query, expected) in [
            (json!({"event": {"name": ["prefect.flow-run.Cancelling"]}}), true),
            (json!({"event": {"name": ["prefect.flow-run.Cancelled"]}}), false),
            (
                json!({"event": {"prefix": ["prefect.flow-run."], "exclude_name": ["prefect.flow-run.Cancelling"]}}),
                false,
            ),
            (json!({"any_resource": {"id": ["prefect.work-pool.2"]}}), true),
            (json!({"any_resource": [{"id": ["prefect.flow-run.1"]}, {"id_prefix": ["prefect.work-pool."]}]}), true),
            (json!({"any_resource": {"id": ["prefect.work-pool.3"]}}), false),
            (json!({"resource": {"id": ["prefect.work-pool.2"]}}), false),
            (json!({"related": {"role": ["work-pool"]}}), true),
            (json!({"occurred": {"since": "2026-11-21T01:47:01Z", "until": "2027-11-21T01:47:01Z"}}), false),
            (json!({"id": {"id": [Uuid::from_u128(7)]}}), true),
        ] {
            assert_eq!(matches(query.clone()), expected, "{query}");
        }
    }
}
