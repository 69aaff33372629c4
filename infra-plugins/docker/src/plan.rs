//! What is asked of the engine for a run. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig, Mount, MountType, NetworkingConfig};
use infra_contract::masking;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker_core::spec::{Plan, RunSpec};

use crate::connection::Endpoint;
use crate::create_kwargs;
use crate::error::DockerError;
use crate::fields::DockerFields;
use crate::marks::Marks;
use crate::mounted_code::MountedCode;
use crate::naming;
use crate::network::{self, API_URL};
use crate::registry::{self, ImageReference, PullPolicy, RegistryBlock};
use crate::requested;
use crate::secrets::{self, SecretValues};
use crate::settings::{Cleanup, DockerSettings, Secrets};
use crate::volumes;

/// The command where none is configured. Prefect's Docker worker has the same.
const DEFAULT_COMMAND: &str = "prefect flow-run execute";
/// The command for code that is in place: the default one would pull it again.
const COMMAND_FOR_CODE: &str = "python -m prefect.engine";
/// What Prefect's own supervisor, which ends a flow that is cancelled, is called by.
const SUPERVISOR: &str = "flow-run execute";
/// The variable by which the engine in the container finds its flow without pulling anything.
const FLOW_ENTRYPOINT: &str = "PREFECT__FLOW_ENTRYPOINT";
/// Shorter texts of a block occur elsewhere by chance.
const SHORTEST_TELLING: usize = 6;

/// Everything that a launch needs. Holds secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DockerPlan {
    /// The name to ask for; `None` leaves it to the engine.
    pub(crate) name: Option<String>,
    pub(crate) image: String,
    pub(crate) pull_policy: PullPolicy,
    pub(crate) registry: Option<RegistryBlock>,
    pub(crate) platform: Option<String>,
    pub(crate) pull_deadline: Duration,
    pub(crate) body: ContainerCreateBody,
    /// The user's entries of `/etc/hosts`.
    pub(crate) extra_hosts: Vec<String>,
    /// The API URL that decides whether the host gets an entry.
    pub(crate) api_url: Option<String>,
    /// Networks besides the first.
    pub(crate) more_networks: Vec<String>,
    pub(crate) secrets: SecretValues,
    /// What has to be on `PYTHONPATH`.
    pub(crate) importable: Option<String>,
    /// What a person should know before the launch.
    pub(crate) warnings: Vec<String>,
}

impl DockerPlan {
    pub(crate) fn of(plan: &Plan) -> Result<Self, DockerError> {
        serde_json::from_value(plan.detail.clone()).map_err(DockerError::Unreadable)
    }
}

/// Plans a run. `default_image` is what runs where the configuration names no image.
pub(crate) fn make(
    settings: &DockerSettings,
    endpoint: &Endpoint,
    default_image: &str,
    spec: &RunSpec,
) -> Result<Plan, DockerError> {
    let fields = DockerFields::read(&spec.fields)?;
    spec.refuse_env_from()?;
    let image = fields.image.clone().unwrap_or_else(|| default_image.to_owned());
    let pull_policy = pull_policy(&fields, &image)?;
    let code = mounted_code(&fields, endpoint, spec)?;
    let api_url = spec.env.get(API_URL).or_else(|| spec.worker_settings.get(API_URL));
    let network_mode =
        network::network_mode(fields.network_mode.as_deref(), &fields.networks, api_url.map(String::as_str));

    let mut warnings = Vec::new();
    let environment = environment(spec, network_mode.as_deref(), code.as_ref());
    let secrets = secret_values(settings.secrets, &fields, spec, &environment)?;
    let api_url = environment.get(API_URL).cloned();
    let plain = environment.into_iter().filter(|(name, _)| !secrets.variables.contains_key(name));
    let default = if code.is_some() { COMMAND_FOR_CODE } else { DEFAULT_COMMAND };
    let command = spec.command.as_deref().unwrap_or(default);
    let marks = Marks {
        key: spec.key,
        report_state: spec.report_state,
        cancels_itself: command.contains(SUPERVISOR),
        stream_output: fields.stream_output,
        ship_output: fields.ship_output,
        cleanup: cleanup(settings.cleanup, &fields),
        has_secrets: !secrets.variables.is_empty(),
    };
    let mut body = ContainerCreateBody {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        image: Some(image.clone()),
        env: Some(plain.map(|(name, value)| format!("{name}={value}")).collect()),
        cmd: Some(shell_words::split(command).map_err(DockerError::Command)?),
        labels: Some(naming::labels(&spec.labels).into_iter().chain(marks.labels(settings.owner.mark())).collect()),
        ..ContainerCreateBody::default()
    };
    surround(&mut body, &fields, network_mode, marks.has_secrets)?;
    let applied = create_kwargs::apply(&fields.container_create_kwargs, &mut body)?;
    if let Some(address) = applied.mac_address {
        set_mac_address(&mut body, address);
    }
    warnings.extend(applied.ignored.iter().map(|key| {
        format!("`container_create_kwargs` cannot say `{key}`, which is a job variable of its own; it is ignored")
    }));
    warnings.extend(restarts(&body));
    // Before what the worker adds itself.
    let requested = requested::of(spec, &image, &body);
    if let Some(code) = &code {
        mount(code, &mut body);
    } else if fields.mount_code {
        warnings.push(
            "`mount_code` is set, and the worker has no checkout to mount: it only pulls code for the default command, and \
             only by steps that it knows"
                .to_owned(),
        );
    }
    warnings.extend(told_by_inspect(spec, command));
    let plan = DockerPlan {
        name: naming::container_name(&spec.name),
        image,
        pull_policy,
        registry: fields.registry_credentials,
        platform: applied.platform,
        pull_deadline: fields.image_pull_deadline.unwrap_or(settings.image_pull_deadline),
        body,
        extra_hosts: applied.extra_hosts,
        api_url,
        more_networks: fields.networks.into_iter().skip(1).collect(),
        secrets,
        importable: code.and_then(|code| code.importable),
        warnings,
    };
    let infra_name = plan.name.clone().unwrap_or_default();
    let shown = shown(&plan);
    let detail = serde_json::to_value(plan).map_err(DockerError::Unreadable)?;
    Ok(Plan { key: spec.key, infra_name, shown, requested, detail })
}

fn pull_policy(fields: &DockerFields, image: &str) -> Result<PullPolicy, DockerError> {
    // No registry knows an image by its id.
    if registry::is_image_id(image) {
        return Ok(PullPolicy::Never);
    }
    let image = ImageReference::parse(image)?;
    let derived = || if image.default_pull_policy_is_always() { PullPolicy::Always } else { PullPolicy::IfNotPresent };
    Ok(fields.image_pull_policy.unwrap_or_else(derived))
}

fn cleanup(default: Cleanup, fields: &DockerFields) -> Cleanup {
    match (fields.cleanup.as_deref(), default) {
        (Some("keep"), _) => Cleanup::Keep,
        (Some("remove"), _) => Cleanup::Remove,
        (Some(_), Cleanup::After(time)) => Cleanup::After(time),
        (Some(_), Cleanup::Keep | Cleanup::Remove) => Cleanup::After(crate::settings::DEFAULT_TTL),
        (None, _) if fields.auto_remove => Cleanup::Remove,
        (None, default) => default,
    }
}

fn mounted_code(
    fields: &DockerFields,
    endpoint: &Endpoint,
    spec: &RunSpec,
) -> Result<Option<MountedCode>, DockerError> {
    let Some(code) = spec.code.as_ref().filter(|_| fields.mount_code) else { return Ok(None) };
    if endpoint.is_local() {
        Ok(Some(MountedCode::of(code)))
    } else {
        Err(DockerError::RemoteCode(endpoint.base_url()))
    }
}

/// All variables, secrets among them.
fn environment(spec: &RunSpec, network_mode: Option<&str>, code: Option<&MountedCode>) -> BTreeMap<String, String> {
    let mut environment = spec.env.clone();
    if !spec.configured_env.contains(API_URL)
        && let Some(url) = environment.get_mut(API_URL)
    {
        *url = network::api_url_inside(url, network_mode);
    }
    if let Some(entrypoint) = code.and_then(|code| code.entrypoint.clone()) {
        environment.insert(FLOW_ENTRYPOINT.to_owned(), entrypoint);
    }
    environment
}

fn secret_values(
    how: Secrets,
    fields: &DockerFields,
    spec: &RunSpec,
    environment: &BTreeMap<String, String>,
) -> Result<SecretValues, DockerError> {
    let from_block = |value: &str| spec.block_texts.iter().any(|text| value.contains(text.as_str()));
    // The path is put together from several parts when the container is made.
    let is_secret = |(name, value): &(&String, &String)| {
        name.as_str() != "PYTHONPATH" && (masking::is_secret(name, value) || from_block(value))
    };
    let variables = match how {
        Secrets::Environment => BTreeMap::new(),
        Secrets::File => {
            environment.iter().filter(is_secret).map(|(name, value)| (name.clone(), value.clone())).collect()
        }
    };
    let secrets = SecretValues { variables, files: fields.secret_files.clone() };
    match secrets.unsettable() {
        Some(name) => Err(DockerError::SecretName(name.to_owned())),
        None => Ok(secrets),
    }
}

/// What belongs to the host rather than to the process.
fn surround(
    body: &mut ContainerCreateBody,
    fields: &DockerFields,
    network_mode: Option<String>,
    has_secrets: bool,
) -> Result<(), DockerError> {
    let volumes = volumes::read(&fields.volumes)?;
    let secrets = has_secrets.then(|| secrets::FOLDER.to_owned());
    let paths: Vec<String> = volumes.paths.into_iter().chain(secrets).collect();
    body.volumes = (!paths.is_empty()).then_some(paths);
    let first_network = fields.networks.first().cloned();
    body.networking_config = first_network
        .clone()
        .map(|network| NetworkingConfig { endpoints_config: Some([(network, EndpointSettings::default())].into()) });
    body.host_config = Some(HostConfig {
        memory: fields.mem_limit,
        memory_swap: fields.memswap_limit,
        network_mode: first_network.or(network_mode),
        binds: (!volumes.binds.is_empty()).then_some(volumes.binds),
        privileged: fields.privileged.then_some(true),
        ..HostConfig::default()
    });
    Ok(())
}

/// The address belongs to the network that the container joins.
fn set_mac_address(body: &mut ContainerCreateBody, address: String) {
    let mode = body.host_config.as_ref().and_then(|host| host.network_mode.clone());
    let networks = body.networking_config.get_or_insert_default().endpoints_config.get_or_insert_default();
    let network = networks.entry(mode.unwrap_or_else(|| "bridge".to_owned())).or_default();
    network.mac_address = Some(address);
}

fn mount(code: &MountedCode, body: &mut ContainerCreateBody) {
    let host = body.host_config.get_or_insert_default();
    host.mounts.get_or_insert_default().push(Mount {
        typ: Some(MountType::BIND),
        source: Some(code.source.to_string()),
        target: Some(code.target.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    });
    body.working_dir.get_or_insert_with(|| code.directory.clone());
}

/// An engine that starts containers anew executes a flow that has ended once more.
fn restarts(body: &ContainerCreateBody) -> Option<String> {
    let name = body.host_config.as_ref()?.restart_policy.as_ref()?.name?.to_string();
    (!matches!(name.as_str(), "" | "no")).then(|| {
        format!("`restart_policy` is `{name}`: the engine may execute the flow again without Prefect knowing of it")
    })
}

/// Texts of blocks that the engine writes down because they are no variables.
fn told_by_inspect(spec: &RunSpec, command: &str) -> Option<String> {
    let kwargs = spec.fields.get("container_create_kwargs").map(Value::to_string).unwrap_or_default();
    let told = |text: &&String| {
        text.len() >= SHORTEST_TELLING && (command.contains(text.as_str()) || kwargs.contains(text.as_str()))
    };
    spec.block_texts.iter().find(told).map(|_| {
        "the command or `container_create_kwargs` holds text of a block: `docker inspect` shows it. Hand it over in `env` \
         instead"
            .to_owned()
    })
}

/// An entry of an environment as it may be shown.
pub(crate) fn masked_entry(entry: &str) -> String {
    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
    format!("{name}={}", masking::shown(name, value))
}

fn shown(plan: &DockerPlan) -> Value {
    let mut body = plan.body.clone();
    body.env = body.env.map(|env| env.iter().map(|entry| masked_entry(entry)).collect());
    json!({
        "name": plan.name,
        "image_pull_policy": plan.pull_policy.as_str(),
        "container": body,
        "more_networks": plan.more_networks,
        "secret_variables": plan.secrets.variables.keys().collect::<Vec<_>>(),
        "secret_files": plan.secrets.files.keys().collect::<Vec<_>>(),
        "warnings": plan.warnings,
    })
}
