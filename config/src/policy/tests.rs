use std::os::unix::fs::PermissionsExt as _;

use worker_core::policy::{Bounds, Topic};

use super::*;

const KINDS: [&str; 3] = ["process", "docker", "kubernetes"];

fn parse(text: &str) -> Result<Policy, Vec<String>> {
    let file = PolicyFile { path: Utf8Path::new("/etc/p.toml"), user: 0, kinds: &KINDS };
    file.parse(text).map_err(|errors| errors.problems().iter().map(ToString::to_string).collect())
}

#[test]
fn a_policy_is_read_as_it_is_meant() {
    let policy = parse(
        r#"
        [[rule]]
        name = "images"
        help = "Ask #platform."
        kinds = ["docker", "kube*"]
        pools = ["prod-*"]
        images.allow = ["r.test/*"]
        images.deny = ["*:latest"]
        images.by_digest = true

        [[rule]]
        name = "small"
        mode = "report"
        except_deployments = ["etl/big"]
        commands.allow = []
        resources = { max_cpu = 1.5, max_memory = "8GiB", max_run_time_seconds = 60 }
        "#,
    )
    .unwrap();
    let [images, small] = policy.rules.as_slice() else { panic!("{policy:?}") };
    assert_eq!(
        (images.name.as_str(), images.help.as_deref(), images.only_reports),
        ("images", Some("Ask #platform."), false)
    );
    assert!(images.images_by_digest && images.scope.kinds.len() == 2 && images.scope.pools.len() == 1);
    assert_eq!(images.lists[&Topic::Images].deny[0].as_str(), "*:latest");
    assert!(small.only_reports && small.lists[&Topic::Commands].allow == Some(Vec::new()));
    let bounds = Bounds { cpu_millis: Some(1500), memory_bytes: Some(8 << 30), run_time_seconds: Some(60) };
    assert_eq!(small.bounds, bounds);
}

#[test]
fn whatever_could_turn_a_rule_off_unseen_is_refused_with_its_line() {
    for (text, expected) in [
        ("[[rules]]\nname = \"a\"", "/etc/p.toml:1: unknown key `rules`, did you mean `rule`?"),
        (
            "[[rule]]\nname = \"a\"\nimage.allow = []",
            "/etc/p.toml:3: unknown key `rule.image`, did you mean `rule.images`?",
        ),
        (
            "[[rule]]\nname = \"a\"\nimages.allows = []",
            "/etc/p.toml:3: unknown key `rule.images.allows`, did you mean `rule.images.allow`?",
        ),
        (
            "[[rule]]\nname = \"a\"\nimages.allow = \"x\"",
            "/etc/p.toml:3: `rule.images.allow` must be an array of strings, not a string",
        ),
        (
            "[[rule]]\nimages.allow = []",
            "/etc/p.toml:1: `rule.name` must be given in every `[[rule]]`: it is what people are told",
        ),
        ("[[rule]]\nname = \"a\"", "/etc/p.toml:1: `rule` `a` restricts nothing: give it a list or `resources`"),
        (
            "[[rule]]\nname = \"a\"\nkinds = [\"kubernets\"]\nimages.allow = []",
            "/etc/p.toml:3: `rule.kinds` must hold kinds of process, docker, kubernetes, not `kubernets`",
        ),
        (
            "[[rule]]\nname = \"a\"\npools = []\nimages.allow = []",
            "/etc/p.toml:3: `rule.pools` must not be empty; leave it out if the rule is about all runs",
        ),
        (
            "[[rule]]\nname = \"a\"\nmode = \"warn\"\nimages.allow = []",
            "/etc/p.toml:3: `rule.mode` must be \"enforce\" or \"report\"",
        ),
        (
            "[[rule]]\nname = \"a\"\nresources.max_memory = \"lots\"",
            "/etc/p.toml:3: `rule.resources.max_memory` must be an amount of memory above zero, such as \"8GiB\" or \"512MiB\"",
        ),
        ("rule = 1", "/etc/p.toml:1: `rule` must be tables, written `[[rule]]`"),
        ("[[rule]", "/etc/p.toml:1: not valid TOML: "),
    ] {
        let problems = parse(text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{text}: {problems:?}");
    }
    let twice = "[[rule]]\nname = \"a\"\nimages.allow = []\n[[rule]]\nname = \"a\"\nimages.allow = []";
    assert_eq!(parse(twice).unwrap_err(), ["/etc/p.toml:4: `rule.name` is given twice: `a`"]);
}

#[test]
fn a_file_that_others_can_change_is_no_policy() {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(directory.path()).unwrap().join("p.toml");
    fs_err::write(&path, "[[rule]]\nname = \"a\"\nprivileges.allow = []").unwrap();
    let own = std::os::unix::fs::MetadataExt::uid(&directory.path().metadata().unwrap());
    let read = |user: u32| PolicyFile { path: &path, user, kinds: &KINDS }.read().map_err(|error| error.to_string());
    let set_mode = |path: &Utf8Path, mode: u32| {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&path, 0o600);
    assert_eq!(read(own).unwrap().rules.len(), 1);
    set_mode(&path, 0o664);
    assert!(read(own).unwrap_err().contains("can be written by its group or by everybody (mode 664)"));
    let unwatched = PolicyFile { path: &path, user: own, kinds: &KINDS };
    assert!(unwatched.check().is_ok(), "a draft may belong to anybody");
    set_mode(&path, 0o600);
    set_mode(Utf8Path::from_path(directory.path()).unwrap(), 0o777);
    assert!(read(own).unwrap_err().contains("could replace the file"));
}

#[test]
fn a_file_of_a_stranger_is_no_policy() {
    // Root may give a file to anybody; for others a file of root is the one that is not theirs, and it is trusted.
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(directory.path()).unwrap().join("p.toml");
    fs_err::write(&path, "").unwrap();
    let file = File::open(&path).unwrap();
    let own = std::os::unix::fs::MetadataExt::uid(&file.metadata().unwrap());
    if own == 0 {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        let checked = trust::check(&path, &File::open(&path).unwrap(), 0).unwrap().unwrap_err();
        assert!(checked.starts_with("belongs to the user 65534, and has to belong to root;"), "{checked}");
    }
    let checked = trust::check(&path, &File::open(&path).unwrap(), 1).unwrap().unwrap_err();
    assert!(checked.contains("belongs to the user") || own == 0, "{checked}");
}

#[test]
fn signers_are_files_by_their_absolute_paths() {
    let rule = |signed_by: &str| format!("[[rule]]\nname = \"a\"\nrepositories.signed_by{signed_by}");
    let policy = parse(&rule(" = { ssh_allowed_signers = \"/k/ssh\", gpg_keyring = \"/k/gpg\" }")).unwrap();
    let signers = policy.rules[0].signed_by.as_ref().unwrap();
    assert_eq!(signers.ssh_allowed_signers.as_deref(), Some(Utf8Path::new("/k/ssh")));
    assert_eq!(signers.gpg_keyring.as_deref(), Some(Utf8Path::new("/k/gpg")));
    assert!(policy.rules[0].lists.is_empty());
    for (text, expected) in [
        (" = {}", "`rule.repositories.signed_by` must have ssh_allowed_signers, gpg_keyring, or both"),
        (" = true", "`rule.repositories.signed_by` must be a table with"),
        (".gpg_keyring = \"keys\"", "`rule.repositories.signed_by.gpg_keyring` must be an absolute path"),
        (".gpg_keys = \"/k\"", "unknown key `rule.repositories.signed_by.gpg_keys`, did you mean"),
    ] {
        let problems = parse(&rule(text)).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{text}: {problems:?}");
    }
    let elsewhere = parse("[[rule]]\nname = \"a\"\nimages.signed_by = {}").unwrap_err();
    assert!(elsewhere[0].contains("unknown key `rule.images.signed_by`"), "{elsewhere:?}");
}

#[test]
fn keys_that_others_can_change_verify_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(directory.path()).unwrap();
    let own = std::os::unix::fs::MetadataExt::uid(&directory.path().metadata().unwrap());
    let (path, keys) = (root.join("p.toml"), root.join("signers"));
    let rule = format!("[[rule]]\nname = \"a\"\nrepositories.signed_by.ssh_allowed_signers = \"{keys}\"");
    fs_err::write(&path, rule).unwrap();
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = PolicyFile { path: &path, user: own, kinds: &KINDS };
    let read = || file.read().map(drop).map_err(|error| error.to_string());
    assert!(read().unwrap_err().contains("by which the policy verifies signatures"));
    assert!(file.check().is_ok(), "a draft may be read where the keys are not");
    fs_err::write(&keys, "").unwrap();
    for (mode, expected) in [(0o644, true), (0o666, false)] {
        fs_err::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read().is_ok(), expected, "{mode:o}");
    }
}
