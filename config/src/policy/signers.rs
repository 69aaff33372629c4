//! Files with the keys by which code may be signed.

use std::fs::File;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use toml::de::DeValue;
use worker_core::policy::{Policy, Signers};

use super::read::PolicyReading;
use super::trust;
use crate::ConfigError;

const SSH: &str = "ssh_allowed_signers";
const GPG: &str = "gpg_keyring";

impl PolicyReading<'_> {
    pub(super) fn signers(&mut self, dotted: &str, value: &DeValue<'_>, line: usize) -> Signers {
        let mut signers = Signers::default();
        let DeValue::Table(table) = value else {
            self.refuse(dotted, line, &format!("must be a table with {SSH}, {GPG}, or both"));
            return signers;
        };
        for (key, value) in table {
            let line = self.document.line(key.span().start);
            let key: &str = key.get_ref();
            let place = match key {
                SSH => &mut signers.ssh_allowed_signers,
                GPG => &mut signers.gpg_keyring,
                other => {
                    self.unknown_in(dotted, other, line, &[SSH, GPG]);
                    continue;
                }
            };
            *place = self.key_file(&format!("{dotted}.{key}"), value.get_ref(), line);
        }
        if table.is_empty() {
            self.refuse(dotted, line, &format!("must have {SSH}, {GPG}, or both"));
        }
        signers
    }

    /// A relative path would be another file in another working directory.
    fn key_file(&mut self, dotted: &str, value: &DeValue<'_>, line: usize) -> Option<Utf8PathBuf> {
        let path = Utf8PathBuf::from(self.text(dotted, value, line));
        let is_usable = path.is_absolute() && !path.as_str().contains(char::is_control);
        if !is_usable && !path.as_str().is_empty() {
            self.refuse(dotted, line, "must be an absolute path");
        }
        is_usable.then_some(path)
    }
}

/// Everything that keeps the files of keys from being believed. Who can change them can sign anything.
pub(super) fn problems(policy: &Policy, user: u32) -> Vec<ConfigError> {
    let signers = policy.rules.iter().filter_map(|rule| rule.signed_by.as_ref());
    let files = signers.flat_map(|signers| [&signers.ssh_allowed_signers, &signers.gpg_keyring]).flatten();
    files.filter_map(|path| problem(path, user)).collect()
}

fn problem(path: &Utf8Path, user: u32) -> Option<ConfigError> {
    let unreadable = |source: io::Error| ConfigError::Read {
        source: io::Error::new(source.kind(), format!("{path}, by which the policy verifies signatures: {source}")),
    };
    let checked = File::open(path).and_then(|file| {
        if file.metadata()?.is_file() {
            trust::check(path, &file, user)
        } else {
            Err(io::Error::other("it is no file"))
        }
    });
    match checked {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => Some(ConfigError::Untrusted { path: path.to_owned(), reason }),
        Err(source) => Some(unreadable(source)),
    }
}
