//! The inputs of `git_clone`.

use super::super::{GitClone, Revision};
use super::*;

fn git_clone(inputs: Value) -> Value {
    only("git_clone", inputs)
}

fn clone_of(inputs: Value) -> GitClone {
    let StepAction::GitClone(clone) = action("git_clone", inputs) else { panic!("not a clone") };
    clone
}

#[test]
fn every_input_of_a_clone_is_taken() {
    let clone = clone_of(json!({
        "id": "clone-step",
        "repository": "https://h.test/o/r.git",
        "branch": "feature/x",
        "commit_sha": null,
        "include_submodules": true,
        "access_token": null,
        "credentials": {},
        "directories": ["flows", "lib/a"],
        "clone_directory_name": "code",
        "requires": null,
    }));
    assert_eq!(clone.repository.as_str(), "https://h.test/o/r.git");
    assert_eq!(clone.revision, Revision::Branch("feature/x".into()));
    assert!(clone.include_submodules);
    assert_eq!(clone.directories, ["flows", "lib/a"]);
    assert_eq!(clone.directory_name, "code");
    assert_eq!(
        clone_of(json!({"repository": "https://h.test/o/r", "commit_sha": "12ABcd"})).revision,
        Revision::Commit("12ABcd".into())
    );
}

#[test]
fn the_clones_directory_is_named_as_the_sdk_names_it() {
    for (repository, branch, name) in [
        ("https://h.test/o/repo.git", None, "repo"),
        ("https://h.test/o/repo", Some("feature/x/y"), "repo-feature-x-y"),
        ("http://h.test:8080/me.github.io", None, "mehub.io"),
        ("git://h.test/repo.git", None, "repo"),
        ("file:///srv/repo.git", None, "repo"),
        ("/srv/git/repo.git", Some("main"), "repo-main"),
        ("../repo", None, "repo"),
        ("repo", None, "repo"),
    ] {
        let clone = clone_of(json!({"repository": repository, "branch": branch}));
        assert_eq!(clone.directory_name, name, "{repository}");
    }
}

#[test]
fn a_clone_that_needs_more_than_this_worker_does_is_the_sdks() {
    let unread = "the input `repository` of the step `git_clone` is not a URL";
    let repositories = [
        ("ext::sh -c true", format!("{unread}, an SSH address or a path")),
        ("ftp://h.test/o/r", format!("{unread} that git repositories have")),
        ("https://", unread.to_owned()),
        (
            "ssh://me:s3cret@h.test/r",
            "the input `repository` of the step `git_clone` has a password in its URL, which ssh does not take"
                .to_owned(),
        ),
        (
            "https://h.test/r?token=s3cret",
            "the input `repository` of the step `git_clone` has more than a path in its URL".to_owned(),
        ),
        ("--upload-pack=x", "the input `repository` of the step `git_clone` starts with a dash".to_owned()),
        ("https://h.test/r\n", "the input `repository` of the step `git_clone` has control characters".to_owned()),
        ("", "the input `repository` of the step `git_clone` is missing".to_owned()),
    ];
    for (repository, expected) in repositories {
        assert_eq!(reason(&git_clone(json!({"repository": repository}))), expected, "{repository:?}");
    }
    for (input, value, expected) in [
        ("access_token", json!(["x"]), "the input `access_token` of the step `git_clone` is not a text"),
        ("credentials", json!("x"), "the input `credentials` of the step `git_clone` is not an object"),
        (
            "credentials",
            json!({"username": "x"}),
            "the input `credentials` of the step `git_clone` has neither a token nor a password",
        ),
        ("requires", json!("prefect-github"), "the step `git_clone` requires packages"),
        ("depth", json!(3), "the input `depth` of the step `git_clone` is unknown to this worker"),
        ("branch", json!(1.5), "the input `branch` of the step `git_clone` is not a text"),
        ("branch", json!("-x"), "the input `branch` of the step `git_clone` starts with a dash"),
        (
            "commit_sha",
            json!("main"),
            "the input `commit_sha` of the step `git_clone` is not 4 to 64 hexadecimal digits",
        ),
        (
            "commit_sha",
            json!("123"),
            "the input `commit_sha` of the step `git_clone` is not 4 to 64 hexadecimal digits",
        ),
        (
            "include_submodules",
            json!("yes"),
            "the input `include_submodules` of the step `git_clone` is neither true nor false",
        ),
        ("directories", json!("flows"), "the input `directories` of the step `git_clone` is not a list"),
    ] {
        assert_eq!(reason(&git_clone(json!({"repository": "https://h.test/r", input: value}))), expected);
    }
    assert_eq!(
        reason(&git_clone(json!({"repository": "https://h.test/r", "branch": "main", "commit_sha": "12345"}))),
        "the input `commit_sha` of the step `git_clone` is given together with a branch"
    );
}

#[test]
fn a_clone_never_leaves_the_working_directory() {
    for name in ["/srv/code", "../code", "..", ".", "a/b", "code/", "./code"] {
        assert_eq!(
            reason(&git_clone(json!({"repository": "https://h.test/r", "clone_directory_name": name}))),
            "the input `clone_directory_name` of the step `git_clone` is not a plain name",
            "{name}"
        );
    }
    for repository in ["https://h.test", "https://h.test/r/", "https://h.test/.git", ".."] {
        assert_eq!(
            reason(&git_clone(json!({"repository": repository}))),
            "the input `clone_directory_name` of the step `git_clone` is not a plain name",
            "{repository}"
        );
    }
}

#[test]
fn a_clone_logs_in_one_way() {
    let with = |repository: &str, inputs: Value| {
        let Value::Object(mut inputs) = inputs else { panic!() };
        inputs.insert("repository".to_owned(), repository.into());
        git_clone(inputs.into())
    };
    for logs_in in [json!({"access_token": "t0ken"}), json!({"credentials": {"username": "me", "password": "x"}})] {
        assert!(
            native(&with("https://h.test/r", logs_in.clone())).steps()[0].planned
                != action("git_clone", json!({"repository": "https://h.test/r"}))
        );
        assert_eq!(
            reason(&with("https://me:x@h.test/r", logs_in)),
            "the input `repository` of the step `git_clone` has a user in its URL besides the credentials"
        );
    }
    assert_eq!(
        reason(&with("https://h.test/r", json!({"access_token": "a", "credentials": {"token": "b"}}))),
        "the input `credentials` of the step `git_clone` is given together with an access token"
    );
}
