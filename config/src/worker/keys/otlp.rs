//! Settings about the traces of runs.

use super::{Key, KeyKind, key};

pub(crate) const OTLP_ENABLED: Key = Key {
    default: Some("true"),
    doc: "Whether traces of runs are sent where an endpoint is set. Turned off by OTEL_SDK_DISABLED=true and \
          OTEL_TRACES_EXPORTER=none, too.",
    ..key("otlp.enabled", "WORKER_OTLP_ENABLED", KeyKind::Bool)
};
pub(crate) const OTLP_ENDPOINT: Key = Key {
    example: "\"http://localhost:4318\"",
    doc: "OpenTelemetry collector that traces of runs are sent to, by OTLP over HTTP (protobuf): `/v1/traces` is added. Unset: \
          OTEL_EXPORTER_OTLP_ENDPOINT; without that no traces are made.",
    ..key("otlp.endpoint", "WORKER_OTLP_ENDPOINT", KeyKind::Text)
};
pub(crate) const OTLP_TRACES_ENDPOINT: Key = Key {
    example: "\"https://collector.example.com/otlp/v1/traces\"",
    doc: "The same as a whole URL, to which nothing is added; goes before `endpoint`. Unset: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.",
    ..key("otlp.traces_endpoint", "WORKER_OTLP_TRACES_ENDPOINT", KeyKind::Text)
};
pub(crate) const OTLP_HEADERS: Key = Key {
    example: "\"authorization=Bearer%20KEY,x-tenant=flows\"",
    doc: "Headers for the collector, as `name=value` separated by commas, values percent-encoded where they have to be; a secret. \
          Unset: OTEL_EXPORTER_OTLP_TRACES_HEADERS, else OTEL_EXPORTER_OTLP_HEADERS.",
    ..key("otlp.headers", "WORKER_OTLP_HEADERS", KeyKind::Secret)
};
pub(crate) const OTLP_CA_FILE: Key = Key {
    example: "\"/etc/worker/tls/collector-ca.pem\"",
    doc: "PEM file with the certificates that the collector's is trusted by. Unset: OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE, else \
          OTEL_EXPORTER_OTLP_CERTIFICATE, else Mozilla's list.",
    ..key("otlp.ca_file", "WORKER_OTLP_CA_FILE", KeyKind::Path)
};
pub(crate) const OTLP_TIMEOUT: Key = Key {
    default: Some("10"),
    doc: "How long a request to the collector may take. OTEL_EXPORTER_OTLP_TRACES_TIMEOUT and OTEL_EXPORTER_OTLP_TIMEOUT, in \
          milliseconds, set it too.",
    ..key("otlp.timeout_seconds", "WORKER_OTLP_TIMEOUT_SECONDS", KeyKind::Interval)
};
pub(crate) const OTLP_SERVICE_NAME: Key = Key {
    example: "\"prefect-worker\"",
    doc: "`service.name` of the traces. Unset: OTEL_SERVICE_NAME, else that of `resource_attributes`, else `prefect-worker`.",
    ..key("otlp.service_name", "WORKER_OTLP_SERVICE_NAME", KeyKind::Text)
};
pub(crate) const OTLP_RESOURCE: Key = Key {
    example: "\"deployment.environment.name=production,service.namespace=flows\"",
    doc: "What the traces say of the worker besides, in the form of `headers`. Unset: OTEL_RESOURCE_ATTRIBUTES.",
    ..key("otlp.resource_attributes", "WORKER_OTLP_RESOURCE_ATTRIBUTES", KeyKind::Text)
};
