//! The fields of the job configuration that belong to this kind.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use worker_core::job_configuration::lenient::{self, Fields};

use crate::create_kwargs::bytes_of;
use crate::error::DockerError;
use crate::registry::{PullPolicy, RegistryBlock};

/// Job variables of ours, which pools made by Prefect do not know.
pub(crate) const OWN_VARIABLES: [&str; 5] =
    ["ship_output", "mount_code", "secret_files", "image_pull_deadline_seconds", "cleanup"];

/// What the job configuration says, read.
#[derive(Debug)]
pub(crate) struct DockerFields {
    pub(crate) image: Option<String>,
    pub(crate) registry_credentials: Option<RegistryBlock>,
    pub(crate) image_pull_policy: Option<PullPolicy>,
    pub(crate) networks: Vec<String>,
    pub(crate) network_mode: Option<String>,
    pub(crate) auto_remove: bool,
    pub(crate) volumes: Vec<String>,
    pub(crate) stream_output: bool,
    pub(crate) mem_limit: Option<i64>,
    pub(crate) memswap_limit: Option<i64>,
    pub(crate) privileged: bool,
    pub(crate) container_create_kwargs: Fields,
    /// Whether the container's output goes to the run's log.
    pub(crate) ship_output: bool,
    /// Whether the worker's checkout is mounted.
    pub(crate) mount_code: bool,
    /// Files with secrets, by their path in the container.
    pub(crate) secret_files: BTreeMap<String, String>,
    pub(crate) image_pull_deadline: Option<Duration>,
    /// The word of the run's own clean-up policy.
    pub(crate) cleanup: Option<String>,
}

impl DockerFields {
    pub(crate) fn read(fields: &Fields) -> Result<Self, DockerError> {
        Ok(Self {
            image: not_empty(lenient::string(fields, "image")?),
            registry_credentials: registry_credentials(fields)?,
            image_pull_policy: image_pull_policy(fields)?,
            networks: lenient::string_list(fields, "networks")?.unwrap_or_default(),
            network_mode: not_empty(lenient::string(fields, "network_mode")?),
            auto_remove: lenient::bool(fields, "auto_remove")?.unwrap_or(false),
            volumes: lenient::string_list(fields, "volumes")?.unwrap_or_default(),
            stream_output: lenient::bool(fields, "stream_output")?.unwrap_or(true),
            mem_limit: bytes(fields, "mem_limit")?,
            memswap_limit: bytes(fields, "memswap_limit")?,
            privileged: lenient::bool(fields, "privileged")?.unwrap_or(false),
            container_create_kwargs: lenient::object(fields, "container_create_kwargs")?.cloned().unwrap_or_default(),
            ship_output: lenient::bool(fields, "ship_output")?.unwrap_or(false),
            mount_code: takes_code(fields)?,
            secret_files: secret_files(fields)?,
            image_pull_deadline: seconds(fields, "image_pull_deadline_seconds")?,
            cleanup: cleanup(fields)?,
        })
    }
}

/// Whether the run wants the worker's checkout.
pub(crate) fn takes_code(fields: &Fields) -> Result<bool, DockerError> {
    Ok(lenient::bool(fields, "mount_code")?.unwrap_or(false))
}

fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn registry_credentials(fields: &Fields) -> Result<Option<RegistryBlock>, DockerError> {
    let Some(block) = lenient::object(fields, "registry_credentials")? else { return Ok(None) };
    RegistryBlock::read(block).map(Some).map_err(DockerError::RegistryBlock)
}

fn image_pull_policy(fields: &Fields) -> Result<Option<PullPolicy>, DockerError> {
    let Some(word) = lenient::string(fields, "image_pull_policy")? else { return Ok(None) };
    let policy = PullPolicy::parse(&word).ok_or(DockerError::Field {
        field: "image_pull_policy",
        expected: "one of IfNotPresent, Always, IfPossible, Never",
    })?;
    Ok(Some(policy))
}

fn bytes(fields: &Fields, field: &'static str) -> Result<Option<i64>, DockerError> {
    let unlimited = |value: &Value| value.as_i64() == Some(-1) || value.as_str() == Some("-1");
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) if unlimited(value) => Ok(Some(-1)),
        Some(value) => bytes_of(value)
            .map(Some)
            .ok_or(DockerError::Field { field, expected: "a number of bytes, or one with a unit such as 512m or 2g" }),
    }
}

fn seconds(fields: &Fields, field: &'static str) -> Result<Option<Duration>, DockerError> {
    let Some(seconds) = lenient::int(fields, field)? else { return Ok(None) };
    let expected = "a number of seconds above zero";
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    Ok(Some(Duration::from_secs(seconds.ok_or(DockerError::Field { field, expected })?)))
}

fn secret_files(fields: &Fields) -> Result<BTreeMap<String, String>, DockerError> {
    let files = lenient::string_map(fields, "secret_files")?.unwrap_or_default();
    let is_file =
        |path: &String| path.starts_with('/') && !path.ends_with('/') && !path.split('/').any(|part| part == "..");
    if files.keys().all(is_file) {
        return Ok(files);
    }
    Err(DockerError::Field {
        field: "secret_files",
        expected: "an object of absolute paths of files and their contents",
    })
}

fn cleanup(fields: &Fields) -> Result<Option<String>, DockerError> {
    let Some(word) = lenient::string(fields, "cleanup")? else { return Ok(None) };
    if ["keep", "remove", "ttl"].contains(&word.as_str()) {
        return Ok(Some(word));
    }
    Err(DockerError::Field { field: "cleanup", expected: "one of keep, remove, ttl" })
}
