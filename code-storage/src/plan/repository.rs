//! Where a repository is.

use std::fmt;

use url::Url;

/// A repository that is read without logging in: an `https`, `http`, `git` or `file` URL without user and password, or
/// a path of this machine. It holds no secret, so it may be shown anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository(String);

impl Repository {
    /// Reads the `repository` input; the error completes "the input …" and repeats nothing of it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with('-') {
            return Err("starts with a dash");
        }
        if text.contains("://") {
            check_url(text)?;
        } else if text.find(':').is_some_and(|colon| text.find('/').is_none_or(|slash| colon < slash)) {
            return Err("is not a URL or path that is read without logging in");
        } else if text.contains(['?', '#', ';']) {
            // The SDK reads a path as a URL when it names the clone's directory.
            return Err("has characters that are special in a URL");
        }
        Ok(Self(text.to_owned()))
    }

    /// The repository as the deployment has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.is_path() || self.0.to_ascii_lowercase().starts_with("file:")
    }

    /// Whether it is a path rather than a URL.
    pub(crate) fn is_path(&self) -> bool {
        !self.0.contains("://")
    }

    /// What follows the last slash of its path.
    pub(super) fn last_segment(&self) -> &str {
        let path = match self.0.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => &self.0,
        };
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_url(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if !matches!(url.scheme(), "https" | "http" | "git" | "file") {
        return Err("is not a URL that is read without logging in");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user in its URL");
    }
    // A query may hold a token, and `;` starts the parameters of a path, which the SDK drops from the name.
    if text.contains(['?', '#', ';']) {
        return Err("has more than a path in its URL");
    }
    Ok(())
}
