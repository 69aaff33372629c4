//! Versions of the server and of its clients, and what each brought.

use std::fmt;
use std::str::FromStr;

/// A version of Prefect. Pre-release suffixes are dropped: no rule of the server looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch.
    pub patch: u16,
}

impl Version {
    /// A version from its three numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// The client's version out of a `User-Agent` such as `prefect/3.8.0 (API 0.8.4)`.
    pub fn of_client(user_agent: &str) -> Option<Self> {
        user_agent.strip_prefix("prefect/")?.split(' ').next()?.parse().ok()
    }

    /// Whether `PATCH /flow_runs/{id}/labels` exists, and runs have labels.
    pub fn has_labels(self) -> bool {
        self >= Self::new(3, 1, 6)
    }

    /// Whether pools have a storage configuration.
    pub fn has_storage_configuration(self) -> bool {
        self >= Self::new(3, 2, 14)
    }

    /// Whether `/events/in` knows the sub-protocol and its handshake.
    pub fn has_events_in_handshake(self) -> bool {
        self >= Self::new(3, 6, 14)
    }

    /// Whether a Pending run may move on to a Pending state of another name.
    pub fn has_named_pending(self) -> bool {
        self >= Self::new(3, 6, 22)
    }

    /// Whether the concurrency lease survives a Pending proposal that carries null for it.
    pub fn keeps_lease(self) -> bool {
        self >= Self::new(3, 6, 24)
    }

    /// Whether the server has the worker channel.
    pub fn has_worker_channel(self) -> bool {
        self >= Self::new(3, 7, 2)
    }

    /// As a client: whether it renews the lease of a deployment's concurrency slot.
    pub fn renews_leases(self) -> bool {
        self >= Self::new(3, 4, 11)
    }

    /// As a client: whether it is taken for a worker that counts deployment concurrency itself.
    pub fn counts_deployment_concurrency(self) -> bool {
        self.major == 3 && self.minor == 0 && self.patch <= 3
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that does not begin with three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version of the form x.y.z")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(['.', '+']);
        let mut number = || {
            let part = parts.next().ok_or(NotAVersion)?;
            let digits = part.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or(part);
            digits.parse().map_err(|_| NotAVersion)
        };
        Ok(Self { major: number()?, minor: number()?, patch: number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_version_is_read_out_of_its_user_agent() {
        assert_eq!(Version::of_client("prefect/3.8.4.dev6 (API 0.8.4)"), Some(Version::new(3, 8, 4)));
        assert_eq!(Version::of_client("prefect/3.0.0rc20 (API 0.8.4)"), Some(Version::new(3, 0, 0)));
        assert_eq!(Version::of_client("python-httpx/0.27"), None);
    }
}
