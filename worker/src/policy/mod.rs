//! The policy that is in force for the runs of this daemon.
//!
//! What a policy says about a run is decided in `worker_core::policy`; this is where it comes from and how it is changed while
//! the daemon runs. A file that cannot be used any more never puts a policy out of force.

mod asking;
pub(crate) mod code;

use std::sync::{Arc, PoisonError, RwLock};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::geteuid;
use worker_config::{ConfigErrors, PolicyFile, STANDARD_POLICY_FILE};
use worker_core::policy::{Judgement, Policy, Request, RequiredSignature, Subject};

pub(crate) use asking::{Asked, Ruling};

use crate::registry::KINDS;

/// The policy in force; clones share it.
#[derive(Clone, Debug, Default)]
pub struct PolicyInForce(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The file that the settings name.
    named: Option<Utf8PathBuf>,
    /// Without a file there is none, and everything is allowed.
    policy: RwLock<Option<Arc<Policy>>>,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the policy cannot be used")]
pub struct UnusablePolicy(#[from] ConfigErrors);

impl PolicyInForce {
    /// Reads the file that the settings name, else the one at the standard place if it is there.
    ///
    /// # Errors
    /// The file that is named is not there, somebody else could have written it, or it has errors. A daemon without the rules
    /// that its operator has written must not start.
    pub fn open(named: Option<Utf8PathBuf>) -> Result<Self, UnusablePolicy> {
        let policy = read(named.as_deref())?;
        Ok(Self(Arc::new(Inner { named, policy: RwLock::new(policy.map(Arc::new)) })))
    }

    /// These rules, of no file.
    pub fn of(policy: Policy) -> Self {
        Self(Arc::new(Inner { named: None, policy: RwLock::new(Some(Arc::new(policy))) }))
    }

    /// Says what is in force.
    pub fn announce(&self) {
        if let Some(policy) = self.current() {
            let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
            tracing::info!("Runs have to satisfy the policy {}: {}", self.path(), names.join(", "));
        }
    }

    /// Reads the file again. One that cannot be used changes nothing.
    pub fn reload(&self) {
        match read(self.0.named.as_deref()) {
            Ok(None) if self.current().is_some() => tracing::error!(
                "the policy {} is gone; its rules stay in force until the daemon is restarted without it",
                self.path()
            ),
            Ok(read) => {
                let read = read.map(Arc::new);
                if read != self.current() {
                    *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = read;
                    self.announce();
                }
            }
            Err(UnusablePolicy(errors)) => {
                let stays = if self.current().is_some() {
                    "the rules from before stay in force"
                } else {
                    "no rule is in force"
                };
                let problems: Vec<String> = errors.problems().iter().map(crate::run::ErrorChain::text).collect();
                tracing::error!("the policy cannot be used, and {stays}: {}", problems.join("; "));
            }
        }
    }

    /// Whether there are rules.
    pub fn is_there(&self) -> bool {
        self.current().is_some()
    }

    /// What the rules say.
    pub fn judge(&self, subject: &Subject, request: Request<'_>) -> Judgement {
        self.current().map(|policy| policy.judge(subject, request)).unwrap_or_default()
    }

    /// By whom the code of a run has to be signed.
    pub fn signatures(&self, subject: &Subject) -> Vec<RequiredSignature> {
        self.current().map(|policy| policy.signatures(subject)).unwrap_or_default()
    }

    /// Where the rules come from.
    pub fn path(&self) -> &Utf8Path {
        self.0.named.as_deref().unwrap_or(Utf8Path::new(STANDARD_POLICY_FILE))
    }

    fn current(&self) -> Option<Arc<Policy>> {
        self.0.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a policy file says, as the daemon of this process's user would read it.
pub(crate) const fn file(path: &Utf8Path, user: u32) -> PolicyFile<'_> {
    PolicyFile { path, user, kinds: &KINDS }
}

/// What the rules in force say, for people: whoever asks need not be the daemon's user, so whom the file belongs to is not asked.
///
/// # Errors
/// Everything that is wrong with the file.
pub(crate) fn looked_at(named: Option<&Utf8Path>) -> Result<Option<Policy>, ConfigErrors> {
    let standard = Utf8Path::new(STANDARD_POLICY_FILE);
    if named.is_none() && matches!(standard.try_exists(), Ok(false)) {
        return Ok(None);
    }
    file(named.unwrap_or(standard), geteuid().as_raw()).check().map(Some)
}

fn read(named: Option<&Utf8Path>) -> Result<Option<Policy>, UnusablePolicy> {
    let standard = Utf8Path::new(STANDARD_POLICY_FILE);
    // One that is there and cannot be looked at is an error, and not none.
    let path = match named {
        Some(named) => named,
        None if matches!(standard.try_exists(), Ok(false)) => return Ok(None),
        None => standard,
    };
    Ok(Some(file(path, geteuid().as_raw()).read()?))
}
