//! What the server checks of a new object, and what it adds.

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::resource::Resource;
use crate::state::{Key, text};

/// Puts the defaults that matter and refuses what a real server refuses.
pub(crate) fn admit(minor: u32, key: &Key, object: &mut Value) -> Result<(), Failure> {
    if key.name.is_empty() {
        return Err(Failure::invalid(
            key.resource,
            "",
            "metadata.name: Required value: name or generateName is required",
        ));
    }
    if !is_subdomain(&key.name) {
        let why = format!(
            "metadata.name: Invalid value: \"{}\": a lowercase RFC 1123 subdomain must consist of lower \
                           case alphanumeric characters, '-' or '.'",
            key.name
        );
        return Err(Failure::invalid(key.resource, &key.name, &why));
    }
    let kind = text(object, "/kind");
    if !kind.is_empty() && kind != key.resource.kind() {
        return Err(Failure::bad_request(&format!(
            "{kind} in version \"v1\" cannot be handled as a {}: no kind \"{kind}\" is registered",
            key.resource.kind()
        )));
    }
    let namespace = text(object, "/metadata/namespace");
    if !namespace.is_empty() && namespace != key.namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    labels(key, object, "/metadata/labels")?;
    match key.resource {
        Resource::Jobs => job(minor, key, object),
        Resource::Pods => {
            default(&mut object["spec"], "terminationGracePeriodSeconds", &json!(30));
            default(&mut object["spec"], "restartPolicy", &json!("Always"));
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
            Ok(())
        }
        Resource::Secrets => {
            encode_string_data(object);
            default(object, "type", &json!("Opaque"));
            Ok(())
        }
        Resource::Events | Resource::Nodes | Resource::Namespaces | Resource::AccessReviews => Ok(()),
    }
}

fn job(minor: u32, key: &Key, job: &mut Value) -> Result<(), Failure> {
    let name = &key.name;
    if name.len() > 63 {
        let why = "spec.template.labels: Invalid value: must be no more than 63 characters";
        return Err(Failure::invalid(Resource::Jobs, name, why));
    }
    labels(key, job, "/spec/template/metadata/labels")?;
    let containers = job.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        return Err(Failure::invalid(Resource::Jobs, name, "spec.template.spec.containers: Required value"));
    }
    let restart = text(job, "/spec/template/spec/restartPolicy");
    if !matches!(restart, "Never" | "OnFailure") {
        let why = format!(
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\" \
                           (was \"{restart}\")"
        );
        return Err(Failure::invalid(Resource::Jobs, name, &why));
    }
    let spec = &mut job["spec"];
    for (field, value) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
    ] {
        default(spec, field, &value);
    }
    if minor >= 29 {
        default(spec, "podReplacementPolicy", &json!("TerminatingOrFailed"));
    }
    default(&mut spec["template"]["spec"], "terminationGracePeriodSeconds", &json!(30));
    job["status"] = json!({});
    Ok(())
}

/// The selector and the labels by which a Job knows its pods.
pub(crate) fn select_pods(minor: u32, uid: &str, job: &mut Value) {
    let name = text(job, "/metadata/name").to_owned();
    let spec = &mut job["spec"];
    let labels = &mut spec["template"]["metadata"]["labels"];
    labels["controller-uid"] = json!(uid);
    labels["job-name"] = json!(name);
    if minor >= 27 {
        labels["batch.kubernetes.io/controller-uid"] = json!(uid);
        labels["batch.kubernetes.io/job-name"] = json!(name);
    }
    let key = if minor >= 27 { "batch.kubernetes.io/controller-uid" } else { "controller-uid" };
    spec["selector"] = json!({"matchLabels": {key: uid}});
}

fn default(object: &mut Value, field: &str, value: &Value) {
    if object.get(field).is_none_or(Value::is_null) {
        object[field] = value.clone();
    }
}

/// `stringData` is written, never read.
fn encode_string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = secret.as_object_mut().and_then(|fields| fields.shift_remove("stringData")) else {
        return;
    };
    for (key, value) in plain {
        secret["data"][key] = json!(base64(value.as_str().unwrap_or_default().as_bytes()));
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4_usize {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            let letter = usize::try_from(sextet).ok().and_then(|at| LETTERS.get(at)).copied().unwrap_or(b'=');
            out.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

fn labels(key: &Key, object: &Value, pointer: &str) -> Result<(), Failure> {
    for (label, value) in object.pointer(pointer).and_then(Value::as_object).into_iter().flatten() {
        let name = label.rsplit_once('/').map_or(label.as_str(), |(_, name)| name);
        let value = value.as_str().unwrap_or_default();
        let where_ = pointer.trim_start_matches('/').replace('/', ".");
        if !is_label(name) || name.is_empty() {
            return Err(Failure::invalid(key.resource, &key.name, &format!("{where_}: Invalid value: \"{label}\"")));
        }
        if !is_label(value) {
            let why = if value.len() > 63 {
                "must be no more than 63 bytes"
            } else {
                "a valid label must be an empty \
                      string or consist of alphanumeric characters, '-', '_' or '.'"
            };
            return Err(Failure::invalid(
                key.resource,
                &key.name,
                &format!("{where_}: Invalid value: \"{value}\": {why}"),
            ));
        }
    }
    Ok(())
}

fn is_label(value: &str) -> bool {
    let edge = |letter: Option<char>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
    value.len() <= 63
        && value.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
        && edge(value.chars().next())
        && edge(value.chars().last())
}

fn is_subdomain(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let part = |part: &str| {
        part.chars().all(|letter| plain(letter) || letter == '-') && part.starts_with(plain) && part.ends_with(plain)
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// With five letters or digits that are not there already, cut to fit as a real server does.
pub(crate) fn generated_name(prefix: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = uuid::Uuid::new_v4();
    let suffix = random.as_bytes().iter().take(5).filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()));
    prefix.chars().take(58).chain(suffix.map(|byte| char::from(*byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::{base64, is_label, is_subdomain};

    #[test]
    fn base64_pads() {
        assert_eq!(["", "a", "ab", "abc"].map(|text| base64(text.as_bytes())), ["", "YQ==", "YWI=", "YWJj"]);
    }

    #[test]
    fn names_and_labels() {
        assert!(is_subdomain("a-b.c1"));
        assert!(!is_subdomain("A") && !is_subdomain("-a") && !is_subdomain("a..b") && !is_subdomain("a_b"));
        assert!(is_label("A_b.c-1") && is_label(""));
        assert!(!is_label("-a") && !is_label("a b") && !is_label(&"a".repeat(64)));
    }
}
