//! What is asked of a repository.

use std::fmt;

use super::{Login, Repository};

/// What to clone, and to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitClone {
    /// The repository.
    pub repository: Repository,
    /// What to log in with; without one, the credential helpers of the worker's machine are asked.
    pub login: Option<Login>,
    /// Which state of it.
    pub revision: Revision,
    /// Whether the repository's submodules come too.
    pub include_submodules: bool,
    /// The directories to check out besides the files at the top; empty for all.
    pub directories: Vec<String>,
    /// The name of the clone's directory: one plain path component.
    pub directory_name: String,
}

/// A state of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The tip of the repository's default branch.
    DefaultBranch,
    /// The tip of a branch, or a tag.
    Branch(String),
    /// A commit, by its id or the beginning of it.
    Commit(String),
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultBranch => f.write_str("the default branch"),
            Self::Branch(name) => write!(f, "branch `{name}`"),
            Self::Commit(id) => write!(f, "commit `{id}`"),
        }
    }
}
