//! How the container is made, logs, stops and starts again.

use bollard::models::{HostConfigLogConfig, RestartPolicy};

use super::{
    KwargError,
    fields::Fields,
    given::Given,
    place::{Asked, Keys, Place},
};

pub(super) const KEYS: Keys = &[
    ("log_config", Place::Own(log_config)),
    ("platform", Place::Text(|to| &mut to.applied.platform)),
    ("restart_policy", Place::Own(restart_policy)),
    ("stop_signal", Place::TextOrNumber(|to| &mut to.body.stop_signal)),
    ("stop_timeout", Place::Whole(|to| &mut to.body.stop_timeout)),
    ("storage_opt", Place::TextMap(|to| &mut to.host().storage_opt)),
];

fn log_config(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let fields = Fields::of(given, &["Type", "Config"])?;
    asked.host().log_config = Some(HostConfigLogConfig {
        typ: fields.read("Type", Given::text)?,
        config: fields.read("Config", Given::text_map)?,
    });
    Ok(())
}

fn restart_policy(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let fields = Fields::of(given, &["Name", "MaximumRetryCount"])?;
    let name = |name: &Given<'_>| name.choice("no, always, unless-stopped or on-failure");
    asked.host().restart_policy = Some(RestartPolicy {
        name: fields.read("Name", name)?,
        maximum_retry_count: fields.read("MaximumRetryCount", Given::whole)?,
    });
    Ok(())
}
