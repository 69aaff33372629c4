//! What a rule can have a list about.

/// What the entries of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Images of containers, all of them.
    Images,
    /// Commands of the run's own. The kind's default command is none.
    Commands,
    /// Where code comes from.
    Repositories,
    /// Pull steps, by the importable names of their functions.
    PullSteps,
    /// Names of environment variables that the run sets itself.
    Environment,
    /// What containers see besides their image, as `TYPE:NAME`.
    Mounts,
    /// What takes a run out of its confinement.
    Privileges,
    /// Kubernetes namespaces.
    Namespaces,
    /// Kubernetes service accounts.
    ServiceAccounts,
    /// Profiles that keep local processes apart.
    Sandboxes,
}

impl Topic {
    /// All of them, in the order in which they are explained.
    pub const ALL: [Self; 10] = [
        Self::Images,
        Self::Commands,
        Self::Repositories,
        Self::PullSteps,
        Self::Environment,
        Self::Mounts,
        Self::Privileges,
        Self::Namespaces,
        Self::ServiceAccounts,
        Self::Sandboxes,
    ];

    /// The key of the list in a policy file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Commands => "commands",
            Self::Repositories => "repositories",
            Self::PullSteps => "pull_steps",
            Self::Environment => "environment",
            Self::Mounts => "mounts",
            Self::Privileges => "privileges",
            Self::Namespaces => "namespaces",
            Self::ServiceAccounts => "service_accounts",
            Self::Sandboxes => "sandboxes",
        }
    }

    /// What an entry is called in a sentence.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Images => "the image",
            Self::Commands => "the command",
            Self::Repositories => "the code's source",
            Self::PullSteps => "the pull step",
            Self::Environment => "the environment variable",
            Self::Mounts => "the mount",
            Self::Privileges => "the privilege",
            Self::Namespaces => "the namespace",
            Self::ServiceAccounts => "the service account",
            Self::Sandboxes => "the sandbox",
        }
    }
}
