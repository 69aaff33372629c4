//! Secrets that the service manager hands over as files: systemd's `LoadCredential=`, in the folder of `CREDENTIALS_DIRECTORY`.
//!
//! A credential is named as the variable of its setting, in small letters and with dashes: `prefect-api-key`. Only settings
//! that are secret can be given so. Credentials of other names are nobody's business here.

use std::io;

use camino::Utf8Path;

use crate::{
    ConfigError, Origin,
    error::{closest, did_you_mean},
    layer::{Layer, Origins},
    prefect::known::{self, KnownSetting},
    raw::Raw,
};

/// The variable by which systemd tells a service where its credentials are.
pub(crate) const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

const PREFIX: &str = "prefect-";

/// Gathers the credentials of one folder.
pub(crate) struct Credentials<'a> {
    pub(crate) origins: &'a mut Origins,
    pub(crate) warnings: &'a mut Vec<String>,
    pub(crate) problems: &'a mut Vec<ConfigError>,
}

impl Credentials<'_> {
    pub(crate) fn layer(&mut self, directory: &Utf8Path) -> Layer {
        let mut layer = Layer::default();
        let names = match names(directory) {
            Ok(names) => names,
            // In a container without shared mounts systemd makes the folder and loses what should be in it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.warnings.push(format!("no credential of the service manager is used: {error}"));
                return layer;
            }
            Err(source) => {
                self.problems.push(ConfigError::Credentials { source });
                return layer;
            }
        };
        for name in names {
            let Some(setting) = secrets().find(|setting| credential(setting) == name) else {
                self.warnings.push(unknown(&name));
                continue;
            };
            match fs_err::read_to_string(directory.join(&name)) {
                Ok(text) => self.add(&mut layer, setting, &name, &text),
                Err(source) => self.problems.push(ConfigError::Credentials { source }),
            }
        }
        layer
    }

    /// Editors and `echo` end a file with a line break, which is no part of a key.
    fn add(&mut self, layer: &mut Layer, setting: &KnownSetting, name: &str, text: &str) {
        let origin = Origin::Credential { name: name.to_owned() };
        let value = text.trim_end_matches(['\r', '\n']);
        if value.is_empty() {
            self.warnings.push(format!("{origin} is empty and counts as not given"));
        } else if value.contains(['\r', '\n']) {
            let reason = "must be a single line".to_owned();
            self.problems.push(ConfigError::Invalid { key: setting.key.to_owned(), origin, reason });
        } else {
            layer.set(self.origins, setting.variable, Raw::Text(value.to_owned()), origin);
        }
    }
}

/// The credentials that could be meant for us, sorted.
fn names(directory: &Utf8Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| name.starts_with(PREFIX)));
    }
    names.sort();
    Ok(names)
}

fn secrets() -> impl Iterator<Item = &'static KnownSetting> {
    known::all().filter(|setting| setting.is_secret())
}

fn credential(setting: &KnownSetting) -> String {
    setting.variable.replace('_', "-").to_ascii_lowercase()
}

/// A mistyped name would otherwise show as an API that refuses the worker.
fn unknown(name: &str) -> String {
    let known: Vec<String> = secrets().map(credential).collect();
    let suggestion = closest(name, known.iter().map(String::as_str));
    format!("credential `{name}` is no secret setting and ignored{}", did_you_mean(suggestion))
}
