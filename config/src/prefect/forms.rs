//! The forms of Prefect settings that need more than a number or a text: URLs, levels, status codes, headers.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::types::{ApiUrl, LogLevel};
use crate::{
    raw::Raw,
    value::{self, Refusal, refusal},
};

/// Headers the client sets itself, in lower case.
const PROTECTED_HEADERS: [&str; 3] = ["user-agent", "prefect-csrf-token", "prefect-csrf-client"];

pub(super) fn api_url(raw: &Raw) -> Result<ApiUrl, Refusal> {
    let text = value::text(raw)?;
    let wanted = "must be an http:// or https:// URL";
    let url = Url::parse(&text).map_err(|_| refusal(wanted, raw))?;
    match (url.scheme(), url.has_host()) {
        ("http" | "https", true) => Ok(ApiUrl::new(url)),
        _ => Err(refusal(wanted, raw)),
    }
}

/// A URL that is none when empty.
pub(super) fn optional_api_url(raw: &Raw) -> Result<Option<ApiUrl>, Refusal> {
    match raw {
        Raw::Text(text) if text.is_empty() => Ok(None),
        Raw::Text(_) | Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) | Raw::List(_) => api_url(raw).map(Some),
    }
}

/// What looks wrong with an API URL that is well-formed.
pub(super) fn misconfigured_url(url: &ApiUrl) -> Option<&'static str> {
    let url = url.as_url();
    let host = url.host_str().unwrap_or_default();
    if host == "app.prefect.cloud" {
        return Some("points to `app.prefect.cloud`, did you mean `api.prefect.cloud`?");
    }
    if url.path().contains("/account/") {
        return Some("uses `/account/` but should use `/accounts/`");
    }
    if url.path().contains("/workspace/") {
        return Some("uses `/workspace/` but should use `/workspaces/`");
    }
    (host == "api.prefect.cloud" && !url.path().starts_with("/api")).then_some("should have `/api` after the host")
}

/// A level by name in any case, or by the number Python's logging gives it.
pub(super) fn level(raw: &Raw) -> Result<LogLevel, Refusal> {
    let level = match raw.clone().into_text().to_ascii_uppercase().as_str() {
        "DEBUG" | "10" => LogLevel::Debug,
        "INFO" | "20" => LogLevel::Info,
        "WARNING" | "30" => LogLevel::Warning,
        "ERROR" | "40" => LogLevel::Error,
        "CRITICAL" | "50" => LogLevel::Critical,
        _ => return Err(refusal("must be DEBUG, INFO, WARNING, ERROR or CRITICAL", raw)),
    };
    Ok(level)
}

/// HTTP status codes: a number, a list, its JSON, or numbers separated by commas.
pub(super) fn status_codes(raw: &Raw) -> Result<BTreeSet<u16>, Refusal> {
    let wanted = "must be status codes from 100 to 599, such as `429,503`";
    let items = match raw {
        Raw::List(items) => items.clone(),
        Raw::Text(text) if text.is_empty() => Vec::new(),
        Raw::Text(text) => {
            let inside = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            match inside.unwrap_or(text) {
                "" => Vec::new(),
                list => list.split(',').map(|code| Raw::Text(code.to_owned())).collect(),
            }
        }
        Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) => vec![raw.clone()],
    };
    let codes = items.iter().map(|item| {
        let code = value::integer(item).ok().and_then(|code| u16::try_from(code).ok());
        code.filter(|code| (100..=599).contains(code))
    });
    codes.collect::<Option<_>>().ok_or_else(|| refusal(wanted, raw))
}

/// A JSON object. The refusal does not show the text, which may hold secrets.
pub(super) fn json_object(raw: &Raw) -> Result<Map<String, Value>, Refusal> {
    let wanted = "must be a JSON object, such as `{\"X-Team\": \"data\"}`";
    let Raw::Text(text) = raw else {
        return Err(wanted.to_owned());
    };
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(wanted.to_owned()),
        Err(error) => Err(format!("{wanted}; the JSON ends being valid at column {}", error.column())),
    }
}

/// Headers as the SDK takes them: names and texts.
pub(super) fn headers(raw: &Raw) -> Result<Map<String, Value>, Refusal> {
    let object = json_object(raw)?;
    match object.iter().find(|(_, value)| !value.is_string()) {
        Some((name, _)) => Err(format!("must have a string as the value of `{name}`")),
        None => Ok(object),
    }
}

/// Parts headers that may be sent from the names of those that may not.
pub(super) fn sendable(headers: Map<String, Value>) -> (Vec<(String, SecretString)>, Vec<String>) {
    let mut sent = Vec::new();
    let mut dropped = Vec::new();
    for (name, value) in headers {
        if PROTECTED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            dropped.push(name);
        } else if let Value::String(value) = value {
            sent.push((name, SecretString::from(value)));
        }
    }
    (sent, dropped)
}

/// Names of Kubernetes namespaces, in the order given.
pub(super) fn namespaces(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let mut namespaces = Vec::new();
    for namespace in value::texts(raw)? {
        if !is_namespace(&namespace) {
            let wanted = "must hold names of namespaces (lower-case letters, digits and `-`; no patterns)";
            return Err(refusal(wanted, &Raw::Text(namespace)));
        }
        if !namespaces.contains(&namespace) {
            namespaces.push(namespace);
        }
    }
    Ok(namespaces)
}

fn is_namespace(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(is_inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// Labels and the values they must have: `key=value` separated by commas, or a table or JSON object of them.
pub(super) fn label_filters(raw: &Raw) -> Result<BTreeMap<String, String>, Refusal> {
    let wanted = "must be labels such as `team=data,tier=batch`";
    let text = value::text(raw).map_err(|_| refusal(wanted, raw))?;
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).map_err(|_| refusal(wanted, raw));
    }
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let split = |pair: &str| pair.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    let filters: Option<BTreeMap<_, _>> = pairs.map(split).collect();
    filters.filter(|filters| !filters.contains_key("")).ok_or_else(|| refusal(wanted, raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Option<Vec<u16>> {
        let codes = status_codes(&Raw::Text(text.to_owned())).ok()?;
        Some(codes.into_iter().collect())
    }

    #[test]
    fn status_codes_come_as_list_number_or_json() {
        assert_eq!(codes("503, 429,429"), Some(vec![429, 503]));
        assert_eq!(codes("404"), Some(vec![404]));
        assert_eq!(codes("[500, 404]"), Some(vec![404, 500]));
        assert_eq!(codes("[]"), Some(vec![]));
        assert_eq!(codes(""), Some(vec![]));
        for bad in ["99", "600", "abc", "429;503", "429,"] {
            assert_eq!(codes(bad), None, "{bad}");
        }
    }

    #[test]
    fn levels_come_by_name_and_by_number() {
        assert_eq!(level(&Raw::Text("warning".to_owned())), Ok(LogLevel::Warning));
        assert_eq!(level(&Raw::Int(10)), Ok(LogLevel::Debug));
        assert_eq!(level(&Raw::Text("50".to_owned())), Ok(LogLevel::Critical));
        assert!(level(&Raw::Text("loud".to_owned())).is_err());
    }

    #[test]
    fn urls_that_lead_elsewhere_are_noticed() {
        let notice = |text: &str| misconfigured_url(&api_url(&Raw::Text(text.to_owned())).unwrap());
        assert!(notice("https://app.prefect.cloud/api").is_some());
        assert!(notice("https://api.prefect.cloud/api/account/a/workspaces/b").is_some());
        assert!(notice("https://api.prefect.cloud/api/accounts/a/workspace/b").is_some());
        assert!(notice("https://api.prefect.cloud/accounts/a").is_some());
        assert!(notice("https://api.prefect.cloud/api/accounts/a/workspaces/b").is_none());
        assert!(notice("http://127.0.0.1:4200/api").is_none());
    }
}
