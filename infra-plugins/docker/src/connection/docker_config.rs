//! The Docker command's own configuration.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};

/// A file of the configuration that is there and of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error("{path} cannot be read")]
    Unreadable {
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not JSON")]
    Malformed {
        path: Utf8PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path} is not a JSON object")]
    NoObject { path: Utf8PathBuf },
}

/// The folder of the configuration. `None` for a user without a home.
pub(crate) fn directory(env: &BTreeMap<String, String>) -> Option<Utf8PathBuf> {
    let configured = super::set(env, "DOCKER_CONFIG").map(Utf8PathBuf::from);
    configured.or_else(|| super::set(env, "HOME").map(|home| Utf8Path::new(home).join(".docker")))
}

/// The main file of the configuration.
pub(crate) fn main_file(env: &BTreeMap<String, String>) -> Option<Utf8PathBuf> {
    directory(env).map(|directory| directory.join("config.json"))
}

/// What a file holds; `None` if there is nothing.
pub(crate) fn parse(path: &Utf8Path, text: io::Result<String>) -> Result<Option<Map<String, Value>>, ConfigFileError> {
    let text = match text {
        Ok(text) if text.trim().is_empty() => return Ok(None),
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(ConfigFileError::Unreadable { path: path.to_owned(), source }),
    };
    // Not straight into a type: the error of a value that is of another type would show it.
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(ConfigFileError::NoObject { path: path.to_owned() }),
        Err(source) => Err(ConfigFileError::Malformed { path: path.to_owned(), source }),
    }
}

/// Reads a file of the configuration.
pub(super) fn read(path: &Utf8Path) -> Result<Option<Map<String, Value>>, ConfigFileError> {
    parse(path, fs_err::read_to_string(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_docker_command() {
        let env = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        for (pairs, folder) in [
            (&[("HOME", "/home/me"), ("DOCKER_CONFIG", "/etc/dockers")][..], Some("/etc/dockers")),
            (&[("HOME", "/home/me"), ("DOCKER_CONFIG", "")][..], Some("/home/me/.docker")),
            (&[][..], None),
        ] {
            assert_eq!(directory(&env(pairs)).as_deref(), folder.map(Utf8Path::new));
        }
    }

    #[test]
    fn a_file_that_is_there_and_of_no_use_is_named() {
        let path = Utf8Path::new("/c/config.json");
        let parsed = |text: &str| parse(path, Ok(text.to_owned()));
        assert_eq!(parsed(" ").unwrap(), None);
        assert_eq!(parse(path, Err(io::ErrorKind::NotFound.into())).unwrap(), None);
        assert!(parsed("{}").unwrap().is_some());
        let denied = parse(path, Err(io::ErrorKind::PermissionDenied.into())).unwrap_err();
        for error in [denied, parsed("{\"a\": hunter2}").unwrap_err(), parsed("\"hunter2\"").unwrap_err()] {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(error.to_string().contains("/c/config.json"), "{error}");
            assert!(!format!("{error} {source}").contains("hunter2"), "{error} {source}");
        }
    }
}
