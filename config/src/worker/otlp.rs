//! `[otlp]`, and OpenTelemetry's own variables for the same.
//!
//! Those are often set for every container of a cluster, with no thought of this one. So what cannot be used in them is a warning
//! and no error: a worker must not fail to start for a collector.

use std::time::Duration;

use camino::Utf8PathBuf;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::keys::{
    Key, OTLP_CA_FILE, OTLP_ENABLED, OTLP_ENDPOINT, OTLP_HEADERS, OTLP_RESOURCE, OTLP_SERVICE_NAME, OTLP_TIMEOUT,
    OTLP_TRACES_ENDPOINT,
};
use crate::{
    Origin,
    layer::{Layer, Origins},
    raw::Raw,
    reading::Reading,
    value::{self, Refusal, refusal},
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where traces of runs are sent.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// The whole URL.
    pub endpoint: Url,
    /// Headers for it.
    pub headers: Vec<(String, SecretString)>,
    /// What its certificate is trusted by; `None` is Mozilla's list.
    pub ca_file: Option<Utf8PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
    /// `service.name`, if it is set by itself.
    pub service_name: Option<String>,
    /// What is told of the worker besides.
    pub resource_attributes: Vec<(String, String)>,
}

/// `None` where no traces are sent.
pub(super) fn read(reading: &mut Reading<'_>) -> Option<OtlpSettings> {
    let is_enabled = reading.or((&OTLP_ENABLED).into(), true, value::boolean, bool::to_string);
    let whole = |raw: &Raw| endpoint(raw).map(Some);
    let base = reading.optional((&OTLP_ENDPOINT).into(), whole, Url::to_string);
    let exact = reading.optional((&OTLP_TRACES_ENDPOINT).into(), whole, Url::to_string);
    let headers = reading.secret((&OTLP_HEADERS).into());
    let headers = match headers.as_ref().map(|text| pairs(text.expose_secret())) {
        None => Vec::new(),
        Some(Some(pairs)) => pairs.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect(),
        Some(None) => {
            let origin = reading.origin(OTLP_HEADERS.variable).cloned().unwrap_or(Origin::Default);
            reading.refuse(OTLP_HEADERS.dotted, origin, PAIRS_WANTED.to_owned());
            Vec::new()
        }
    };
    let ca_file = reading.path((&OTLP_CA_FILE).into());
    let seconds = |timeout: &Duration| timeout.as_secs_f64().to_string();
    let timeout = reading.or((&OTLP_TIMEOUT).into(), DEFAULT_TIMEOUT, value::interval, seconds);
    let name = |raw: &Raw| value::text(raw).map(|name| (!name.is_empty()).then_some(name));
    let service_name = reading.optional((&OTLP_SERVICE_NAME).into(), name, String::clone);
    let attributes = |raw: &Raw| attributes(raw).map(Some);
    let show = |pairs: &Vec<(String, String)>| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    };
    let resource_attributes = reading.optional((&OTLP_RESOURCE).into(), attributes, show).unwrap_or_default();
    let endpoint = exact.or_else(|| base.map(traces_below))?;
    is_enabled.then_some(OtlpSettings { endpoint, headers, ca_file, timeout, service_name, resource_attributes })
}

fn traces_below(mut base: Url) -> Url {
    let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
    base.set_path(&path);
    base
}

fn endpoint(raw: &Raw) -> Result<Url, Refusal> {
    const WANTED: &str = "must be a URL that begins with http:// or https://";
    let url = Url::parse(&value::not_empty(raw)?).map_err(|_| refusal(WANTED, raw))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(refusal(WANTED, raw)) }
}

const PAIRS_WANTED: &str = "must be `name=value`, separated by commas";

fn attributes(raw: &Raw) -> Result<Vec<(String, String)>, Refusal> {
    pairs(&value::text(raw)?).ok_or_else(|| refusal(PAIRS_WANTED, raw))
}

/// `name=value,name=value` with percent-encoded values, as OpenTelemetry writes lists into variables.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (name, value) = entry.split_once('=')?;
            let value = percent_decoded(value.trim())?;
            (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value))
        })
        .collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        // What is no encoding stands for itself: people write `50%` as well.
        let decoded = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, rest) = decoded.map_or((b'%', part), |byte| (byte, part.get(2..).unwrap_or_default()));
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// What our own setting would have to be set to.
type Translation = fn(&Raw) -> Result<Raw, Refusal>;

/// What the variables of OpenTelemetry's SDKs set, the first of each that is there.
const VARIABLES: &[(&Key, &[&str], Translation)] = &[
    (&OTLP_ENDPOINT, &["OTEL_EXPORTER_OTLP_ENDPOINT"], url_as_it_is),
    (&OTLP_TRACES_ENDPOINT, &["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], url_as_it_is),
    (&OTLP_HEADERS, &["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"], pairs_as_they_are),
    (&OTLP_CA_FILE, &["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"], text_as_it_is),
    (&OTLP_TIMEOUT, &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"], milliseconds),
    (&OTLP_SERVICE_NAME, &["OTEL_SERVICE_NAME"], text_as_it_is),
    (&OTLP_RESOURCE, &["OTEL_RESOURCE_ATTRIBUTES"], pairs_as_they_are),
];

fn text_as_it_is(raw: &Raw) -> Result<Raw, Refusal> {
    value::text(raw).map(Raw::Text)
}

fn url_as_it_is(raw: &Raw) -> Result<Raw, Refusal> {
    endpoint(raw).map(|_| raw.clone())
}

/// The value is not repeated: headers are secrets.
fn pairs_as_they_are(raw: &Raw) -> Result<Raw, Refusal> {
    let is_understood = value::text(raw).is_ok_and(|text| pairs(&text).is_some());
    if is_understood { Ok(raw.clone()) } else { Err(PAIRS_WANTED.to_owned()) }
}

fn milliseconds(raw: &Raw) -> Result<Raw, Refusal> {
    let millis = value::integer_from::<u64>(1)(raw)?;
    Ok(Raw::Float(Duration::from_millis(millis).as_secs_f64()))
}

/// A variable's value, if it is this word.
fn is_set_to(find: impl Fn(&str) -> Option<(Raw, Origin)>, name: &str, word: &str) -> Option<(Raw, Origin)> {
    find(name).filter(|(value, _)| value::text(value).is_ok_and(|text| text.trim().eq_ignore_ascii_case(word)))
}

/// OpenTelemetry's ways of turning traces off, which count for whatever file says otherwise.
pub(crate) fn switch(origins: &mut Origins, find: impl Fn(&str) -> Option<(Raw, Origin)>) -> Layer {
    let mut layer = Layer::default();
    let off =
        is_set_to(&find, "OTEL_SDK_DISABLED", "true").or_else(|| is_set_to(&find, "OTEL_TRACES_EXPORTER", "none"));
    if let Some((_, origin)) = off {
        layer.set(origins, OTLP_ENABLED.variable, Raw::Bool(false), origin);
    }
    layer
}

/// The layer of OpenTelemetry's variables. An empty one counts as none, as there.
pub(crate) fn standard_variables(
    origins: &mut Origins,
    warnings: &mut Vec<String>,
    find: impl Fn(&str) -> Option<(Raw, Origin)>,
) -> Layer {
    let mut layer = Layer::default();
    let find = |name: &str| find(name).filter(|(value, _)| *value != Raw::Text(String::new()));
    let is_grpc = is_set_to(find, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc").or_else(|| {
        let general = is_set_to(find, "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        general.filter(|_| find("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").is_none())
    });
    for (key, names, read) in VARIABLES {
        let Some((value, origin)) = names.iter().find_map(|name| find(name)) else { continue };
        let is_endpoint = [OTLP_ENDPOINT.dotted, OTLP_TRACES_ENDPOINT.dotted].contains(&key.dotted);
        if is_endpoint && let Some((_, protocol)) = &is_grpc {
            let hint = "this worker sends OTLP over HTTP (protobuf). Set WORKER_OTLP_ENDPOINT for that";
            warnings
                .push(format!("{origin}: no traces are sent there: the protocol is `grpc` ({protocol}), and {hint}"));
            continue;
        }
        match read(&value) {
            Ok(value) => layer.set(origins, key.variable, value, origin),
            Err(reason) => warnings.push(format!("{origin}: not used for traces: {reason}")),
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use camino::Utf8PathBuf;

    use super::*;
    use crate::{LoadFrom, Loaded, ProcessEnvironment, Settings};

    fn loaded(variables: &[(&str, &str)]) -> Loaded {
        let process = ProcessEnvironment {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            working_directory: Utf8PathBuf::from("/nonexistent"),
            home_directory: None,
        };
        let from =
            LoadFrom { system_file: Utf8PathBuf::from("/nonexistent/worker.toml"), ..LoadFrom::process(process) };
        Settings::load(&from).unwrap()
    }

    fn otlp(variables: &[(&str, &str)]) -> Option<OtlpSettings> {
        loaded(variables).settings.worker.otlp
    }

    fn endpoint_of(variables: &[(&str, &str)]) -> Option<String> {
        otlp(variables).map(|settings| settings.endpoint.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_somebody_says_where() {
        assert!(otlp(&[]).is_none());
        assert!(otlp(&[("OTEL_SERVICE_NAME", "w"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).is_none());
    }

    #[test]
    fn the_path_is_added_to_a_base_and_not_to_a_whole_url() {
        let base = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/otlp/")];
        assert_eq!(endpoint_of(&base).unwrap(), "http://c:4318/otlp/v1/traces");
        let whole = [base[0], ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/mine?x=1")];
        assert_eq!(endpoint_of(&whole).unwrap(), "https://c/mine?x=1");
        let own = [base[0], ("WORKER_OTLP_ENDPOINT", "http://mine:4318")];
        assert_eq!(endpoint_of(&own).unwrap(), "http://mine:4318/v1/traces", "our own variable goes before");
    }

    #[test]
    fn the_standard_variables_say_the_rest() {
        let settings = otlp(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc=, x-tenant = t"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_SERVICE_NAME", "my-worker"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,share=50%"),
        ])
        .unwrap();
        let headers: Vec<_> = settings.headers.iter().map(|(name, value)| (&**name, value.expose_secret())).collect();
        assert_eq!(headers, [("authorization", "Bearer abc="), ("x-tenant", "t")]);
        assert_eq!(
            (settings.timeout, settings.service_name.as_deref()),
            (Duration::from_millis(2500), Some("my-worker"))
        );
        let attributes: Vec<_> = settings.resource_attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(attributes, [("deployment.environment.name", "prod"), ("share", "50%")]);
        assert!(!format!("{settings:?}").contains("abc"));
    }

    #[test]
    fn the_switches_of_opentelemetry_turn_it_off() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        for switch in
            [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none"), ("WORKER_OTLP_ENABLED", "false")]
        {
            assert!(otlp(&[endpoint, switch]).is_none(), "{switch:?}");
        }
        assert!(otlp(&[endpoint, ("OTEL_SDK_DISABLED", "false")]).is_some());
    }

    #[test]
    fn what_is_set_for_a_whole_cluster_and_cannot_be_used_is_a_warning() {
        let grpc = loaded(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert!(grpc.settings.worker.otlp.is_none());
        assert!(grpc.warnings[0].contains("`grpc`"), "{:?}", grpc.warnings);
        let odd = loaded(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"), ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret-value")]);
        assert!(odd.settings.worker.otlp.is_none());
        assert_eq!(odd.warnings.len(), 2, "{:?}", odd.warnings);
        assert!(!odd.warnings.concat().contains("s3cret-value"), "{:?}", odd.warnings);
    }

    #[test]
    fn what_is_meant_for_this_worker_and_cannot_be_used_is_an_error() {
        for (variable, value) in [("WORKER_OTLP_ENDPOINT", "c:4318"), ("WORKER_OTLP_HEADERS", "s3cret-value")] {
            let process = ProcessEnvironment {
                variables: BTreeMap::from([(variable.to_owned(), value.to_owned())]),
                working_directory: Utf8PathBuf::from("/nonexistent"),
                home_directory: None,
            };
            let error = Settings::load(&LoadFrom::process(process)).unwrap_err().to_string();
            assert!(error.contains(variable) && !error.contains("s3cret-value"), "{error}");
        }
    }
}
