//! The settings of the Prefect SDK and of its integrations, with the names each goes by.

use std::{collections::BTreeMap, sync::LazyLock};

/// A setting of the SDK or of one of its integrations.
#[derive(Debug)]
pub(crate) struct KnownSetting {
    /// The variable under which a flow run gets it.
    pub(crate) variable: &'static str,
    /// Its path in `prefect.toml`.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    /// Older names of the variable, best first; good in the environment, `.env` and profiles.
    pub(crate) aliases: Vec<&'static str>,
    /// Whether flow runs get it: those of integrations are the worker's alone.
    pub(crate) is_handed_on: bool,
}

impl KnownSetting {
    /// The names of its variable, best first.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.variable).chain(self.aliases.iter().copied())
    }

    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Headers)
    }
}

/// What the value of a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int,
    Float,
    Text,
    Path,
    /// A path in which `~` is expanded.
    Home,
    /// Name of a log level.
    Level,
    Secret,
    /// Texts without order.
    Set,
    /// HTTP status codes.
    Codes,
    /// HTTP headers; their values are secret.
    Headers,
    Json,
    /// A span of time; its text is handed on as written, because the SDK accepts several forms.
    Duration,
    /// Handed on as written: only the SDK knows its forms.
    Raw,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        let kind = match name {
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            "text" => Self::Text,
            "path" => Self::Path,
            "home" => Self::Home,
            "level" => Self::Level,
            "secret" => Self::Secret,
            "set" => Self::Set,
            "codes" => Self::Codes,
            "headers" => Self::Headers,
            "json" => Self::Json,
            "duration" => Self::Duration,
            "raw" => Self::Raw,
            _ => return None,
        };
        Some(kind)
    }
}

static TABLE: LazyLock<Vec<KnownSetting>> = LazyLock::new(|| {
    let of_the_sdk = rows(include_str!("settings.tsv"), true);
    of_the_sdk.chain(rows(include_str!("integrations.tsv"), false)).collect()
});

static BY_VARIABLE: LazyLock<BTreeMap<&'static str, &'static KnownSetting>> =
    LazyLock::new(|| TABLE.iter().map(|setting| (setting.variable, setting)).collect());

static BY_KEY: LazyLock<BTreeMap<&'static str, &'static KnownSetting>> =
    LazyLock::new(|| TABLE.iter().map(|setting| (setting.key, setting)).collect());

fn rows(table: &'static str, is_handed_on: bool) -> impl Iterator<Item = KnownSetting> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(move |line| row(line, is_handed_on))
}

fn row(line: &'static str, is_handed_on: bool) -> Option<KnownSetting> {
    let mut columns = line.split('\t');
    Some(KnownSetting {
        variable: columns.next()?,
        key: columns.next()?,
        kind: columns.next().and_then(Kind::named)?,
        aliases: columns.next().map(|names| names.split(',').collect()).unwrap_or_default(),
        is_handed_on,
    })
}

/// All of them: the SDK's in its order, then those of its integrations.
pub(crate) fn all() -> impl Iterator<Item = &'static KnownSetting> {
    TABLE.iter()
}

/// The setting with this canonical variable.
pub(crate) fn by_variable(variable: &str) -> Option<&'static KnownSetting> {
    BY_VARIABLE.get(variable).copied()
}

/// The setting at this path of `prefect.toml`.
pub(crate) fn by_key(key: &str) -> Option<&'static KnownSetting> {
    BY_KEY.get(key).copied()
}

/// Whether settings lie below this path of `prefect.toml`.
pub(crate) fn is_section(key: &str) -> bool {
    let prefix = format!("{key}.");
    TABLE.iter().any(|setting| setting.key.starts_with(&prefix))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_read_and_every_name_is_its_own() {
        let lines = include_str!("settings.tsv").lines().chain(include_str!("integrations.tsv").lines());
        assert_eq!(all().count(), lines.filter(|line| !line.starts_with('#')).count());
        assert!(all().count() > 200);
        let names: Vec<_> = all().flat_map(KnownSetting::variables).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| name.starts_with("PREFECT_")));
    }

    #[test]
    fn variables_of_integrations_follow_from_their_keys() {
        for setting in all().filter(|setting| !setting.is_handed_on) {
            let expected = format!("PREFECT_{}", setting.key.replace('.', "_")).to_ascii_uppercase();
            assert_eq!(setting.variable, expected);
        }
        assert!(all().any(|setting| !setting.is_handed_on));
    }

    #[test]
    fn older_names_lead_to_the_setting() {
        let metrics = by_key("client.metrics.enabled").unwrap();
        assert!(metrics.variables().any(|name| name == "PREFECT_CLIENT_ENABLE_METRICS"));
        let config_path = by_variable("PREFECT_LOGGING_CONFIG_PATH").unwrap();
        assert_eq!(config_path.aliases, ["PREFECT_LOGGING_SETTINGS_PATH"]);
    }
}
