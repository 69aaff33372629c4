//! Where the value of a setting came from.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};

/// The place that gave a setting its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No source sets it.
    Default,
    /// A key of the active Prefect profile.
    Profile {
        /// Name of the profile.
        profile: String,
        /// The profiles file; `None` for the profile every Prefect installation starts with.
        file: Option<(Utf8PathBuf, usize)>,
    },
    /// A key of a TOML file: `prefect.toml`, `pyproject.toml` or a `worker.toml`.
    File {
        /// The file.
        path: Utf8PathBuf,
        /// Line of the key, from 1.
        line: usize,
    },
    /// A line of `.env`.
    DotEnv {
        /// The file.
        path: Utf8PathBuf,
        /// Line of the variable, from 1.
        line: usize,
    },
    /// A credential of the service manager.
    Credential {
        /// Its name.
        name: String,
    },
    /// A variable of the process environment, under the name it was found by.
    Environment {
        /// Name of the variable.
        variable: String,
    },
    /// A flag of the command line.
    Flag {
        /// The flag as typed, such as `--pool`.
        flag: String,
    },
}

impl Origin {
    /// Whether the value was given for this start of the daemon (flag or environment) rather than in a file.
    pub(crate) fn is_above_files(&self) -> bool {
        matches!(self, Self::Environment { .. } | Self::Flag { .. })
    }

    /// The folder of the TOML file that set the value, from which a relative path in it counts.
    pub(crate) fn folder(&self) -> Option<&Utf8Path> {
        if let Self::File { path, .. } = self { path.parent() } else { None }
    }

    /// Whether any source set the value.
    pub fn is_set(&self) -> bool {
        !matches!(self, Self::Default)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Profile { profile, file: None } => write!(f, "profile '{profile}' of Prefect's defaults"),
            Self::Profile { profile, file: Some((path, line)) } => write!(f, "profile '{profile}' in {path}:{line}"),
            Self::File { path, line } | Self::DotEnv { path, line } => write!(f, "{path}:{line}"),
            Self::Credential { name } => write!(f, "credential {name}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}
