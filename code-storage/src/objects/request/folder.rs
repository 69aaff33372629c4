//! The folder that is fetched, as what every key of it starts with.

use super::Unreadable;

/// A folder of a bucket: empty for the whole bucket, or else with a slash at the end, so that `my-folder` is not
/// `my-folder-2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(String);

impl Folder {
    /// Reads a folder as a deployment has it.
    ///
    /// What the SDK's path functions would make another path of (`./code`, `a//b`, `..`) is left to it.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        let inner = text.strip_suffix('/').unwrap_or(text);
        let plain = |segment: &str| !matches!(segment, "" | "." | "..");
        if !inner.split('/').all(plain) || inner.contains(['\\', '\0']) || inner.contains(char::is_control) {
            return Err(Unreadable("its folder is not a plain path"));
        }
        Ok(Self(format!("{inner}/")))
    }

    /// What the keys start with.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A folder in this one.
    pub(super) fn join(&self, inner: &str) -> Result<Self, Unreadable> {
        Ok(Self(format!("{}{}", self.0, Self::parse(inner)?.0)))
    }
}
