//! The inputs of the `git_clone` step.

use camino::{Utf8Component, Utf8Path};

use super::inputs::{InputError, StepInputs};
use crate::git::{GitClone, Login, Repository, Revision};

impl GitClone {
    pub(super) fn parse(inputs: StepInputs<'_>) -> Result<Self, InputError> {
        let repository = inputs.word("repository")?.ok_or_else(|| InputError::new("repository", "is missing"))?;
        let (repository, login_of_url) =
            Repository::parse(repository).map_err(|problem| InputError::new("repository", problem))?;
        let login = login(inputs, &repository)?;
        if login.is_some() && login_of_url.is_some() {
            return Err(InputError::new("repository", "has a user in its URL besides the credentials"));
        }
        let revision = revision(inputs)?;
        let directory_name = match inputs.word("clone_directory_name")? {
            Some(name) => name.to_owned(),
            None => default_directory_name(&repository, &revision),
        };
        // Anything else would be a clone outside the working directory, or over it.
        if !is_plain_name(&directory_name) {
            return Err(InputError::new("clone_directory_name", "is not a plain name"));
        }
        Ok(Self {
            revision,
            include_submodules: inputs.flag("include_submodules", false)?,
            directories: inputs.words("directories")?,
            directory_name,
            repository,
            login: login.or(login_of_url),
        })
    }
}

fn login(inputs: StepInputs<'_>, repository: &Repository) -> Result<Option<Login>, InputError> {
    let token = inputs.word("access_token")?.map(|token| Login::of_access_token(repository, token));
    let credentials = Login::of_credentials(repository, &inputs.object("credentials")?)
        .map_err(|problem| InputError::new("credentials", problem))?;
    if token.is_some() && credentials.is_some() {
        return Err(InputError::new("credentials", "is given together with an access token"));
    }
    Ok(token.or(credentials))
}

fn revision(inputs: StepInputs<'_>) -> Result<Revision, InputError> {
    match (inputs.word("branch")?, inputs.word("commit_sha")?) {
        (None, None) => Ok(Revision::DefaultBranch),
        (Some(branch), None) if branch.starts_with('-') => Err(InputError::new("branch", "starts with a dash")),
        (Some(branch), None) => Ok(Revision::Branch(branch.to_owned())),
        (None, Some(id)) if is_commit_id(id) => Ok(Revision::Commit(id.to_owned())),
        (None, Some(_)) => Err(InputError::new("commit_sha", "is not 4 to 64 hexadecimal digits")),
        (Some(_), Some(_)) => Err(InputError::new("commit_sha", "is given together with a branch")),
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
