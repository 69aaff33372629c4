//! What can be wrong with the settings of a daemon.

use std::{fmt, io};

use camino::Utf8PathBuf;

use crate::Origin;

/// One setting or settings file that cannot be used. Never shows the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that the setting cannot have.
    #[error("{origin}: `{key}` {reason}")]
    Invalid {
        /// Dotted key of the setting.
        key: String,
        /// The flag, file and line, or variable at fault.
        origin: Origin,
        /// What the value has to be, and what it is unless that is secret.
        reason: String,
    },
    /// A key that a `worker.toml` cannot have.
    #[error("{path}:{line}: unknown key `{key}`{}", did_you_mean(suggestion.as_deref()))]
    UnknownKey {
        /// The file.
        path: Utf8PathBuf,
        /// Line of the key, from 1.
        line: usize,
        /// The key as written, with its section.
        key: String,
        /// The known key most like it.
        suggestion: Option<String>,
    },
    /// A file that is not TOML.
    #[error("{path}:{line}: not valid TOML: {reason}")]
    Syntax {
        /// The file.
        path: Utf8PathBuf,
        /// Line where the parser stopped, from 1.
        line: usize,
        /// What the parser expected.
        reason: String,
    },
    /// A settings file that exists (or was asked for) and cannot be read.
    #[error("settings file cannot be read")]
    Read {
        /// What the operating system answered; names the file.
        #[source]
        source: io::Error,
    },
    /// A credential of the service manager that cannot be read.
    #[error("credentials of the service manager ($CREDENTIALS_DIRECTORY) cannot be read")]
    Credentials {
        /// What the operating system answered; names the file.
        #[source]
        source: io::Error,
    },
    /// A policy file that somebody else than the operator could have written.
    #[error("{path} {reason}")]
    Untrusted {
        /// The file.
        path: Utf8PathBuf,
        /// Why it is not believed, and what to do.
        reason: String,
    },
    /// The layers could not be merged; a fault of the program.
    #[error("settings cannot be merged")]
    Merge {
        /// What the merge found.
        #[source]
        source: config::ConfigError,
    },
    /// An override of the command line that names no setting; a fault of the program, not of its user.
    #[error("{flag}: there is no setting `{key}`")]
    UnknownOverride {
        /// The flag that was given.
        flag: String,
        /// The key it stands for.
        key: String,
    },
}

impl ConfigError {
    /// Whether it is about a value of the same file as another, or of a profile.
    pub(crate) fn is_of(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Invalid { origin: Origin::File { path, .. }, .. }, Origin::File { path: other, .. }) => {
                path == other
            }
            (Self::Invalid { origin: Origin::Profile { .. }, .. }, _) => true,
            _ => false,
        }
    }
}

/// Everything that is wrong with the settings, so that one look at the output is enough to mend them all.
#[derive(Debug)]
pub struct ConfigErrors {
    problems: Vec<ConfigError>,
}

impl ConfigErrors {
    pub(crate) fn new(problems: Vec<ConfigError>) -> Self {
        Self { problems }
    }

    /// The single problems, in the order in which they were found. Never empty.
    pub fn problems(&self) -> &[ConfigError] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
            let mut cause = std::error::Error::source(problem);
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The tail of a message about an unknown name.
pub(crate) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!(", did you mean `{known}`?"))
}

/// The candidate most like `name`, if one is like enough to be what its author meant.
pub(crate) fn closest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}
