//! `[[workspace]]` tables: further APIs, each with a connection of its own.
//!
//! A workspace is Prefect's settings with the connection taken out of every layer and that of the table, or of the profile that
//! it names, put in. So nothing of one connection is ever used for another.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;
use url::Url;

use super::{
    file::NamedTable,
    forms,
    keys::{Key, KeyKind, key},
    run_api_key::RunApiKey,
    types::ClientCertificate,
};
use crate::{
    ConfigError, Effective, Origin, PrefectSettings,
    layer::{Layer, Origins},
    prefect::PROFILES_PATH,
    raw::Raw,
};

/// The name of a `[[workspace]]` table. No variable sets it.
pub(crate) const WORKSPACE_NAME: Key = Key {
    example: "\"acme\"",
    doc: "Name by which `[[pool]]` tables and `--pool NAME/POOL` mean the workspace. Required.",
    ..key("workspace.name", "", KeyKind::Name)
};
const PROFILE: Key = Key {
    example: "\"acme\"",
    doc: "Prefect profile of which the connection is taken: URL, key, authentication, headers and TLS, and nothing else. Other \
          keys of the table beat it.",
    ..key("workspace.profile", "", KeyKind::Text)
};
const API_URL: Key = Key {
    example: "\"https://api.prefect.cloud/api/accounts/…/workspaces/…\"",
    doc: "URL of the API. Required unless the profile has one.",
    ..key("workspace.api_url", "", KeyKind::Text)
};
const API_KEY: Key = Key {
    example: "\"pnu_…\"",
    doc: "Key for Prefect Cloud. Better in a file of its own.",
    ..key("workspace.api_key", "", KeyKind::Text)
};
const API_KEY_FILE: Key = Key {
    example: "\"/etc/worker/acme.key\"",
    doc: "File that holds the key, read at the start.",
    ..key("workspace.api_key_file", "", KeyKind::Path)
};
const AUTH_STRING: Key = Key {
    example: "\"user:password\"",
    doc: "Basic authentication at a self-hosted server. Better in a file of its own.",
    ..key("workspace.api_auth_string", "", KeyKind::Text)
};
const AUTH_STRING_FILE: Key = Key {
    example: "\"/etc/worker/acme.auth\"",
    doc: "File that holds it, read at the start.",
    ..key("workspace.api_auth_string_file", "", KeyKind::Path)
};
const CUSTOM_HEADERS: Key = Key {
    example: "{ X-Tenant = \"acme\" }",
    doc: "Headers sent with every request to this API.",
    ..key("workspace.custom_headers", "", KeyKind::Headers)
};
const RUN_API_KEY: Key = Key {
    example: "\"pnu_…\"",
    doc: "Key that runs of the workspace get as PREFECT_API_KEY in the place of the worker's own; they get no \
          PREFECT_API_AUTH_STRING then. Better in a file of its own. Unset: runs get what the worker has for this API.",
    ..key("workspace.run_api_key", "", KeyKind::Text)
};
const RUN_API_KEY_FILE: Key = Key {
    example: "\"/etc/worker/acme-runs.key\"",
    doc: "File that holds the key of runs, read at the start.",
    ..key("workspace.run_api_key_file", "", KeyKind::Path)
};
const SSL_CERT_FILE: Key = Key {
    example: "\"ca.pem\"",
    doc: "Certificates of authorities to trust.",
    ..key("workspace.ssl_cert_file", "", KeyKind::Path)
};
const SKIP_VERIFY: Key = Key {
    default: Some("false"),
    doc: "Trust any certificate.",
    ..key("workspace.tls_insecure_skip_verify", "", KeyKind::Bool)
};
const CLIENT_CERT: Key = Key {
    example: "\"client.pem\"",
    doc: "Certificate to show to this API, for mutual TLS.",
    ..key("workspace.client_cert", "", KeyKind::Path)
};
const CLIENT_KEY: Key =
    Key { example: "\"client.key\"", doc: "Its private key.", ..key("workspace.client_key", "", KeyKind::Path) };

/// The keys of a `[[workspace]]` table besides its name.
pub const WORKSPACE_KEYS: &[Key] = &[
    PROFILE,
    API_URL,
    API_KEY,
    API_KEY_FILE,
    AUTH_STRING,
    AUTH_STRING_FILE,
    RUN_API_KEY,
    RUN_API_KEY_FILE,
    CUSTOM_HEADERS,
    SSL_CERT_FILE,
    SKIP_VERIFY,
    CLIENT_CERT,
    CLIENT_KEY,
];

/// The settings of Prefect that make a connection, each with the key of a table that sets it.
const CONNECTION: [(&str, &Key); 6] = [
    ("PREFECT_API_URL", &API_URL),
    ("PREFECT_API_KEY", &API_KEY),
    ("PREFECT_API_AUTH_STRING", &AUTH_STRING),
    ("PREFECT_CLIENT_CUSTOM_HEADERS", &CUSTOM_HEADERS),
    ("PREFECT_API_SSL_CERT_FILE", &SSL_CERT_FILE),
    ("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", &SKIP_VERIFY),
];
/// Names the active profile.
const ACTIVE_PROFILE: &str = "PREFECT_PROFILE";
/// A flow run of a workspace finds no profile: the active one of this machine may have the key of another workspace. What it
/// sets besides is handed on as variables.
const NO_PROFILES: &str = "/dev/null";
/// Empty counts as none, and beats whatever else a flow run may find.
const NONE: &str = "";

/// One API and how to reach it.
#[derive(Debug, Clone)]
pub struct WorkspaceSettings {
    /// Its name in this file.
    pub name: String,
    /// Prefect's settings with the connection of this workspace.
    pub prefect: PrefectSettings,
    /// What is shown to the API, for mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
    /// The API key of its runs, if they have one of their own.
    pub run_api_key: Option<RunApiKey>,
    pub(crate) base_environment: BTreeMap<String, SecretString>,
    pub(crate) origin: Origin,
}

impl WorkspaceSettings {
    /// The base environment of the workspace's flow runs. Secrets among them; hand it to children only.
    pub fn base_environment(&self) -> &BTreeMap<String, SecretString> {
        &self.base_environment
    }

    /// Whether a variable of the daemon's own environment may be seen by runs of a workspace.
    pub fn may_see(variable: &str) -> bool {
        let variable = variable.to_ascii_uppercase();
        !is_connection(&variable) && variable != ACTIVE_PROFILE
    }
}

/// Whether a setting is part of a connection.
pub(crate) fn is_connection(variable: &str) -> bool {
    CONNECTION.iter().any(|(connection, _)| *connection == variable) || variable == PROFILES_PATH
}

/// The key of a table for a setting of Prefect.
fn key_of(variable: &str) -> Option<&'static str> {
    CONNECTION.iter().find(|(connection, _)| *connection == variable).map(|(_, key)| key.name())
}

/// A `[[workspace]]` table, with the connection that it says.
pub(crate) struct Workspace {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    /// Above every other layer.
    pub(crate) layer: Layer,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) run_api_key: Option<RunApiKey>,
}

/// What reading a table depends on.
pub(crate) struct WorkspaceReading<'r> {
    pub(crate) origins: &'r mut Origins,
    pub(crate) problems: &'r mut Vec<ConfigError>,
    pub(crate) working_directory: &'r Utf8Path,
    pub(crate) home_directory: Option<&'r Utf8Path>,
}

impl WorkspaceReading<'_> {
    /// The name of the profile that a table wants.
    pub(crate) fn profile(table: &NamedTable) -> Option<(String, Origin)> {
        let (raw, origin) = table.found(&PROFILE)?;
        Some((raw.clone().into_text(), origin.clone()))
    }

    /// Reads a table over the connection of its profile.
    pub(crate) fn read(&mut self, table: &NamedTable, profile: Option<Layer>) -> Option<Workspace> {
        let name = match table.found(&WORKSPACE_NAME).map(|(raw, origin)| (forms::name(raw), origin)) {
            Some((Ok(name), _)) => name,
            Some((Err(reason), origin)) => return self.refuse(&WORKSPACE_NAME, origin, reason),
            None => {
                let reason = "must be given in every `[[workspace]]` table".to_owned();
                return self.refuse(&WORKSPACE_NAME, &table.origin, reason);
            }
        };
        let mut layer = profile.map(|layer| layer.only(is_connection)).unwrap_or_default();
        for (variable, key) in CONNECTION {
            if let Some((raw, origin)) = table.found(key) {
                layer.set(self.origins, variable, raw.clone(), origin.clone());
            }
        }
        for (file, key, variable) in
            [(&API_KEY_FILE, &API_KEY, "PREFECT_API_KEY"), (&AUTH_STRING_FILE, &AUTH_STRING, "PREFECT_API_AUTH_STRING")]
        {
            self.put_secret_of(table, file, key, variable, &mut layer);
        }
        if !layer.has("PREFECT_API_URL") {
            let reason = "must be given, or a `profile` that has one".to_owned();
            return self.refuse(&API_URL, &table.origin, reason);
        }
        let path = |key: &Key| {
            let (raw, _) = table.found(key)?;
            Some(table.path(&raw.clone().into_text(), self.working_directory, self.home_directory))
        };
        let given = table.found(&RUN_API_KEY).map(|(raw, _)| raw.clone().into_text());
        let run_api_key = match (given, path(&RUN_API_KEY_FILE)) {
            (Some(_), Some(_)) => {
                let reason = format!("cannot be given together with `{}`", RUN_API_KEY.name());
                return self.refuse(&RUN_API_KEY_FILE, &table.origin, reason);
            }
            (Some(key), None) => Some(RunApiKey::Given(SecretString::from(key))),
            (None, file) => file.map(RunApiKey::File),
        };
        let client_certificate = match (path(&CLIENT_CERT), path(&CLIENT_KEY)) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return self.refuse(&CLIENT_CERT, &table.origin, "needs `client_key` as well".to_owned());
            }
            (None, Some(_)) => {
                return self.refuse(&CLIENT_KEY, &table.origin, "needs `client_cert` as well".to_owned());
            }
        };
        layer.set(self.origins, PROFILES_PATH, Raw::Text(NO_PROFILES.to_owned()), table.origin.clone());
        for secret in ["PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"] {
            if !layer.has(secret) {
                layer.set(self.origins, secret, Raw::Text(NONE.to_owned()), table.origin.clone());
            }
        }
        Some(Workspace { name, origin: table.origin.clone(), layer, client_certificate, run_api_key })
    }

    fn put_secret_of(&mut self, table: &NamedTable, file: &Key, key: &Key, variable: &str, layer: &mut Layer) {
        let Some((raw, origin)) = table.found(file) else { return };
        if table.found(key).is_some() {
            let _none: Option<()> =
                self.refuse(file, origin, format!("cannot be given together with `{}`", key.name()));
            return;
        }
        let path = table.path(&raw.clone().into_text(), self.working_directory, self.home_directory);
        match secret_in(&path) {
            Ok(secret) => layer.set(self.origins, variable, Raw::Text(secret), origin.clone()),
            Err(reason) => {
                let _none: Option<()> = self.refuse(file, origin, reason);
            }
        }
    }

    fn refuse<T>(&mut self, key: &Key, origin: &Origin, reason: String) -> Option<T> {
        self.problems.push(ConfigError::Invalid { key: key.dotted.to_owned(), origin: origin.clone(), reason });
        None
    }
}

fn secret_in(path: &Utf8PathBuf) -> Result<String, String> {
    let text = fs_err::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let secret = text.trim();
    if secret.is_empty() { Err(format!("is empty: {path}")) } else { Ok(secret.to_owned()) }
}

/// What of a workspace's connection is shown to people.
pub(crate) fn shown(name: &str, report: Vec<Effective>) -> impl Iterator<Item = Effective> {
    report.into_iter().filter_map(move |line| {
        let key = key_of(line.variable.as_deref()?)?;
        let is_given = line.origin.is_set() && line.value.is_some();
        is_given.then(|| Effective { key: format!("workspace.{name}.{key}"), variable: None, ..line })
    })
}

/// Refuses names and URLs that two workspaces have: what is kept on disk for an API, and who adopts its runs, is told by its URL.
///
/// `own` are Prefect's own settings, if pools are served at the API of these.
pub(crate) fn distinct(
    own: Option<&PrefectSettings>,
    workspaces: &[WorkspaceSettings],
    problems: &mut Vec<ConfigError>,
) {
    for (at, workspace) in workspaces.iter().enumerate() {
        let before = || workspaces.iter().take(at);
        let mut refuse = |key: &Key, reason: String| {
            let origin = workspace.origin.clone();
            problems.push(ConfigError::Invalid { key: key.dotted.to_owned(), origin, reason });
        };
        if own.is_some_and(|own| address(own) == address(&workspace.prefect)) {
            let name = &workspace.name;
            refuse(&API_URL, format!("is that of Prefect's own settings as well: put all pools of it into `{name}`"));
        }
        if before().any(|other| other.name == workspace.name) {
            refuse(&WORKSPACE_NAME, format!("is given twice: `{}`", workspace.name));
        } else if let Some(other) = before().find(|other| address(&other.prefect) == address(&workspace.prefect)) {
            let both = format!("`{}` and `{}`", other.name, workspace.name);
            refuse(&API_URL, format!("is the same for {both}: one workspace can have many pools"));
        }
    }
}

/// Where an API is, whoever asks.
fn address(prefect: &PrefectSettings) -> Option<Url> {
    let mut url = prefect.api.url.as_ref()?.as_url().clone();
    // A URL that takes no credentials has none.
    let _has_none = url.set_username("").and_then(|()| url.set_password(None));
    Some(url)
}
