//! From the settings to where traces go.

use std::sync::Arc;

use central_api_client::{ClientBuildError, TlsSettings, client_for_others};
use otlp::{Exporter, Target, UnusableHeader, Value};
use rustix::system::uname;
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use worker_config::OtlpSettings;

use super::Traces;
use crate::metrics::Metrics;
use crate::redaction::KnownSecrets;
use crate::run::ErrorChain;

/// What the daemon sends traces with.
pub type TracesPlan = OtlpSettings;

/// `service.name`, where nobody sets another.
const SERVICE: &str = "prefect-worker";

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum UnusableTraces {
    /// A file with certificates.
    #[error(transparent)]
    Client(#[from] ClientBuildError),
    /// A header.
    #[error(transparent)]
    Header(#[from] UnusableHeader),
}

/// What sends spans as the settings have it.
///
/// # Errors
/// They cannot be used.
pub fn exporter(settings: &OtlpSettings, secrets: KnownSecrets) -> Result<Exporter, UnusableTraces> {
    let tls = TlsSettings { ca_file: settings.ca_file.clone(), ..TlsSettings::default() };
    let headers = settings.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
    let target = Target::new(settings.endpoint.clone(), headers, settings.timeout)?;
    let redact = move |text| secrets.redact(text);
    Ok(Exporter::new(client_for_others(&tls)?, target, resource(settings), env!("CARGO_PKG_VERSION"), redact))
}

/// Starts sending. Whatever is wrong with it, runs are executed all the same.
pub fn open(
    plan: Option<&TracesPlan>,
    metrics: &Metrics,
    secrets: &KnownSecrets,
    stop: &CancellationToken,
) -> (Traces, Option<JoinHandle<()>>) {
    let Some(plan) = plan else { return (Traces::default(), None) };
    match exporter(plan, secrets.clone()) {
        Ok(exporter) => {
            metrics.traces_are_sent();
            tracing::info!("Traces of runs are sent to {}", exporter.target().shown());
            let (spans, task) = otlp::start(exporter, Arc::new(metrics.clone()), stop.clone());
            (Traces::through(spans), Some(task))
        }
        Err(error) => {
            tracing::error!("no traces of runs are sent: {}", ErrorChain(&error));
            (Traces::default(), None)
        }
    }
}

/// Who sends them. What people set goes before what is found out, and `service.name` by itself before all.
fn resource(settings: &OtlpSettings) -> Vec<(String, Value)> {
    let found: [(&str, Value); 5] = [
        ("service.name", SERVICE.into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("service.instance.id", Uuid::new_v4().to_string().into()),
        ("host.name", uname().nodename().to_string_lossy().into_owned().into()),
        ("process.pid", i64::from(std::process::id()).into()),
    ];
    let mut resource: Vec<(String, Value)> = Vec::new();
    let mut set = |name: &str, value: Value| match resource.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => resource.push((name.to_owned(), value)),
    };
    for (name, value) in found {
        set(name, value);
    }
    for (name, value) in &settings.resource_attributes {
        set(name, value.as_str().into());
    }
    if let Some(name) = &settings.service_name {
        set("service.name", name.as_str().into());
    }
    resource
}
