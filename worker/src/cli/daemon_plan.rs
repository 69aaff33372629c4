//! From the settings in force to what the daemon is going to do.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use camino::Utf8Path;
use central_api_client::{ClientSettings, Credentials, LogSettings, RetrySettings, TlsSettings};
use code_storage::{CacheLimits, PullOptions};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use worker_config::{
    ClientCertificate, DockerCleanup, DockerSecrets, HoldSlots, KubernetesCleanup, KubernetesSecrets, LoadFrom,
    PoolSettings, PrefectSettings, ProcessEnvironment, ProcessEnvironmentMode, SecretKeyRef, Settings, WarmStarts,
    WorkerSettings, WorkspaceSettings,
};
use worker_core::policy::Pattern;
use worker_core::rerun::{RerunCause, RerunPolicy};

use super::{run_api_key, sandboxing};
use crate::budget::Priority;
use crate::code_cache::{self, CodeCache};
use crate::live_runs::WorkspaceIndex;
use crate::plan::{AuditPlan, CancellationPlan, DaemonPlan, PoolPlan, ShutdownPlan, WorkspacePlan};
use crate::policy::PolicyInForce;
use crate::pool::late::LatePolicy;
use crate::redaction::KnownSecrets;
use crate::registry::{
    Cleanup, DockerSettings, Inheritance, PluginSettings, ProcessSettings, Secrets, SupervisorProgram, Warm, kubernetes,
};
use crate::run::{ErrorChain, RunSettings};
use crate::slots_held::SlotsHeld;
use infra_contract::Owner;

/// What the names of the worker's own settings begin with: its secrets are among them, and none of them is for runs.
const WORKER_PREFIX: &str = "WORKER_";

/// Works out the plan. Reads the base job template files and the policy, nothing else.
///
/// # Errors
/// The text of what is wrong, for people.
pub(super) fn daemon_plan(
    settings: &Settings,
    variables: &BTreeMap<String, String>,
    secrets: KnownSecrets,
) -> Result<DaemonPlan, String> {
    let (prefect, worker) = (&settings.prefect, &settings.worker);
    Ok(DaemonPlan {
        workspaces: workspace_plans(settings, variables)?,
        pools: pool_plans(settings)?,
        run_once: worker.start.run_once,
        wait_for_api: worker.wait_for_api,
        check_server_version: prefect.client.server_version_check_enabled,
        health: worker
            .start
            .with_healthcheck
            .then(|| (prefect.worker.webserver_host.clone(), prefect.worker.webserver_port)),
        metrics: prefect.client.metrics_enabled.then(|| ("0.0.0.0".to_owned(), prefect.client.metrics_port)),
        monitoring: worker.monitoring.clone(),
        traces: worker.otlp.clone(),
        secrets,
        cancellation: CancellationPlan {
            enabled: prefect.worker.enable_cancellation,
            poll: worker.cancellation_poll,
            supervised_poll: prefect.worker.cancellation_poll,
            crash_when_blind: prefect.runner.crash_on_cancellation_failure,
        },
        state_dir: worker.state_dir.clone(),
        admission: worker.admission,
        audit: worker.audit.file.clone().map(|file| AuditPlan { file, required: worker.audit.required }),
        policy: PolicyInForce::open(worker.policy_file.clone()).map_err(|error| ErrorChain(&error).to_string())?,
        shutdown: ShutdownPlan {
            runs: worker.shutdown.runs,
            drain_timeout: worker.shutdown.drain_timeout,
            grace: worker.shutdown.grace,
        },
    })
}

/// Whether pools are served at the API of Prefect's own settings.
pub(super) fn uses_own_api(settings: &Settings) -> bool {
    settings.workspaces.is_empty() || settings.pools.iter().any(|pool| pool.workspace.is_none())
}

/// What every run of the API of Prefect's own settings shares.
///
/// # Errors
/// The API key of runs cannot be read.
pub(super) fn run_settings(settings: &Settings, variables: &BTreeMap<String, String>) -> Result<RunSettings, String> {
    let key = run_api_key::of_own_api(settings)?;
    Ok(run_settings_with(settings, settings.base_environment(), variables, key.as_ref()))
}

fn run_settings_with(
    settings: &Settings,
    base_environment: &BTreeMap<String, SecretString>,
    variables: &BTreeMap<String, String>,
    key: Option<&SecretString>,
) -> RunSettings {
    let worker = &settings.worker;
    let mut base_environment = exposed(base_environment);
    run_api_key::put(key, &mut base_environment);
    RunSettings {
        base_environment,
        worker_environment: for_runs(variables, key),
        kill_grace: worker.process.kill_grace,
        shutdown_grace: worker.shutdown.grace,
        code_directory: worker.state_dir.join("runs"),
        pulling: pulling(worker),
    }
}

/// The APIs: that of Prefect's own settings if a pool is there, and those that have a table.
fn workspace_plans(settings: &Settings, variables: &BTreeMap<String, String>) -> Result<Vec<WorkspacePlan>, String> {
    let own = uses_own_api(settings).then(|| own_workspace_plan(settings, variables));
    own.into_iter().chain(settings.workspaces.iter().map(|of| named_workspace_plan(of, settings, variables))).collect()
}

/// One API: that of Prefect's own settings, or that of the workspace with this name.
///
/// # Errors
/// There is no such workspace; the API key of runs cannot be read.
pub(super) fn workspace_plan(
    name: Option<&str>,
    settings: &Settings,
    variables: &BTreeMap<String, String>,
) -> Result<WorkspacePlan, String> {
    match name {
        None => own_workspace_plan(settings, variables),
        Some(name) => named_workspace_plan(workspace_named(settings, name)?, settings, variables),
    }
}

fn workspace_named<'s>(settings: &'s Settings, name: &str) -> Result<&'s WorkspaceSettings, String> {
    let named = settings.workspaces.iter().find(|workspace| workspace.name == name);
    named.ok_or_else(|| format!("no `[[workspace]]` table has the name `{name}`"))
}

/// How to reach one API: that of Prefect's own settings, or that of the workspace with this name.
///
/// # Errors
/// There is no such workspace, or what it says cannot be used.
pub(super) fn client_of(name: Option<&str>, settings: &Settings) -> Result<ClientSettings, String> {
    match name {
        None => client_settings(&settings.prefect, settings.worker.client_certificate.as_ref()),
        Some(name) => {
            let named = workspace_named(settings, name)?;
            client_settings(&named.prefect, named.client_certificate.as_ref())
        }
    }
}

fn own_workspace_plan(settings: &Settings, variables: &BTreeMap<String, String>) -> Result<WorkspacePlan, String> {
    let worker = &settings.worker;
    Ok(WorkspacePlan {
        name: None,
        client: client_settings(&settings.prefect, worker.client_certificate.as_ref())?,
        plugins: plugin_settings(settings, variables)?,
        run_settings: run_settings(settings, variables)?,
        code_cache: worker.code.cache.then(|| code_cache(worker)),
    })
}

fn named_workspace_plan(
    workspace: &WorkspaceSettings,
    settings: &Settings,
    variables: &BTreeMap<String, String>,
) -> Result<WorkspacePlan, String> {
    let worker = &settings.worker;
    // What leads to another API than its own, a run is not to see: the key of runs, for one.
    let variables = variables.clone().into_iter().filter(|(name, _)| WorkspaceSettings::may_see(name)).collect();
    let key = run_api_key::of_workspace(workspace)?;
    let plugins = plugin_settings_with(settings, &variables, key.as_ref())?;
    let mut run_settings = run_settings_with(settings, workspace.base_environment(), &variables, key.as_ref());
    if key.is_some() {
        run_api_key::put_no_other(&mut run_settings.base_environment);
    }
    Ok(WorkspacePlan {
        name: Some(workspace.name.clone()),
        client: client_settings(&workspace.prefect, workspace.client_certificate.as_ref())?,
        plugins: PluginSettings { kubernetes: without_key_of_others(plugins.kubernetes), ..plugins },
        run_settings,
        code_cache: worker.code.cache.then(|| code_cache(worker).of_workspace(&workspace.name)),
    })
}

/// The Secrets that Prefect's settings name, or that are named by the worker, hold the key of one API.
fn without_key_of_others(settings: kubernetes::KubernetesSettings) -> kubernetes::KubernetesSettings {
    kubernetes::KubernetesSettings {
        api_key_secret: None,
        api_auth_string_secret: None,
        create_secret_for_api_key: false,
        ..settings
    }
}

/// The pools. Reads the base job template files.
///
/// # Errors
/// The text of what is wrong, for people.
pub(super) fn pool_plans(settings: &Settings) -> Result<Vec<PoolPlan>, String> {
    settings.pools.iter().map(|pool| pool_plan(pool, settings)).collect()
}

/// The place of a workspace among the plans.
fn workspace_index(settings: &Settings, name: Option<&str>) -> WorkspaceIndex {
    let named = settings.workspaces.iter().position(|workspace| Some(workspace.name.as_str()) == name);
    WorkspaceIndex(named.map_or(0, |at| at + usize::from(uses_own_api(settings))))
}

/// What of the worker's environment may be seen by runs, and by the placeholders of their configuration.
fn for_runs(variables: &BTreeMap<String, String>, key: Option<&SecretString>) -> BTreeMap<String, String> {
    let mut environment = variables.clone();
    environment.retain(|name, _| !name.starts_with(WORKER_PREFIX));
    run_api_key::put(key, &mut environment);
    environment
}

/// How code is brought, without a cache: that is opened by whoever uses it.
pub(super) fn pulling(worker: &WorkerSettings) -> PullOptions {
    PullOptions {
        time_limit: worker.code.timeout,
        offline_fallback: worker.code.offline_fallback,
        ..PullOptions::default()
    }
}

/// Where code is kept for later runs, and how much.
fn code_cache(worker: &WorkerSettings) -> CodeCache {
    let size = u64::try_from(worker.code.cache_size_mib.get()).unwrap_or(u64::MAX).saturating_mul(1 << 20);
    CodeCache {
        directory: worker.state_dir.join(code_cache::FOLDER),
        limits: CacheLimits { size: Some(size), age: Some(worker.code.cache_age) },
    }
}

/// The same for one API: that of Prefect's own settings, or that of the workspace with this name.
///
/// # Errors
/// There is no such workspace.
pub(super) fn code_cache_of(name: Option<&str>, settings: &Settings) -> Result<CodeCache, String> {
    let cache = code_cache(&settings.worker);
    match name {
        None => Ok(cache),
        Some(name) => Ok(cache.of_workspace(&workspace_named(settings, name)?.name)),
    }
}

/// What the plugins are told, for nobody in particular: a daemon puts in its own mark and folder.
///
/// # Errors
/// The API key of runs cannot be read.
pub(super) fn plugin_settings(
    settings: &Settings,
    variables: &BTreeMap<String, String>,
) -> Result<PluginSettings, String> {
    plugin_settings_with(settings, variables, run_api_key::of_own_api(settings)?.as_ref())
}

fn plugin_settings_with(
    settings: &Settings,
    variables: &BTreeMap<String, String>,
    key: Option<&SecretString>,
) -> Result<PluginSettings, String> {
    let worker = &settings.worker;
    let nobody = || Owner::new("nobody");
    Ok(PluginSettings {
        process: ProcessSettings {
            python: worker.process.python.clone(),
            worker_environment: for_runs(variables, key),
            confinement: sandboxing::of_section(&worker.sandbox)?,
            profiles: sandboxing::of_profiles(&worker.sandbox_profiles)?,
            inheritance: match worker.process.environment {
                ProcessEnvironmentMode::Inherit => Inheritance::Everything,
                ProcessEnvironmentMode::Clean => {
                    let and = worker.process.environment_allow.iter().map(Pattern::new).collect();
                    Inheritance::Needed { and }
                }
            },
            warm: match worker.process.warm {
                WarmStarts::Off => Warm::Off,
                WarmStarts::Auto => Warm::Auto,
                WarmStarts::Kept(most) => Warm::Kept(most),
            },
            runs_directory: worker.state_dir.join("runs"),
            owner: nobody(),
            supervisor: SupervisorProgram::beside_this_program("worker-supervisor"),
        },
        docker: DockerSettings {
            host: worker.docker.host.clone(),
            worker_environment: variables.clone(),
            owner: nobody(),
            state_directory: worker.state_dir.join("docker"),
            cleanup: match worker.docker.cleanup {
                DockerCleanup::Ttl => Cleanup::After(worker.docker.cleanup_ttl),
                DockerCleanup::Keep => Cleanup::Keep,
                DockerCleanup::Remove => Cleanup::Remove,
            },
            secrets: match worker.docker.secrets {
                DockerSecrets::File => Secrets::File,
                DockerSecrets::Environment => Secrets::Environment,
            },
            image_pull_deadline: worker.docker.image_pull_deadline,
        },
        kubernetes: kubernetes_settings(settings, nobody()),
        kubernetes_slots: match worker.kubernetes.hold_slots {
            HoldSlots::UntilEnd => SlotsHeld::UntilEnd,
            HoldSlots::UntilSubmitted => SlotsHeld::UntilSubmitted,
        },
    })
}

fn kubernetes_settings(settings: &Settings, owner: Owner) -> kubernetes::KubernetesSettings {
    let (own, prefect) = (&settings.worker.kubernetes, &settings.prefect.kubernetes);
    let secret = |of: &Option<SecretKeyRef>| {
        of.as_ref().map(|of| kubernetes::SecretKeyRef { name: of.name.clone(), key: of.key.clone() })
    };
    kubernetes::KubernetesSettings {
        owner,
        state_directory: settings.worker.state_dir.join("kubernetes"),
        kubeconfig: own.kubeconfig.as_ref().map(ToString::to_string),
        context: own.context.clone(),
        namespaces: prefect.namespaces.clone(),
        label_filters: prefect.label_filters.clone(),
        observe: prefect.observer_enabled,
        replicate_pod_events: prefect.replicate_pod_events,
        forward_crashed_run_logs: prefect.forward_crashed_run_logs,
        forward_crashed_run_logs_tail_lines: prefect.forward_crashed_run_logs_tail_lines,
        startup_event_concurrency: prefect.startup_event_concurrency,
        api_key_secret: secret(&prefect.api_key_secret),
        api_auth_string_secret: secret(&prefect.api_auth_string_secret),
        create_secret_for_api_key: prefect.create_secret_for_api_key,
        store_env_as_secret: prefect.store_env_as_secret,
        secrets: match own.secrets {
            KubernetesSecrets::Secret => kubernetes::Secrets::Secret,
            KubernetesSecrets::Environment => kubernetes::Secrets::Environment,
        },
        create_deadline: own.create_deadline,
        cleanup: match own.cleanup {
            KubernetesCleanup::Keep => kubernetes::Cleanup::Keep,
            KubernetesCleanup::Remove => kubernetes::Cleanup::Remove,
            KubernetesCleanup::Ttl => kubernetes::Cleanup::After(own.cleanup_ttl),
        },
        cleanup_ttl: own.cleanup_ttl,
        image_pull_deadline: Some(own.image_pull_deadline),
        start_deadline: own.start_deadline,
        init_image: own.init_image.clone(),
    }
}

fn exposed(environment: &BTreeMap<String, SecretString>) -> BTreeMap<String, String> {
    environment.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect()
}

/// `docs/job-variables.md`, as it is where nothing is set.
pub fn job_variables_md() -> String {
    let nowhere = ProcessEnvironment {
        variables: BTreeMap::new(),
        working_directory: "/nonexistent".into(),
        home_directory: None,
    };
    let from = LoadFrom { system_file: "/nonexistent/worker.toml".into(), ..LoadFrom::process(nowhere) };
    match Settings::load(&from) {
        // Without any settings none is wrong.
        Err(_) => String::new(),
        Ok(loaded) => plugin_settings(&loaded.settings, &BTreeMap::new())
            .map_or_else(|_| String::new(), crate::job_variables::job_variables_md),
    }
}

pub(super) fn client_settings(
    prefect: &PrefectSettings,
    certificate: Option<&ClientCertificate>,
) -> Result<ClientSettings, String> {
    let Some(api_url) = &prefect.api.url else {
        return Err(prefect.missing_api_url().unwrap_or_default().to_owned());
    };
    Ok(ClientSettings {
        api_url: api_url.as_url().clone(),
        cloud_api_url: prefect.cloud.api_url.as_url().clone(),
        credentials: Credentials::choose(prefect.api.auth_string.clone(), prefect.api.key.clone()),
        custom_headers: prefect.client.custom_headers.clone(),
        csrf: prefect.client.csrf_support_enabled,
        request_timeout: prefect.api.request_timeout,
        tls: TlsSettings {
            insecure_skip_verify: prefect.api.tls_insecure_skip_verify,
            ca_file: prefect.api.ssl_cert_file.clone(),
            client_cert: certificate.map(|certificate| certificate.certificate.clone()),
            client_key: certificate.map(|certificate| certificate.key.clone()),
        },
        http2: prefect.api.enable_http2,
        retry: RetrySettings {
            max_retries: prefect.client.max_retries,
            jitter_factor: prefect.client.retry_jitter_factor,
            extra_codes: prefect.client.retry_extra_codes.iter().copied().collect(),
        },
        traffic: None,
        log: LogSettings {
            enabled: prefect.logging.to_api.enabled,
            batch_interval: prefect.logging.to_api.batch_interval,
            batch_size: prefect.logging.to_api.batch_size,
            max_log_size: prefect.max_log_size(),
        },
    })
}

fn pool_plan(pool: &PoolSettings, settings: &Settings) -> Result<PoolPlan, String> {
    Ok(PoolPlan {
        workspace: workspace_index(settings, pool.workspace.as_deref()),
        workspace_name: pool.workspace.clone(),
        pool: pool.name.clone(),
        worker_name: settings.worker.start.name.clone(),
        kind: pool.worker_type.clone(),
        work_queues: pool.work_queues.clone(),
        limit: pool.limit.map(NonZeroUsize::get),
        priority: Priority(pool.priority.get()),
        rerun: RerunPolicy {
            on: pool.rerun_on.iter().filter_map(|word| RerunCause::parse(word)).collect(),
            most: pool.rerun_max.get().try_into().unwrap_or(u32::MAX),
        },
        late: match pool.late {
            worker_config::LatePolicy::All => LatePolicy::All,
            worker_config::LatePolicy::Latest => LatePolicy::Latest,
            worker_config::LatePolicy::SkipOlderThan(bound) => LatePolicy::SkipOlderThan(bound),
        },
        sandbox: pool.sandbox.clone(),
        prefetch: pool.prefetch,
        pick_up_events: pool.pick_up_events,
        base_job_template: pool.base_job_template.as_deref().map(read_template).transpose()?,
        create_pool_if_not_found: pool.create_if_not_found,
        query_interval: settings.prefect.worker.query,
        heartbeat_interval: settings.prefect.worker.heartbeat,
    })
}

fn read_template(path: &Utf8Path) -> Result<Map<String, Value>, String> {
    let flag = "--base-job-template";
    let text = fs_err::read_to_string(path).map_err(|error| format!("{flag}: {error}"))?;
    let template: Value =
        serde_json::from_str(&text).map_err(|error| format!("{flag}: {path} is not JSON: {error}"))?;
    let Value::Object(template) = template else {
        return Err(format!("{flag}: {path} must hold a JSON object"));
    };
    for part in ["job_configuration", "variables"] {
        if !template.get(part).is_some_and(Value::is_object) {
            return Err(format!("{flag}: {path} has no object `{part}`, which a base job template needs"));
        }
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<Map<String, Value>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("t.json");
        fs_err::write(&path, text).unwrap();
        read_template(&path)
    }

    #[test]
    fn the_reference_of_job_variables_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/job-variables.md");
        let written = fs_err::read_to_string(path).unwrap_or_default();
        let is_current = !written.is_empty() && written == job_variables_md();
        assert!(is_current, "docs/job-variables.md is out of date: run `cargo run -p worker --example reference`");
    }

    #[test]
    fn a_base_job_template_file_that_is_none_is_refused_with_its_name() {
        assert!(template(r#"{"job_configuration": {}, "variables": {}}"#).is_ok());
        for (text, part) in [
            ("no json", "is not JSON"),
            ("[1]", "JSON object"),
            (r#"{"variables": {}}"#, "`job_configuration`"),
            (r#"{"job_configuration": {}, "variables": 1}"#, "`variables`"),
        ] {
            let complaint = template(text).unwrap_err();
            assert!(complaint.contains(part) && complaint.contains("t.json"), "{complaint}");
        }
        let missing = read_template(Utf8Path::new("/does/not/exist.json")).unwrap_err();
        assert!(missing.contains("/does/not/exist.json"), "{missing}");
    }
}
