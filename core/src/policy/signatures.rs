//! Rules about who has signed the code.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::requested::{CodeSource, CodeStep};
use super::rule::Rule;
use super::topic::Topic;

/// The step that brings a repository. A rule cannot mean it when it names steps that are programs.
const GIT_CLONE: &str = "git_clone";

/// Files with the keys by which code may be signed: one of them is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signers {
    /// Keys of SSH, in the form of `ssh-keygen`'s allowed signers.
    pub ssh_allowed_signers: Option<Utf8PathBuf>,
    /// Keys of `GnuPG`: a keyring.
    pub gpg_keyring: Option<Utf8PathBuf>,
}

/// That the code of a run has to be signed, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequiredSignature {
    /// The rule's name.
    pub rule: String,
    /// What the operator tells people whose run is refused.
    pub help: Option<String>,
    /// The rule refuses nothing and only says what it would.
    pub only_reports: bool,
    /// By whom.
    pub by: Signers,
}

impl RequiredSignature {
    pub(super) fn of(rule: &Rule) -> Option<Self> {
        Some(Self {
            rule: rule.name.clone(),
            help: rule.help.clone(),
            only_reports: rule.only_reports,
            by: rule.signed_by.clone()?,
        })
    }
}

impl Rule {
    /// What has no signature that the worker could verify.
    pub(super) fn objects_to_unverifiable(&self, step: &CodeStep) -> Option<String> {
        self.signed_by.as_ref()?;
        if step.source == CodeSource::None || step.is_verifiable || self.means_program(step) {
            return None;
        }
        Some(format!(
            "the code that the pull step `{}` brings cannot be verified, and `repositories.signed_by` wants it signed: only what \
             the worker itself clones by git_clone has signatures that it can verify before the run begins",
            step.step
        ))
    }

    /// Whether the step is a program that the rule allows by its name.
    fn means_program(&self, step: &CodeStep) -> bool {
        let is_clone = step.step.rsplit('.').next() == Some(GIT_CLONE);
        let is_named = self.lists.get(&Topic::PullSteps).is_some_and(|list| list.allow.is_some());
        step.source == CodeSource::Unknown && is_named && !is_clone
    }
}
