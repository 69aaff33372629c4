//! The policy file, as a daemon of this user would read it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use camino::Utf8Path;
use rustix::process::geteuid;
use worker_config::STANDARD_POLICY_FILE;
use worker_core::policy::{Policy, Rule, Signers};

use super::{Check, Found};
use crate::policy;

const NAME: &str = "policy";

/// Looks at the file that the settings name, else at the one at the standard place. None if there is no policy.
pub fn look_at_policy(named: Option<&Utf8Path>) -> Option<Check> {
    let standard = Utf8Path::new(STANDARD_POLICY_FILE);
    if named.is_none() && matches!(standard.try_exists(), Ok(false)) {
        return None;
    }
    let path = named.unwrap_or(standard);
    let findings = match policy::file(path, geteuid().as_raw()).read() {
        Ok(policy) => of_rules(path, &policy),
        Err(errors) => {
            errors.problems().iter().map(|problem| unusable(&crate::run::ErrorChain(problem).to_string())).collect()
        }
    };
    Some(Check { name: NAME.to_owned(), findings, took_ms: 0 })
}

fn unusable(problem: &str) -> Found {
    Found::error(
        format!("{problem}; a daemon does not start with it"),
        "correct it; `worker policy check` says everything that is wrong with a file",
    )
}

fn of_rules(path: &Utf8Path, policy: &Policy) -> Vec<Found> {
    let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    let well = match names.as_slice() {
        [] => Found::warning(format!("{path} has no rules: every run is allowed"), "write a `[[rule]]`"),
        names => Found::ok(format!("runs have to satisfy {path}: {}", names.join(", "))),
    };
    let signed = policy.rules.iter().filter_map(|rule| Some((rule, rule.signed_by.as_ref()?)));
    std::iter::once(well).chain(signed.flat_map(|(rule, by)| of_signers(rule, by))).collect()
}

/// What keeps signatures from being verified.
fn of_signers(rule: &Rule, by: &Signers) -> Vec<Found> {
    let programs = [(&by.ssh_allowed_signers, "ssh-keygen"), (&by.gpg_keyring, "gpg")];
    let missing = programs.into_iter().filter(|(file, program)| file.is_some() && !is_on_path(program));
    let missing = missing.map(|(_, program)| {
        Found::error(
            format!(
                "the rule `{}` needs the program `{program}`, which is not on the PATH: it refuses all code",
                rule.name
            ),
            format!("install it, or leave its keys out of `repositories.signed_by` of `{}`", rule.name),
        )
    });
    let files = [&by.ssh_allowed_signers, &by.gpg_keyring].into_iter().flatten();
    let empty = files.filter(|file| file.metadata().is_ok_and(|metadata| metadata.len() == 0)).map(|file| {
        Found::warning(
            format!("{file} is empty: the rule `{}` takes no signature by its keys", rule.name),
            "put the keys into it by which code may be signed",
        )
    });
    missing.chain(empty).collect()
}

fn is_on_path(program: &str) -> bool {
    let is_executable =
        |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_executable(&directory.join(program)))
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    fn looked(path: &Utf8Path) -> Vec<Found> {
        look_at_policy(Some(path)).unwrap().findings
    }

    #[test]
    fn a_policy_that_a_daemon_would_not_start_with_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let (path, keys) = (root.join("p.toml"), root.join("keys"));
        let [missing] = looked(&path).try_into().unwrap();
        assert!(missing.severity == Grade::Error && missing.message.contains("p.toml"), "{missing:?}");
        let rule = format!("[[rule]]\nname = \"a\"\nrepositories.signed_by.ssh_allowed_signers = \"{keys}\"\n");
        fs_err::write(&path, &rule).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let [no_keys] = looked(&path).try_into().unwrap();
        assert!(no_keys.severity == Grade::Error && no_keys.message.contains(keys.as_str()), "{no_keys:?}");
        fs_err::write(&keys, "").unwrap();
        fs_err::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
        let found = looked(&path);
        assert!(found[0].severity == Grade::Ok && found[0].message.ends_with("p.toml: a"), "{found:?}");
        assert!(found.iter().any(|found| found.message.contains("keys is empty")), "{found:?}");
        fs_err::write(&path, format!("{rule}{rule}images.allows = 1")).unwrap();
        assert_eq!(looked(&path).len(), 2, "everything that is wrong");
        assert_eq!(look_at_policy(None).is_some(), Utf8Path::new(STANDARD_POLICY_FILE).exists());
    }
}
