//! How secrets reach a container without the engine writing them down.
//!
//! They are put into a volume without a name, in files that only the container's user can read, before the container is
//! started: neither `docker inspect` nor `docker commit` shows them, and with the container they are gone. A small shell
//! script sets the variables and becomes the image's own command, so that the run has them as it has any other.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

/// Where the volume is in the container.
pub(crate) const FOLDER: &str = "/run/prefect-worker";
/// The script in it.
const SCRIPT: &str = "start";
/// What runs the script.
const SHELL: &str = "/bin/sh";

/// Secrets of one run.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct SecretValues {
    /// Environment variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// Contents of files, by their path in the container.
    pub(crate) files: BTreeMap<String, String>,
}

impl SecretValues {
    /// The variables whose name no shell can set.
    pub(crate) fn unsettable(&self) -> Option<&str> {
        self.variables.keys().map(String::as_str).find(|name| !is_shell_name(name))
    }

    /// The script and the command, for a container whose image would have started `command`.
    pub(crate) fn wrapped(command: Vec<String>) -> Vec<String> {
        let mut words = vec![SHELL.to_owned(), format!("{FOLDER}/{SCRIPT}")];
        words.extend(command);
        words
    }

    /// The script, as an archive to be unpacked in [`FOLDER`].
    pub(crate) fn script_archive(&self, uid: u64) -> io::Result<Vec<u8>> {
        archive([(SCRIPT, self.script().as_str())], uid)
    }

    /// The files, as an archive to be unpacked at the root.
    pub(crate) fn files_archive(&self, uid: u64) -> io::Result<Vec<u8>> {
        archive(self.files.iter().map(|(path, content)| (path.trim_start_matches('/'), content.as_str())), uid)
    }

    fn script(&self) -> String {
        let mut script = String::new();
        for (name, value) in &self.variables {
            script.extend(["export ", name, "=", &quoted(value), "\n"]);
        }
        script.push_str("exec \"$@\"\n");
        script
    }
}

/// The variables that a script sets.
pub(crate) fn variables_of(script: &str) -> BTreeMap<String, String> {
    let words = shell_words::split(script).unwrap_or_default();
    words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The script's path in the container.
pub(crate) fn script_path() -> String {
    format!("{FOLDER}/{SCRIPT}")
}

/// In single quotes, in which a shell changes nothing.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn is_shell_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn archive<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>, uid: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_uid(uid);
        header.set_gid(0);
        header.set_mode(0o600);
        header.set_size(u64::try_from(text.len()).map_err(io::Error::other)?);
        archive.append_data(&mut header, path, text.as_bytes())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn values(variables: &[(&str, &str)]) -> SecretValues {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SecretValues { variables, files: BTreeMap::new() }
    }

    #[test]
    fn a_shell_gets_every_value_as_it_is() {
        for value in ["plain", "it's", "a b\nc", "$HOME `id` \\ \"", "", "'''", "é*?"] {
            let script = values(&[("SECRET", value)]).script();
            let output = Command::new("sh").args(["-c", &script, "sh", "printenv", "SECRET"]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}\n"));
            assert_eq!(variables_of(&script)["SECRET"], value);
        }
    }

    #[test]
    fn names_that_no_shell_can_set_are_told() {
        assert_eq!(values(&[("A_1", "x"), ("_b", "x")]).unsettable(), None);
        for name in ["a.b", "1A", "", "A-B", "A=B"] {
            assert_eq!(values(&[(name, "x")]).unsettable(), Some(name));
        }
    }

    #[test]
    fn archives_hold_private_files_of_the_containers_user() {
        let files = BTreeMap::from([("/etc/db".to_owned(), "pw".to_owned())]);
        let secrets = SecretValues { files, ..values(&[("A", "b")]) };
        for (archive, path) in
            [(secrets.script_archive(1000).unwrap(), "start"), (secrets.files_archive(1000).unwrap(), "etc/db")]
        {
            let mut archive = tar::Archive::new(archive.as_slice());
            let entry = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str(), Some(path));
            assert_eq!((entry.header().uid().unwrap(), entry.header().mode().unwrap()), (1000, 0o600));
        }
    }

    #[test]
    fn a_command_is_started_by_the_script() {
        let command = SecretValues::wrapped(vec!["prefect".to_owned(), "x".to_owned()]);
        assert_eq!(command, ["/bin/sh", "/run/prefect-worker/start", "prefect", "x"]);
    }
}
