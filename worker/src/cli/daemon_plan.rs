//! From the settings in force to what the daemon is going to do.

use std::collections::BTreeMap;

use camino::Utf8Path;
use central_api_client::{ClientSettings, Credentials, LogSettings, RetrySettings, TlsSettings};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use worker_config::{DockerCleanup, DockerSecrets, PoolSettings, PrefectSettings, Settings, WorkerSettings};
use worker_core::rerun::{RerunCause, RerunPolicy};

use crate::plan::{CancellationPlan, DaemonPlan, PoolPlan, ShutdownPlan};
use crate::registry::{Cleanup, DockerSettings, PluginSettings, ProcessSettings, Secrets, SupervisorProgram};
use crate::run::RunSettings;
use infra_contract::Owner;

/// Works out the plan. Reads the base job template files, nothing else.
///
/// # Errors
/// The text of what is wrong, for people.
pub(super) fn daemon_plan(settings: &Settings, variables: BTreeMap<String, String>) -> Result<DaemonPlan, String> {
    let (prefect, worker) = (&settings.prefect, &settings.worker);
    let runs = worker.state_dir.join("runs");
    Ok(DaemonPlan {
        client: client_settings(prefect, worker)?,
        pools: settings.pools.iter().map(|pool| pool_plan(pool, settings)).collect::<Result<_, _>>()?,
        plugins: plugin_settings(worker, &variables),
        run_settings: RunSettings {
            base_environment: base_environment(settings),
            worker_environment: variables,
            kill_grace: worker.process.kill_grace,
            shutdown_grace: worker.shutdown.grace,
            code_directory: runs,
        },
        run_once: worker.start.run_once,
        wait_for_api: worker.wait_for_api,
        check_server_version: prefect.client.server_version_check_enabled,
        health: worker
            .start
            .with_healthcheck
            .then(|| (prefect.worker.webserver_host.clone(), prefect.worker.webserver_port)),
        metrics: prefect.client.metrics_enabled.then(|| ("0.0.0.0".to_owned(), prefect.client.metrics_port)),
        cancellation: CancellationPlan {
            enabled: prefect.worker.enable_cancellation,
            poll: worker.cancellation_poll,
            supervised_poll: prefect.worker.cancellation_poll,
            crash_when_blind: prefect.runner.crash_on_cancellation_failure,
        },
        state_dir: worker.state_dir.clone(),
        admission: worker.admission,
        shutdown: ShutdownPlan {
            runs: worker.shutdown.runs,
            drain_timeout: worker.shutdown.drain_timeout,
            grace: worker.shutdown.grace,
        },
    })
}

fn plugin_settings(worker: &WorkerSettings, variables: &BTreeMap<String, String>) -> PluginSettings {
    let nobody = || Owner::new("nobody");
    PluginSettings {
        process: ProcessSettings {
            python: worker.process.python.clone(),
            worker_environment: variables.clone(),
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
    }
}

fn base_environment(settings: &Settings) -> BTreeMap<String, String> {
    let exposed = |(name, value): (&String, &secrecy::SecretString)| (name.clone(), value.expose_secret().to_owned());
    settings.base_environment().iter().map(exposed).collect()
}

fn client_settings(prefect: &PrefectSettings, worker: &WorkerSettings) -> Result<ClientSettings, String> {
    let Some(api_url) = &prefect.api.url else {
        return Err(prefect.missing_api_url().unwrap_or_default().to_owned());
    };
    let certificate = worker.client_certificate.as_ref();
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
        pool: pool.name.clone(),
        worker_name: settings.worker.start.name.clone(),
        kind: pool.worker_type.clone(),
        work_queues: pool.work_queues.clone(),
        limit: pool.limit.map(std::num::NonZeroUsize::get),
        rerun: RerunPolicy {
            on: pool.rerun_on.iter().filter_map(|word| RerunCause::parse(word)).collect(),
            most: pool.rerun_max.get().try_into().unwrap_or(u32::MAX),
        },
        prefetch: pool.prefetch,
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
