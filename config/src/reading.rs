//! Reading of merged values into settings: every key read leaves a line in the report, every refusal a problem.

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;

use crate::{
    ConfigError, Origin,
    layer::{Found, Merged},
    mask::{self, MASK},
    raw::Raw,
    value::{self, Refusal},
    worker::keys::Key,
};

/// A setting in force, as `worker config show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Dotted key, as in `worker.toml` or `prefect.toml`.
    pub key: String,
    /// The environment variable that sets it; `None` for the keys of `[[pool]]` tables.
    pub variable: Option<String>,
    /// The value, with secrets masked; `None` when there is none.
    pub value: Option<String>,
    /// What set it.
    pub origin: Origin,
}

/// Names of the setting being read.
#[derive(Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) key: &'a str,
    /// Empty when no variable sets it.
    pub(crate) variable: &'a str,
}

impl From<&Key> for Label<'static> {
    fn from(key: &Key) -> Self {
        Self { key: key.dotted, variable: key.variable }
    }
}

/// Reads settings one by one.
pub(crate) struct Reading<'a> {
    pub(crate) merged: &'a Merged,
    pub(crate) home_directory: Option<&'a Utf8Path>,
    pub(crate) working_directory: &'a Utf8Path,
    pub(crate) problems: Vec<ConfigError>,
    pub(crate) report: Vec<Effective>,
}

impl<'a> Reading<'a> {
    /// Reads a setting that has a value at all times.
    pub(crate) fn or<T>(
        &mut self,
        label: Label<'_>,
        default: T,
        parse: impl FnOnce(&Raw) -> Result<T, Refusal>,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        let (value, origin) = self.found(label, parse).unwrap_or((default, Origin::Default));
        self.list(label, Some(show(&value)), origin);
        value
    }

    /// Reads a setting that may have no value.
    pub(crate) fn optional<T>(
        &mut self,
        label: Label<'_>,
        parse: impl FnOnce(&Raw) -> Result<Option<T>, Refusal>,
        show: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let (value, origin) = self.found(label, parse).unwrap_or((None, Origin::Default));
        self.list(label, value.as_ref().map(show), origin);
        value
    }

    /// Reads a secret; an empty one counts as none.
    pub(crate) fn secret(&mut self, label: Label<'_>) -> Option<SecretString> {
        let parse = |raw: &Raw| match raw {
            Raw::Text(text) if text.is_empty() => Ok(None),
            Raw::Text(text) => Ok(Some(SecretString::from(text.clone()))),
            Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) | Raw::List(_) => Err("must be a string".to_owned()),
        };
        self.optional(label, parse, |_| MASK.to_owned())
    }

    /// Reads a path. `~` is the home directory; a relative path counts from the file that holds it, or from the working
    /// directory when it was given by flag or variable. An empty one counts as none.
    pub(crate) fn path(&mut self, label: Label<'_>) -> Option<Utf8PathBuf> {
        let folder = self.origin(label.variable).and_then(Origin::folder);
        let base = self.working_directory.join(folder.unwrap_or(Utf8Path::new("")));
        let home = self.home_directory;
        let parse = |raw: &Raw| {
            let text = value::text(raw)?;
            let path = base.join(crate::prefect::expand_home(&text, home));
            Ok((!text.is_empty()).then_some(path))
        };
        self.optional(label, parse, Utf8PathBuf::to_string)
    }

    /// Where a setting was set, if it was.
    pub(crate) fn origin(&self, variable: &str) -> Option<&'a Origin> {
        self.merged.get(variable).map(|found| &found.origin)
    }

    /// The text a setting was set to, if it was set to one.
    pub(crate) fn text(&self, variable: &str) -> Option<&'a str> {
        match &self.merged.get(variable)?.value {
            Raw::Text(text) => Some(text),
            Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) | Raw::List(_) => None,
        }
    }

    /// Adds a line to the report.
    pub(crate) fn list(&mut self, label: Label<'_>, value: Option<String>, origin: Origin) {
        self.report.push(Effective {
            key: label.key.to_owned(),
            variable: Some(label.variable.to_owned()).filter(|variable| !variable.is_empty()),
            value: value.map(|text| mask::url_password(&text)),
            origin,
        });
    }

    /// Notes that a setting's value cannot be used.
    pub(crate) fn refuse(&mut self, key: &str, origin: Origin, reason: Refusal) {
        self.problems.push(ConfigError::Invalid { key: key.to_owned(), origin, reason });
    }

    fn found<T>(&mut self, label: Label<'_>, parse: impl FnOnce(&Raw) -> Result<T, Refusal>) -> Option<(T, Origin)> {
        let Found { value, origin } = self.merged.get(label.variable)?;
        match parse(value) {
            Ok(parsed) => Some((parsed, origin.clone())),
            Err(reason) => {
                self.refuse(label.key, origin.clone(), reason);
                None
            }
        }
    }
}
