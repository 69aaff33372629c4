//! Which objects a list or a watch is about.

use serde_json::Value;

use crate::failure::Failure;
use crate::query::Query;
use crate::resource::{Resource, Target};

#[derive(Clone, Debug)]
enum Term {
    Is(String, String),
    IsNot(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// A resource, perhaps one namespace of it, and selectors.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) resource: Resource,
    namespace: Option<String>,
    labels: Vec<Term>,
    fields: Vec<Term>,
}

impl Filter {
    pub(crate) fn new(target: &Target, query: &Query) -> Result<Self, Failure> {
        let labels = parse(query.get("labelSelector").unwrap_or_default())?;
        let fields = parse(query.get("fieldSelector").unwrap_or_default())?;
        for field in &fields {
            let (Term::Is(key, _) | Term::IsNot(key, _)) = field else {
                return Err(Failure::bad_request("a field selector has only = and !="));
            };
            if !is_selectable(target.resource, key) {
                return Err(Failure::bad_request(&format!("field label not supported: {key}")));
            }
        }
        Ok(Self { resource: target.resource, namespace: target.namespace.clone(), labels, fields })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let metadata = object.get("metadata");
        let namespace = metadata.and_then(|metadata| metadata.get("namespace")).and_then(Value::as_str);
        let in_namespace = self.namespace.as_deref().is_none_or(|wanted| Some(wanted) == namespace);
        let label = |key: &str| metadata?.get("labels")?.get(key)?.as_str().map(str::to_owned);
        let field = |key: &str| Some(field_of(object, key));
        in_namespace
            && self.labels.iter().all(|term| holds(term, label))
            && self.fields.iter().all(|term| holds(term, field))
    }
}

fn is_selectable(resource: Resource, key: &str) -> bool {
    match key {
        "metadata.name" | "metadata.namespace" => true,
        "spec.nodeName" | "status.phase" => resource == Resource::Pods,
        "status.successful" => resource == Resource::Jobs,
        "type" => matches!(resource, Resource::Events | Resource::Secrets),
        "reason" => resource == Resource::Events,
        _ => resource == Resource::Events && (key.starts_with("involvedObject.") || key.starts_with("regarding.")),
    }
}

/// A field that is not there is empty.
fn field_of(object: &Value, key: &str) -> String {
    let key = key.replace("regarding.", "involvedObject.");
    let pointer = format!("/{}", key.replace('.', "/"));
    object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn holds(term: &Term, value: impl Fn(&str) -> Option<String>) -> bool {
    match term {
        Term::Is(key, wanted) => value(key).as_ref() == Some(wanted),
        Term::IsNot(key, wanted) => value(key).as_ref() != Some(wanted),
        Term::In(key, wanted) => value(key).is_some_and(|value| wanted.contains(&value)),
        Term::NotIn(key, wanted) => value(key).is_none_or(|value| !wanted.contains(&value)),
        Term::Exists(key) => value(key).is_some(),
        Term::Absent(key) => value(key).is_none(),
    }
}

fn parse(text: &str) -> Result<Vec<Term>, Failure> {
    split(text).into_iter().map(|part| term(part.trim())).collect()
}

/// At the commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

fn term(part: &str) -> Result<Term, Failure> {
    let pair = |key: &str, value: &str| (key.trim().to_owned(), value.trim().to_owned());
    let set = |values: &str| -> Vec<String> {
        values.trim().trim_matches(['(', ')']).split(',').map(|value| value.trim().to_owned()).collect()
    };
    if let Some((key, values)) = part.split_once(" notin ") {
        return Ok(Term::NotIn(key.trim().to_owned(), set(values)));
    }
    if let Some((key, values)) = part.split_once(" in ") {
        return Ok(Term::In(key.trim().to_owned(), set(values)));
    }
    let term = if let Some((key, value)) = part.split_once("!=") {
        let (key, value) = pair(key, value);
        Term::IsNot(key, value)
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        let (key, value) = pair(key, value);
        Term::Is(key, value)
    } else if let Some(key) = part.strip_prefix('!') {
        Term::Absent(key.trim().to_owned())
    } else if part.contains(char::is_whitespace) {
        return Err(Failure::bad_request(&format!("unable to parse requirement: {part}")));
    } else {
        Term::Exists(part.to_owned())
    };
    Ok(term)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Filter, Query, Target};

    fn matches(selector: &str) -> bool {
        let target = Target::parse("/api/v1/namespaces/default/pods").unwrap();
        let encoded: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let filter = Filter::new(&target, &Query::parse(&format!("labelSelector={encoded}"))).unwrap();
        filter.matches(&json!({"metadata": {"namespace": "default", "labels": {"a": "1", "b": "2"}}}))
    }

    #[test]
    fn all_forms_of_label_selectors() {
        for yes in ["", "a", "a=1", "a==1,b=2", "a!=2", "c!=2", "a in (1, 2),b", "c notin (1)", "!c"] {
            assert!(matches(yes), "{yes}");
        }
        for no in ["c", "a=2", "a=1,b=1", "a!=1", "a in (2,3)", "a notin (1)", "!a"] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn a_selector_of_events_knows_their_object() {
        let target = Target::parse("/apis/events.k8s.io/v1/namespaces/default/events").unwrap();
        let query = Query::parse("fieldSelector=regarding.name%3Dx");
        let filter = Filter::new(&target, &query).unwrap();
        let event = |name: &str| json!({"metadata": {"namespace": "default"}, "involvedObject": {"name": name}});
        assert!(filter.matches(&event("x")));
        assert!(!filter.matches(&event("y")));
    }
}
