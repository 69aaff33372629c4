//! Fields that this server, older than its client, does not know.

use serde_json::Value;

use crate::failure::Failure;
use crate::resource::Resource;
use crate::state::Settings;

/// Strict, an unknown field is refused, by a server that has strict validation; otherwise it is left out.
pub(crate) fn check(settings: &Settings, strict: bool, resource: Resource, object: &mut Value) -> Result<(), Failure> {
    let mut found = Vec::new();
    for path in &settings.unknown_fields {
        let segments: Vec<&str> = path.split('.').collect();
        prune(object, &segments, "", &mut found);
    }
    if found.is_empty() || !strict || settings.minor < 25 {
        return Ok(());
    }
    let kind = resource.kind();
    let fields: Vec<String> = found.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    Err(Failure::bad_request(&format!(
        "{kind} in version \"v1\" cannot be handled as a {kind}: strict decoding error: {}",
        fields.join(", ")
    )))
}

/// Takes the field out, from each element of the lists on its way.
fn prune(value: &mut Value, path: &[&str], so_far: &str, found: &mut Vec<String>) {
    if let Value::Array(elements) = value {
        for (index, element) in elements.iter_mut().enumerate() {
            prune(element, path, &format!("{so_far}[{index}]"), found);
        }
        return;
    }
    let (Some((segment, rest)), Some(fields)) = (path.split_first(), value.as_object_mut()) else { return };
    let here = if so_far.is_empty() { (*segment).to_owned() } else { format!("{so_far}.{segment}") };
    if rest.is_empty() {
        if fields.shift_remove(*segment).is_some() {
            found.push(here);
        }
    } else if let Some(child) = fields.get_mut(*segment) {
        prune(child, rest, &here, found);
    }
}
