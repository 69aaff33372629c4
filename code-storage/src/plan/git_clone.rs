//! The inputs of the `git_clone` step.

use std::fmt;

use camino::{Utf8Component, Utf8Path};

use super::inputs::StepInputs;
use super::{EngineReason, Repository};

/// What to clone, and to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitClone {
    /// The repository: one that needs no login.
    pub repository: Repository,
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

impl GitClone {
    pub(super) fn parse(inputs: &StepInputs<'_>) -> Result<Self, EngineReason> {
        inputs.allow_only(&[
            "repository",
            "branch",
            "commit_sha",
            "include_submodules",
            "directories",
            "clone_directory_name",
        ])?;
        let repository = match inputs.text("repository")?.map(Repository::parse) {
            Some(Ok(repository)) => repository,
            Some(Err(problem)) => return Err(inputs.unusable("repository", problem)),
            None => return Err(inputs.unusable("repository", "is missing")),
        };
        let revision = revision(inputs)?;
        let directory_name = match inputs.text("clone_directory_name")? {
            Some(name) => name.to_owned(),
            None => default_directory_name(&repository, &revision),
        };
        // Anything else would be a clone outside the working directory, or over it.
        if !is_plain_name(&directory_name) {
            return Err(inputs.unusable("clone_directory_name", "is not a plain name"));
        }
        Ok(Self {
            revision,
            include_submodules: inputs.flag("include_submodules")?,
            directories: inputs.texts("directories")?,
            directory_name,
            repository,
        })
    }
}

fn revision(inputs: &StepInputs<'_>) -> Result<Revision, EngineReason> {
    match (inputs.text("branch")?, inputs.text("commit_sha")?) {
        (None, None) => Ok(Revision::DefaultBranch),
        (Some(branch), None) if branch.starts_with('-') => Err(inputs.unusable("branch", "starts with a dash")),
        (Some(branch), None) => Ok(Revision::Branch(branch.to_owned())),
        (None, Some(id)) if is_commit_id(id) => Ok(Revision::Commit(id.to_owned())),
        (None, Some(_)) => Err(inputs.unusable("commit_sha", "is not 4 to 64 hexadecimal digits")),
        (Some(_), Some(_)) => Err(inputs.unusable("commit_sha", "is given together with a branch")),
    }
}

fn is_commit_id(text: &str) -> bool {
    (4..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The SDK's rule, to the letter: `.git` goes wherever it stands in the name.
fn default_directory_name(repository: &Repository, revision: &Revision) -> String {
    let name = repository.last_segment().replace(".git", "");
    match revision {
        Revision::Branch(branch) => format!("{name}-{}", branch.replace('/', "-")),
        Revision::DefaultBranch | Revision::Commit(_) => name,
    }
}

fn is_plain_name(name: &str) -> bool {
    let mut components = Utf8Path::new(name).components();
    // Compared as text as well, because `a/` has the one component `a`.
    matches!((components.next(), components.next()), (Some(Utf8Component::Normal(only)), None) if only == name)
}
