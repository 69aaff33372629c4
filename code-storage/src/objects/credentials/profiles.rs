//! The files of profiles in `~/.aws`.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;

use crate::objects::options::FetchOptions;
use crate::objects::wire::{Cause, Failure};

/// The settings of one profile.
pub(super) type Profile = BTreeMap<String, String>;

/// All profiles, by their names.
#[derive(Default)]
pub(super) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Reads both files of the run's user. What is in the file of credentials counts more.
    pub(super) async fn read(options: &FetchOptions) -> Result<Self, Failure> {
        let home = options.variable("HOME").map(Utf8PathBuf::from);
        let file = |variable: &str, name: &str| match (options.variable(variable), &home) {
            (Some(path), Some(home)) => {
                Some(path.strip_prefix("~/").map_or_else(|| Utf8PathBuf::from(path), |inner| home.join(inner)))
            }
            (Some(path), None) => Some(Utf8PathBuf::from(path)),
            (None, home) => home.as_ref().map(|home| home.join(".aws").join(name)),
        };
        let mut profiles = Self::default();
        let (config, credentials) =
            (file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
        if let Some(path) = config {
            profiles.add(&text(&path).await?, true);
        }
        if let Some(path) = credentials {
            profiles.add(&text(&path).await?, false);
        }
        Ok(profiles)
    }

    /// The settings of a profile.
    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    fn add(&mut self, text: &str, is_config: bool) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                current = section_name(section.trim(), is_config);
                continue;
            }
            // An indented line belongs to the setting above it, such as `s3 =`.
            if line.starts_with([' ', '\t']) {
                continue;
            }
            if let (Some(name), Some((key, value))) = (&current, trimmed.split_once('=')) {
                let profile = self.0.entry(name.clone()).or_default();
                profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }
}

/// `[profile name]` of the configuration, and `[name]` of the credentials.
fn section_name(section: &str, is_config: bool) -> Option<String> {
    let name = match section.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t'])) {
        Some(name) if is_config => name,
        _ if is_config && section != "default" => return None,
        _ => section,
    };
    Some(name.trim().trim_matches(['"', '\'']).to_owned())
}

async fn text(path: &Utf8Path) -> Result<String, Failure> {
    match fs::read_to_string(path).await {
        Ok(text) => Ok(text),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(error) => Err(Failure::new(Cause::NoCredentials, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::Profiles;

    #[test]
    fn both_files_are_read_as_the_command_line_tool_reads_them() {
        let mut profiles = Profiles::default();
        profiles.add(
            "# comment\n[default]\nregion = eu-west-1\n[profile  \"dev\"]\nrole_arn=arn:x\ns3 =\n  addressing_style = path\n\
             [sso-session other]\nregion = no\n[dev]\nregion = no\n",
            true,
        );
        profiles.add("[default]\nAWS_ACCESS_KEY_ID = id\n; comment\n[dev]\nrole_arn = arn:y\n", false);
        let value = |profile: &str, key: &str| profiles.get(profile).and_then(|profile| profile.get(key)).cloned();
        assert_eq!(value("default", "region").as_deref(), Some("eu-west-1"));
        assert_eq!(value("default", "aws_access_key_id").as_deref(), Some("id"));
        assert_eq!(value("dev", "role_arn").as_deref(), Some("arn:y"));
        assert_eq!(value("dev", "s3").as_deref(), Some(""));
        assert_eq!(value("dev", "region"), None);
        assert_eq!(value("dev", "addressing_style"), None);
        assert!(profiles.get("sso-session other").is_none());
    }
}
