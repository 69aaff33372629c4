//! When an image is pulled.

use serde::{Deserialize, Serialize};

/// When an image is pulled, in Prefect's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PullPolicy {
    IfNotPresent,
    Always,
    /// Always, but one that is there does if the pull fails.
    IfPossible,
    Never,
}

impl PullPolicy {
    const ALL: [Self; 4] = [Self::IfNotPresent, Self::Always, Self::IfPossible, Self::Never];

    /// The policy of exactly this spelling.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::IfPossible => "IfPossible",
            Self::Never => "Never",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_spelled_as_prefect_spells_it() {
        for policy in PullPolicy::ALL {
            assert_eq!(PullPolicy::parse(policy.as_str()), Some(policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
        for word in ["always", "IF_NOT_PRESENT", " Never", ""] {
            assert_eq!(PullPolicy::parse(word), None, "{word}");
        }
    }
}
