//! The policy file: who may change it, and what it says.
//!
//! Like a `worker.toml` it is this daemon's own, so anything that is not understood is refused: a rule that is misspelt would
//! restrict nothing.

mod bounds;
mod read;
mod signers;
#[cfg(test)]
mod tests;
mod trust;

use std::fs::File;
use std::io::{self, Read as _};

use camino::Utf8Path;
use worker_core::policy::Policy;

use crate::toml_document::Document;
use crate::{ConfigError, ConfigErrors};
use read::PolicyReading;

/// Where the policy is if no setting says otherwise.
pub const STANDARD_POLICY_FILE: &str = "/etc/worker/policy.toml";

/// What reading a policy depends on.
#[derive(Clone, Copy, Debug)]
pub struct PolicyFile<'f> {
    /// Where it is.
    pub path: &'f Utf8Path,
    /// The user that the daemon runs as.
    pub user: u32,
    /// The kinds of infrastructure that there are: a rule for others would be a slip of the pen.
    pub kinds: &'f [&'f str],
}

impl PolicyFile<'_> {
    /// Reads the policy of a daemon: the file has to be one that only its operator can change.
    ///
    /// # Errors
    /// It does not exist, others can change it, or everything that is wrong with what it says.
    pub fn read(self) -> Result<Policy, ConfigErrors> {
        self.open(true)
    }

    /// Reads a file that is still being written, whoever owns it.
    ///
    /// # Errors
    /// It does not exist, or everything that is wrong with what it says.
    pub fn check(self) -> Result<Policy, ConfigErrors> {
        self.open(false)
    }

    fn open(self, has_to_be_trusted: bool) -> Result<Policy, ConfigErrors> {
        let unreadable = |source| ConfigErrors::new(vec![ConfigError::Read { source }]);
        // The file that was looked at is the file that is read.
        let mut file = File::open(self.path).map_err(|source| unreadable(self.named(&source)))?;
        if has_to_be_trusted {
            let checked =
                trust::check(self.path, &file, self.user).map_err(|source| unreadable(self.named(&source)))?;
            checked.map_err(|reason| {
                ConfigErrors::new(vec![ConfigError::Untrusted { path: self.path.to_owned(), reason }])
            })?;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|source| unreadable(self.named(&source)))?;
        let policy = self.parse(&text)?;
        let problems = if has_to_be_trusted { signers::problems(&policy, self.user) } else { Vec::new() };
        if problems.is_empty() { Ok(policy) } else { Err(ConfigErrors::new(problems)) }
    }

    fn named(&self, source: &io::Error) -> io::Error {
        io::Error::new(source.kind(), format!("{}: {source}", self.path))
    }

    fn parse(self, text: &str) -> Result<Policy, ConfigErrors> {
        let document = Document::new(self.path, text);
        let root = document.parse().map_err(|error| ConfigErrors::new(vec![error]))?;
        let mut reading = PolicyReading { document, kinds: self.kinds, problems: Vec::new() };
        let policy = reading.read(&root);
        if reading.problems.is_empty() { Ok(policy) } else { Err(ConfigErrors::new(reading.problems)) }
    }
}
