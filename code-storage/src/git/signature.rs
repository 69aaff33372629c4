//! Whether the commit of a clone is signed as rules want it.
//!
//! `git` verifies, with `ssh-keygen` or `gpg`. Nothing of the run, of the repository or of the machine's user has a say in it: the
//! keys, the programs and the configuration are the worker's.

use std::io;

use camino::Utf8Path;
use fs_err as fs;
use tokio::process::Command;
use worker_core::policy::{Objection, RequiredSignature, Signers};

use super::GitClone;
use super::Revision;
use super::command::{Git, GitError};

/// What stands for a program that is not to be run: it says no.
const NO_PROGRAM: &str = "false";

/// Keys, and a home for the programs that read them.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    by: &'a Signers,
    home: &'a Utf8Path,
}

impl Keys<'_> {
    /// Later words go before what the repository's own configuration says.
    pub(super) fn configure(&self, command: &mut Command) {
        let program = |is_wanted: bool, program: &'static str| if is_wanted { program } else { NO_PROGRAM };
        let signers = self.by.ssh_allowed_signers.as_deref();
        let ssh = program(signers.is_some(), "ssh-keygen");
        let gpg = program(self.by.gpg_keyring.is_some(), "gpg");
        let signers = signers.unwrap_or(Utf8Path::new("/dev/null"));
        for entry in [
            format!("gpg.ssh.allowedSignersFile={signers}"),
            format!("gpg.ssh.program={ssh}"),
            format!("gpg.openpgp.program={gpg}"),
            format!("gpg.x509.program={NO_PROGRAM}"),
            "gpg.minTrustLevel=undefined".to_owned(),
            "log.showSignature=false".to_owned(),
        ] {
            command.arg("-c").arg(entry);
        }
        command
            .env_remove("GIT_CONFIG_PARAMETERS")
            .env_remove("GIT_REPLACE_REF_BASE")
            .env("GIT_CONFIG_COUNT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // An object that another stands for has not been signed.
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GNUPGHOME", self.home)
            .env("XDG_CONFIG_HOME", self.home)
            .env("HOME", self.home);
    }
}

/// What the configuration of `gpg` says: these keys and no others, all of which are meant.
fn gpg_conf(keyring: &Utf8Path) -> String {
    format!(
        "no-default-keyring\nkeyring {keyring}\ntrust-model always\nno-auto-key-retrieve\nno-auto-check-trustdb\n\
         disable-dirmngr\nno-autostart\nbatch\n"
    )
}

/// What the rules have to say against the commit that is checked out in a clone.
pub(super) async fn objections(
    git: &Git<'_>,
    wanted: &GitClone,
    clone: &Utf8Path,
    commit: &str,
) -> Result<Vec<(bool, Objection)>, GitError> {
    let mut objections = Vec::new();
    for required in &git.options.signatures {
        let home = tempfile::tempdir().map_err(GitError::Start)?;
        let home = Utf8Path::from_path(home.path()).ok_or_else(|| {
            GitError::Start(io::Error::other("the directory for temporary files has no name in UTF-8"))
        })?;
        if let Some(keyring) = &required.by.gpg_keyring {
            fs::write(home.join("gpg.conf"), gpg_conf(keyring)).map_err(GitError::Start)?;
        }
        let keys = Keys { by: &required.by, home };
        let signed = Signed { git: git.verifying(&keys), wanted, clone, commit };
        if let Some(why) = signed.objection().await? {
            objections.push((required.only_reports, objection(required, why)));
        }
    }
    Ok(objections)
}

/// A rule's refusal.
pub(super) fn objection(required: &RequiredSignature, why: String) -> Objection {
    Objection { rule: required.rule.clone(), why, help: required.help.clone() }
}

/// A commit whose signature is in question.
struct Signed<'a> {
    git: Git<'a>,
    wanted: &'a GitClone,
    clone: &'a Utf8Path,
    commit: &'a str,
}

impl Signed<'_> {
    async fn objection(&self) -> Result<Option<String>, GitError> {
        let verified = self.git.ask(self.clone, &["verify-commit", "--raw", "--", self.commit]).await?;
        if verified.is_some() || self.has_signed_tag().await? {
            return Ok(None);
        }
        // One letter for what is wrong, and which key it was.
        let state = self.git.ask(self.clone, &["log", "-1", "--format=%G? %GF", self.commit, "--"]).await?;
        let state = state.unwrap_or_default();
        let (letter, key) = state.split_once(' ').unwrap_or((&state, ""));
        let what = explained(letter, key);
        let tag = match &self.wanted.revision {
            Revision::Branch(name) => format!("no signed tag `{name}` of one of them leads to it"),
            Revision::DefaultBranch | Revision::Commit(_) => "it was not reached by a tag".to_owned(),
        };
        let (repository, commit) = (&self.wanted.repository, self.commit);
        Ok(Some(format!(
            "the commit {commit} of {repository} {what}, and {tag}; `repositories.signed_by` wants a signature by one of the \
             rule's keys"
        )))
    }

    /// Whether the commit was reached by a tag that is signed. The name is in what was signed: an old release cannot be given
    /// out for a new one.
    async fn has_signed_tag(&self) -> Result<bool, GitError> {
        let Revision::Branch(name) = &self.wanted.revision else { return Ok(false) };
        let object = format!("refs/tags/{name}^{{tag}}");
        let ask = async |arguments: &[&str]| self.git.ask(self.clone, arguments).await;
        let Some(object) = ask(&["rev-parse", "--quiet", "--verify", &object]).await? else { return Ok(false) };
        let leads_to = ask(&["rev-parse", "--quiet", "--verify", &format!("{object}^{{commit}}")]).await?;
        if leads_to.as_deref() != Some(self.commit) {
            return Ok(false);
        }
        let verified = ask(&["verify-tag", "--format=%(tag)", "--", &object]).await?;
        Ok(verified.as_deref() == Some(name))
    }
}

/// What `git` says by a letter.
fn explained(letter: &str, key: &str) -> String {
    let by = if key.is_empty() { String::new() } else { format!(" ({key})") };
    match letter {
        "N" => "is not signed".to_owned(),
        "X" => format!("has a signature that has expired{by}"),
        "Y" => format!("is signed by a key that has expired{by}"),
        "R" => format!("is signed by a key that was revoked{by}"),
        "U" | "E" => format!("is signed by a key that is none of them{by}"),
        _ => format!("has a signature that cannot be verified{by}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(by: &Signers) -> (String, Vec<(String, Option<String>)>) {
        let mut command = Command::new("git");
        Keys { by, home: Utf8Path::new("/h") }.configure(&mut command);
        let command = command.as_std();
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let arguments: Vec<String> = command.get_args().map(text).collect();
        (arguments.join(" "), command.get_envs().map(|(name, value)| (text(name), value.map(text))).collect())
    }

    #[test]
    fn only_keys_that_are_named_are_asked_for_by_programs_of_ours() {
        let ssh = Signers { ssh_allowed_signers: Some("/k/ssh".into()), gpg_keyring: None };
        let (arguments, env) = configured(&ssh);
        assert!(arguments.contains("gpg.ssh.allowedSignersFile=/k/ssh -c gpg.ssh.program=ssh-keygen"), "{arguments}");
        assert!(arguments.contains("gpg.openpgp.program=false -c gpg.x509.program=false"), "{arguments}");
        for (name, value) in
            [("GNUPGHOME", Some("/h")), ("GIT_CONFIG_GLOBAL", Some("/dev/null")), ("GIT_CONFIG_PARAMETERS", None)]
        {
            assert!(env.contains(&(name.to_owned(), value.map(str::to_owned))), "{name}: {env:?}");
        }
        let gpg = Signers { ssh_allowed_signers: None, gpg_keyring: Some("/k/gpg".into()) };
        let (arguments, _) = configured(&gpg);
        assert!(arguments.contains("gpg.ssh.allowedSignersFile=/dev/null -c gpg.ssh.program=false"), "{arguments}");
        assert!(arguments.contains("gpg.openpgp.program=gpg"), "{arguments}");
        assert!(gpg_conf(Utf8Path::new("/k/gpg")).starts_with("no-default-keyring\nkeyring /k/gpg\n"));
    }
}
