//! Which commit a branch or tag of a repository is at, by asking its server.

use serde::{Deserialize, Serialize};

use super::command::{Git, GitError};
use super::failure::{Cause, Failure};
use super::{Repository, Revision};
use crate::cache::{Coalesced, Shared};

/// The questions to servers that are open in this process.
pub(crate) type Lookups = Shared<Coalesced<Result<Tip, Failure>>>;

/// What a clone has checked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Head {
    Branch(String),
    Tag(String),
    Detached,
}

/// A commit, and the name it goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tip {
    pub(super) commit: String,
    /// The commit, or the tag object that leads to it.
    pub(super) object: String,
    pub(super) head: Head,
}

impl Tip {
    pub(super) fn commit(&self) -> &str {
        &self.commit
    }

    pub(super) fn of_commit(id: &str) -> Self {
        Self { commit: id.to_owned(), object: id.to_owned(), head: Head::Detached }
    }
}

/// Asks a server. One round trip, which also shows that the login may read the repository. For a commit it shows nothing
/// else, and the tip of the default branch is given.
pub(super) async fn look_up(git: &Git<'_>, repository: &Repository, revision: &Revision) -> Result<Tip, GitError> {
    let directory = git.options.cache.as_ref().map_or(camino::Utf8Path::new("/"), |cache| cache.directory());
    let url = repository.as_str();
    let (answer, tip) = match revision {
        Revision::Branch(name) => {
            let (branch, tag) = (format!("refs/heads/{name}"), format!("refs/tags/{name}"));
            let peeled = format!("{tag}^{{}}");
            let answer = git.run(directory, &["ls-remote", "--quiet", "--", url, &branch, &tag, &peeled]).await?;
            let tip = named(&answer, name);
            (answer, tip)
        }
        Revision::DefaultBranch | Revision::Commit(_) => {
            let answer = git.run(directory, &["ls-remote", "--quiet", "--symref", "--", url, "HEAD"]).await?;
            let tip = match revision {
                // A remote whose default branch does not exist has commits all the same.
                Revision::Commit(id) => default(&answer).or_else(|| Some(Tip::of_commit(id))),
                Revision::Branch(_) | Revision::DefaultBranch => default(&answer),
            };
            (answer, tip)
        }
    };
    tip.ok_or_else(|| {
        let detail =
            if answer.is_empty() { "it has no such branch or tag" } else { "the server's answer names no commit" };
        GitError::Failed(Failure { cause: Cause::RevisionMissing, detail: detail.to_owned() })
    })
}

/// The lines `<id><tab><name>`.
fn ids(answer: &str) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let mut lines = answer.lines().filter_map(|line| line.split_once('\t'));
        lines.find(|(id, found)| *found == name && is_id(id)).map(|(id, _)| id.to_owned())
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A branch goes before a tag of the same name, as in `git clone --branch`.
fn named(answer: &str, name: &str) -> Option<Tip> {
    let id = ids(answer);
    if let Some(commit) = id(&format!("refs/heads/{name}")) {
        return Some(Tip { object: commit.clone(), commit, head: Head::Branch(name.to_owned()) });
    }
    let object = id(&format!("refs/tags/{name}"))?;
    let commit = id(&format!("refs/tags/{name}^{{}}")).unwrap_or_else(|| object.clone());
    Some(Tip { commit, object, head: Head::Tag(name.to_owned()) })
}

fn default(answer: &str) -> Option<Tip> {
    let commit = ids(answer)("HEAD")?;
    let branch = answer.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
    let head = branch.map_or(Head::Detached, |branch| Head::Branch(branch.to_owned()));
    Some(Tip { object: commit.clone(), commit, head })
}

#[cfg(test)]
mod tests {
    use super::{Head, Tip, default, named};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_branch_goes_before_a_tag_and_a_tag_leads_to_its_commit() {
        let tag = format!("{A}\trefs/tags/v1\n{B}\trefs/tags/v1^{{}}");
        let head = Head::Tag("v1".into());
        assert_eq!(named(&tag, "v1"), Some(Tip { commit: B.into(), object: A.into(), head: head.clone() }));
        let light = format!("{A}\trefs/tags/v1");
        assert_eq!(named(&light, "v1"), Some(Tip { commit: A.into(), object: A.into(), head }));
        let both = format!("{B}\trefs/heads/v1\n{light}");
        let head = Head::Branch("v1".into());
        assert_eq!(named(&both, "v1"), Some(Tip { commit: B.into(), object: B.into(), head }));
        assert_eq!(named(&format!("{A}\trefs/heads/x/refs/heads/v1"), "v1"), None, "git matches the ends of names");
        assert_eq!(named("--upload-pack\trefs/heads/v1", "v1"), None);
    }

    #[test]
    fn the_default_branch_is_named_if_there_is_one() {
        let answer = format!("ref: refs/heads/trunk\tHEAD\n{A}\tHEAD");
        let head = Head::Branch("trunk".into());
        assert_eq!(default(&answer), Some(Tip { commit: A.into(), object: A.into(), head }));
        assert_eq!(default(&format!("{A}\tHEAD")), Some(Tip::of_commit(A)));
        assert_eq!(default(""), None);
    }
}
