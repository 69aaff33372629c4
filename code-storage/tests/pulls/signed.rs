//! Code that has to be signed, signed with real keys.

use std::process::Command;

use super::origin::{Origin, Site, git_in, names};
use camino::{Utf8Path, Utf8PathBuf};
use code_storage::{Checkout, CodeError, PullOptions};
use serde_json::{Value, json};
use worker_core::policy::{RequiredSignature, Signers};

/// Keys of SSH, in a directory of the test.
struct Keys(Utf8PathBuf);

impl Keys {
    fn of(site: &Site) -> Self {
        let keys = Self(site.run_directory("keys"));
        for name in ["alice", "mallory"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", keys.0.join(name).as_str()]);
        }
        let public = fs_err::read_to_string(keys.0.join("alice.pub")).unwrap();
        fs_err::write(keys.signers(), format!("alice@example.test namespaces=\"git\" {public}")).unwrap();
        keys
    }

    fn signers(&self) -> Utf8PathBuf {
        self.0.join("allowed_signers")
    }

    /// Runs a `git` that signs with somebody's key.
    fn git(&self, who: &str, origin: &Origin, arguments: &[&str]) -> String {
        let key = format!("user.signingKey={}", self.0.join(format!("{who}.pub")));
        let mut all = vec!["-c", "gpg.format=ssh", "-c", key.as_str()];
        all.extend(arguments);
        git_in(&origin.path, &all)
    }

    fn commit(&self, who: &str, origin: &Origin, text: &str) -> String {
        fs_err::write(origin.path.join("flow.py"), text).unwrap();
        self.git(who, origin, &["commit", "--quiet", "--all", "--gpg-sign", "--message", text]);
        origin.head()
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn required(by: Signers) -> RequiredSignature {
    RequiredSignature { rule: "reviewed".to_owned(), help: None, only_reports: false, by }
}

/// The same place, where code has to be signed.
fn strict(site: &Site, required: RequiredSignature) -> Site {
    site.with_options(PullOptions { signatures: vec![required], ..site.options.clone() })
}

fn by_ssh(keys: &Keys) -> RequiredSignature {
    required(Signers { ssh_allowed_signers: Some(keys.signers()), gpg_keyring: None })
}

/// Pulls to a new directory. What is refused leaves nothing of the code there.
async fn pull(site: &Site, run: &str, inputs: Value) -> Result<Checkout, String> {
    let run = site.run_directory(run);
    match site.git_clone(&run, inputs).await {
        Ok(mut pulled) => Ok(pulled.checkouts.remove(0)),
        Err(CodeError::Unsigned(objection)) => {
            assert_eq!(objection.rule, "reviewed");
            assert_eq!(names(&run), Vec::<String>::new());
            Err(objection.why)
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn only_a_commit_that_is_signed_by_one_of_the_keys_is_handed_over() {
    for site in [Site::new(), Site::with_cache()] {
        let keys = Keys::of(&site);
        let origin = site.repository("code");
        let unsigned = origin.head();
        let site = strict(&site, by_ssh(&keys));
        let inputs = || json!({"repository": origin.url(), "branch": "trunk"});

        let why = pull(&site, "run-0", inputs()).await.unwrap_err();
        assert!(why.contains(&unsigned) && why.contains("is not signed"), "{why}");
        let signed = keys.commit("alice", &origin, "two");
        assert_eq!(pull(&site, "run-1", inputs()).await.unwrap().revision, signed);
        keys.commit("mallory", &origin, "three");
        let why = pull(&site, "run-2", inputs()).await.unwrap_err();
        assert!(why.contains("is signed by a key that is none of them (SHA256:"), "{why}");
        origin.commit("flow.py", "four");
        let why = pull(&site, "run-3", inputs()).await.unwrap_err();
        assert!(why.contains("is not signed"), "the branch was moved to a commit without a signature: {why}");

        let commit = |id: &str| json!({"repository": origin.url(), "commit_sha": id});
        assert_eq!(pull(&site, "run-4", commit(&signed)).await.unwrap().revision, signed);
        pull(&site, "run-5", commit(&unsigned)).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_commit_may_be_reached_by_a_signed_tag_of_that_name() {
    for site in [Site::new(), Site::with_cache()] {
        let keys = Keys::of(&site);
        let origin = site.repository("code");
        let commit = origin.head();
        keys.git("alice", &origin, &["tag", "--sign", "--message", "x", "v1"]);
        keys.git("mallory", &origin, &["tag", "--sign", "--message", "x", "v2"]);
        origin.git(&["tag", "--annotate", "--message", "x", "v3"]);
        origin.git(&["tag", "v4"]);
        // A tag that alice has signed, by another name.
        let object = origin.git(&["rev-parse", "v1"]);
        origin.git(&["update-ref", "refs/tags/v5", &object]);
        let site = strict(&site, by_ssh(&keys));
        let tag = |name: &str| json!({"repository": origin.url(), "branch": name});
        assert_eq!(pull(&site, "run-1", tag("v1")).await.unwrap().revision, commit);
        for name in ["v2", "v3", "v4", "v5"] {
            let why = pull(&site, &format!("run-{name}"), tag(name)).await.unwrap_err();
            assert!(why.contains(&format!("no signed tag `{name}`")), "{why}");
        }
        // The branch leads to the same commit, and nobody has signed that.
        pull(&site, "run-trunk", tag("trunk")).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_is_kept_of_earlier_runs_is_no_way_around() {
    let site = Site::with_cache();
    let keys = Keys::of(&site);
    let origin = site.repository("code");
    let inputs = || json!({"repository": origin.url(), "branch": "trunk"});
    // Kept, when nothing had to be signed.
    pull(&site, "run-0", inputs()).await.unwrap();
    let strict = strict(&site, by_ssh(&keys));
    pull(&strict, "run-1", inputs()).await.unwrap_err();
    // A clone that is there already may hold files that nobody has signed.
    keys.commit("alice", &origin, "two");
    let run = site.run_directory("run-2");
    site.git_clone(&run, inputs()).await.unwrap();
    let error = strict.git_clone(&run, inputs()).await.unwrap_err();
    assert!(
        matches!(&error, CodeError::Unsigned(objection) if objection.why.contains("is a clone already")),
        "{error}"
    );
    assert_eq!(pull(&strict, "run-3", inputs()).await.unwrap().reported, []);
}

#[tokio::test]
async fn neither_the_run_nor_the_repository_says_what_is_verified() {
    let mut site = Site::with_cache();
    let keys = Keys::of(&site);
    let origin = site.repository("code");
    keys.commit("mallory", &origin, "two");
    let own = site.root.join("own");
    let public = fs_err::read_to_string(keys.0.join("mallory.pub")).unwrap();
    fs_err::write(&own, format!("* {public}")).unwrap();
    // What the run's environment says, and a repository's file that looks like a configuration.
    for (name, value) in [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "gpg.ssh.allowedSignersFile"),
        ("GIT_CONFIG_VALUE_0", own.as_str()),
        ("GIT_CONFIG_PARAMETERS", "'gpg.ssh.program'='true'"),
    ] {
        site.options.env.insert(name.to_owned(), value.to_owned());
    }
    let inputs = || json!({"repository": origin.url()});
    pull(&strict(&site, by_ssh(&keys)), "run-1", inputs()).await.unwrap_err();
    let replaced = "case \"$*\" in *verify*) exit 0;; *) exec $GIT \"$@\";; esac";
    site.replace_git(replaced);
    pull(&strict(&site, by_ssh(&keys)), "run-2", inputs()).await.unwrap_err();
    // In what is kept, where a run with the rights of the worker could have written it.
    let mut changed = 0;
    for entry in site.cache_directory().join("checkouts").read_dir_utf8().unwrap() {
        let config = entry.unwrap().into_path().join("content/.git/config");
        if config.exists() {
            changed += 1;
            let with = format!(
                "{}\n[gpg \"ssh\"]\n\tprogram = true\n\tallowedSignersFile = {own}\n",
                fs_err::read_to_string(&config).unwrap()
            );
            fs_err::write(&config, with).unwrap();
        }
    }
    assert_eq!(changed, 1);
    pull(&strict(&site, by_ssh(&keys)), "run-3", inputs()).await.unwrap_err();
}

#[tokio::test]
async fn a_rule_that_only_reports_hands_the_code_over_and_says_what_it_would_have_said() {
    let site = Site::new();
    let keys = Keys::of(&site);
    let origin = site.repository("code");
    let reporting = RequiredSignature { only_reports: true, ..by_ssh(&keys) };
    let checkout = pull(&strict(&site, reporting), "run", json!({"repository": origin.url()})).await.unwrap();
    let [reported] = checkout.reported.as_slice() else { panic!("{checkout:?}") };
    assert!(reported.rule == "reviewed" && reported.why.contains("is not signed"), "{reported:?}");
}

#[tokio::test]
async fn submodules_are_those_that_the_signed_commit_names() {
    let site = Site::with_cache();
    let keys = Keys::of(&site);
    let part = site.repository("part");
    let origin = site.repository("code");
    origin.git(&["submodule", "--quiet", "add", &part.url(), "part"]);
    keys.commit("alice", &origin, "two");
    let named = part.head();
    part.commit("flow.py", "moved on, unsigned");
    let inputs = json!({"repository": origin.path, "branch": "trunk", "include_submodules": true});
    let checkout = pull(&strict(&site, by_ssh(&keys)), "run", inputs).await.unwrap();
    assert_eq!(git_in(&checkout.root.join("part"), &["rev-parse", "HEAD"]), named);
}

/// A home of `GnuPG` in the test's directory, with a key of each name; its agent ends with the directory.
fn gpg_home(site: &Site, names: &[&str]) -> Utf8PathBuf {
    let home = site.run_directory("gnupg");
    fs_err::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for name in names {
        let user = format!("{name} <{name}@example.test>");
        let make =
            ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", &user, "ed25519", "sign", "never"];
        gpg(&home, &make);
    }
    home
}

fn gpg(home: &Utf8Path, arguments: &[&str]) {
    let mut all = vec!["--homedir", home.as_str()];
    all.extend(arguments);
    run("gpg", &all);
}

#[tokio::test]
async fn keys_of_gnupg_are_those_of_the_keyring() {
    let site = Site::with_cache();
    let home = gpg_home(&site, &["alice", "mallory"]);
    let origin = site.repository("code");
    let keyring = site.root.join("keyring.gpg");
    gpg(&home, &["--batch", "--output", keyring.as_str(), "--export", "alice@example.test"]);
    // `git` finds the home by its variable, which is no option.
    let program = site.root.join("gpg-of-the-test");
    fs_err::write(&program, format!("#!/bin/sh\nexec gpg --homedir '{home}' --batch \"$@\"\n")).unwrap();
    fs_err::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = format!("gpg.program={program}");
    let commit = |who: &str, text: &str| {
        fs_err::write(origin.path.join("flow.py"), text).unwrap();
        let key = format!("user.signingKey={who}@example.test");
        let commit = ["commit", "--quiet", "--all", "--gpg-sign", "--message", text];
        origin.git(&[["-c", &program, "-c", &key].as_slice(), commit.as_slice()].concat());
        origin.head()
    };
    let by = Signers { ssh_allowed_signers: None, gpg_keyring: Some(keyring) };
    let strict = strict(&site, required(by));
    let inputs = || json!({"repository": origin.url()});
    pull(&strict, "run-0", inputs()).await.unwrap_err();
    let signed = commit("alice", "two");
    assert_eq!(pull(&strict, "run-1", inputs()).await.unwrap().revision, signed);
    commit("mallory", "three");
    let why = pull(&strict, "run-2", inputs()).await.unwrap_err();
    assert!(why.contains("is signed by a key that is none of them"), "{why}");
    // Of another kind than the rule has keys for.
    let keys = Keys::of(&site);
    keys.commit("alice", &origin, "four");
    pull(&strict, "run-3", inputs()).await.unwrap_err();
    run("gpgconf", &["--homedir", home.as_str(), "--kill", "gpg-agent"]);
}
