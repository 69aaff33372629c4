//! Devices of the machine that the container sees.

use bollard::models::{DeviceMapping, DeviceRequest};
use serde_json::Value;

use super::{
    KwargError,
    fields::Fields,
    given::Given,
    place::{Asked, Keys, Place},
};

pub(super) const KEYS: Keys = &[
    ("device_cgroup_rules", Place::Texts(|to| &mut to.host().device_cgroup_rules)),
    ("device_requests", Place::Own(device_requests)),
    ("devices", Place::Own(devices)),
    ("gpus", Place::Own(gpus)),
];

const DEVICE: &str = "a device as host path[:container path[:permissions]], or an object";
const GPUS: &str = "all, a number of GPUs, or device= with their identifiers";

/// The engine's number for as many as there are.
const ALL: i64 = -1;

fn devices(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().devices = Some(given.each(device)?);
    Ok(())
}

fn device(given: &Given<'_>) -> Result<DeviceMapping, KwargError> {
    match given.value {
        Value::String(text) => mapping(text).ok_or_else(|| given.malformed(DEVICE)),
        Value::Object(_) => {
            let fields = Fields::of(given, &["PathOnHost", "PathInContainer", "CgroupPermissions"])?;
            Ok(DeviceMapping {
                path_on_host: Some(fields.required("PathOnHost", Given::text)?),
                path_in_container: fields.read("PathInContainer", Given::text)?,
                cgroup_permissions: fields.read("CgroupPermissions", Given::text)?,
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(given.wrong(DEVICE)),
    }
}

fn mapping(text: &str) -> Option<DeviceMapping> {
    let mut parts = text.split(':');
    let on_host = parts.next().filter(|path| !path.is_empty())?;
    let in_container = parts.next().unwrap_or(on_host);
    let permissions = parts.next().unwrap_or("rwm");
    parts.next().is_none().then(|| DeviceMapping {
        path_on_host: Some(on_host.to_owned()),
        path_in_container: Some(in_container.to_owned()),
        cgroup_permissions: Some(permissions.to_owned()),
    })
}

fn device_requests(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let requests = given.each(device_request)?;
    asked.host().device_requests.get_or_insert_default().extend(requests);
    Ok(())
}

fn device_request(given: &Given<'_>) -> Result<DeviceRequest, KwargError> {
    let fields = Fields::of(given, &["Driver", "Count", "DeviceIDs", "Capabilities", "Options"])?;
    Ok(DeviceRequest {
        driver: fields.read("Driver", Given::text)?,
        count: fields.read("Count", Given::whole)?,
        device_ids: fields.read("DeviceIDs", |ids| ids.each(Given::text_or_number))?,
        capabilities: fields.read("Capabilities", |alternatives| alternatives.each(Given::texts))?,
        options: fields.read("Options", Given::text_map)?,
    })
}

/// What the command line of Docker makes of its `--gpus`.
fn gpus(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let text = given.text_or_number().map_err(|_| given.wrong(GPUS))?;
    let (count, device_ids) = gpus_of(text.trim_matches('"')).ok_or_else(|| given.malformed(GPUS))?;
    asked.host().device_requests.get_or_insert_default().push(DeviceRequest {
        driver: Some(String::new()),
        count,
        device_ids,
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        options: None,
    });
    Ok(())
}

fn gpus_of(text: &str) -> Option<(Option<i64>, Option<Vec<String>>)> {
    if let Some(ids) = text.strip_prefix("device=") {
        let ids: Vec<String> = ids.split(',').map(str::to_owned).collect();
        return (!ids.iter().any(String::is_empty)).then_some((None, Some(ids)));
    }
    let count = if text == "all" { Some(ALL) } else { text.parse().ok().filter(|count| *count == ALL || *count > 0) };
    count.map(|count| (Some(count), None))
}
