//! Which profiles file and which profile of it are in force.

use camino::{Utf8Path, Utf8PathBuf};
use toml::de::DeTable;

use crate::{
    ConfigError, ConfigErrors,
    toml_document::{self, Document},
};

/// The variable of the profiles file.
pub(crate) const PROFILES_PATH: &str = "PREFECT_PROFILES_PATH";
/// The profile every Prefect installation starts with, in force when no other can be chosen.
pub(crate) const PACKAGED_PROFILE: &str = "ephemeral";
/// What the packaged profile sets.
pub(crate) const PACKAGED_SETTINGS: [(&str, &str); 1] = [("PREFECT_SERVER_EPHEMERAL_ENABLED", "true")];

/// The places that may name the profiles file, best first.
pub(crate) struct ProfilesPath<'a> {
    /// `PREFECT_PROFILES_PATH` of the environment, of `.env`, of `prefect.toml`, of `pyproject.toml`.
    pub(crate) named: [Option<&'a str>; 4],
    /// `PREFECT_HOME` of the environment; other sources of it do not move the profiles file.
    pub(crate) prefect_home: Option<&'a str>,
    pub(crate) home_directory: Option<&'a Utf8Path>,
    pub(crate) working_directory: &'a Utf8Path,
}

impl ProfilesPath<'_> {
    pub(crate) fn find(&self) -> Option<Utf8PathBuf> {
        let home = match self.prefect_home {
            Some(home) => Some(self.absolute(home)),
            None => self.home_directory.map(|home| home.join(".prefect")),
        };
        if let Some(named) = self.named.into_iter().flatten().find(|path| !path.is_empty()) {
            let named = match &home {
                Some(home) => named.replace("$PREFECT_HOME", home.as_str()),
                None => named.to_owned(),
            };
            return Some(self.absolute(&named));
        }
        home.map(|home| home.join("profiles.toml"))
    }

    fn absolute(&self, path: &str) -> Utf8PathBuf {
        self.working_directory.join(expand_home(path, self.home_directory))
    }
}

/// A path with a leading `~` replaced by the home directory.
pub(crate) fn expand_home(path: &str, home_directory: Option<&Utf8Path>) -> Utf8PathBuf {
    match (path.strip_prefix('~'), home_directory) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => Utf8PathBuf::from(path),
    }
}

/// The profile in force.
pub(crate) enum Profile<'d, 't> {
    /// The one every installation starts with.
    Packaged,
    /// A table of the profiles file.
    Named { name: String, settings: &'d DeTable<'t> },
}

/// Chooses by the name asked for, else by the file's `active` key. A name that leads nowhere leaves the packaged profile and
/// a warning: as with the SDK, it is no error.
pub(crate) fn choose<'d, 't>(
    document: Document<'_>,
    profiles: &'d DeTable<'t>,
    asked_for: Option<&str>,
    warnings: &mut Vec<String>,
) -> Profile<'d, 't> {
    let Some(name) = asked_for.or_else(|| toml_document::text(profiles, "active")) else {
        return Profile::Packaged;
    };
    let settings = toml_document::subtable(profiles, "profiles").and_then(|all| toml_document::subtable(all, name));
    if let Some(settings) = settings {
        let name = name.to_owned();
        return Profile::Named { name, settings };
    }
    warnings.push(missing(name, document.path));
    Profile::Packaged
}

/// The warning for a profile that does not exist.
pub(crate) fn missing(name: &str, path: &Utf8Path) -> String {
    format!("there is no profile '{name}' in {path}; Prefect's default profile '{PACKAGED_PROFILE}' is used")
}

/// The warning for a profiles file that cannot be used, which counts as empty.
pub(crate) fn unusable(error: ConfigError) -> String {
    format!("{}; no profile is used", ConfigErrors::new(vec![error]))
}
