//! What is asked for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a plan would start, as far as somebody may want to restrict it. Made by the plugin, which alone knows its backend.
///
/// It holds no secret: a command in which the text of a block stands has `***` in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requested {
    /// The images of all containers, as they are written.
    pub images: BTreeSet<String>,
    /// Commands of the run's own, one for each container that has one; not the kind's default.
    pub commands: BTreeSet<String>,
    /// Names of the environment variables that the run sets itself.
    pub environment: BTreeSet<String>,
    /// What containers see besides their image: `host:/path`, `volume:name`, `secret:name` and so on. Paths of the host are
    /// absolute and have no `..`.
    pub mounts: BTreeSet<String>,
    /// What takes the run out of its confinement: `privileged`, `host_network`, `capability:SYS_ADMIN` and so on.
    pub privileges: BTreeSet<String>,
    /// Where in the cluster.
    pub namespaces: BTreeSet<String>,
    /// As whom in the cluster.
    pub service_accounts: BTreeSet<String>,
    /// The profile that keeps a local process apart; `default` is the one without a name.
    pub sandboxes: BTreeSet<String>,
    /// The most processors that it can use, in thousandths; absent if nothing limits it.
    pub cpu_millis: Option<u64>,
    /// The most memory that it can use, in bytes; absent if nothing limits it.
    pub memory_bytes: Option<u64>,
    /// How long it may run, in seconds; absent if nothing limits it.
    pub run_time_seconds: Option<u64>,
}

impl Requested {
    /// Notes that a directory or file of the host is seen.
    pub fn sees_host(&mut self, path: &str) {
        self.mounts.insert(format!("host:{}", normal(path)));
    }
}

/// An absolute path as the kernel would take it if there were no symbolic links: a way up is no way around a list.
fn normal(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A pull step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeStep {
    /// The importable name of its function.
    pub step: String,
    /// Where what it brings comes from.
    pub source: CodeSource,
    /// Whether the worker brings it itself, from git, and so sees the signature of the commit before the run gets it.
    #[serde(default)]
    pub is_verifiable: bool,
}

/// Where the code of a pull step comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeSource {
    /// It brings nothing.
    None,
    /// From here. The same place in several spellings, of which a pattern may have any: `https://host/org/repository` and
    /// `host/org/repository`.
    Known(Vec<String>),
    /// From anywhere: a script, or a step that is a program.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_up_is_no_way_around_a_list() {
        let mut requested = Requested::default();
        for path in ["/srv/data/../../etc/", "//etc/./", "/../etc"] {
            requested.sees_host(path);
        }
        assert_eq!(requested.mounts, ["host:/etc".to_owned()].into());
    }
}
