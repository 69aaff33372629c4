//! Pulls to a directory in which an earlier run has left its clone.

use super::origin::{Site, git_in, names, read};
use super::server::GitServer;
use code_storage::CodeError;
use serde_json::json;
use std::sync::Arc;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_branch_is_followed_through_a_force_push() {
    let site = Site::new();
    let origin = site.repository("code");
    let first = origin.head();
    let inputs = || json!({"repository": origin.url(), "branch": "trunk"});
    let run = site.run_directory("run");
    origin.commit("flow.py", "to be rewritten");
    site.git_clone(&run, inputs()).await.unwrap();
    fs_err::write(run.join("code-trunk/flow.py"), "edited in place").unwrap();
    fs_err::write(run.join("code-trunk/output.csv"), "kept").unwrap();

    origin.git(&["reset", "--quiet", "--hard", &first]);
    let rewritten = origin.commit("flow.py", "rewritten");
    let pulled = site.git_clone(&run, inputs()).await.unwrap();
    assert_eq!(pulled.checkouts[0].revision, rewritten);
    assert_eq!(read(&run.join("code-trunk/flow.py")), "rewritten");
    assert_eq!(read(&run.join("code-trunk/output.csv")), "kept");
    assert_eq!(names(&run), ["code-trunk"]);
}

#[tokio::test]
async fn the_default_branch_a_tag_and_commits_take_turns_in_one_clone() {
    let site = Site::new();
    let origin = site.repository("code");
    let first = origin.head();
    origin.git(&["tag", "v1"]);
    let second = origin.commit("flow.py", "two");
    let third = origin.commit("flow.py", "three");
    let run = site.run_directory("run");
    for (revision, expected) in [
        (json!({}), &third),
        (json!({"commit_sha": second}), &second),
        (json!({"branch": "v1"}), &first),
        (json!({"commit_sha": third.split_at(7).0}), &third),
        (json!({"commit_sha": first.split_at(7).0}), &first),
        (json!({"branch": "trunk"}), &third),
        (json!({}), &third),
    ] {
        let mut inputs = revision.clone();
        inputs["repository"] = json!(origin.url());
        inputs["clone_directory_name"] = json!("code");
        let pulled = site.git_clone(&run, inputs).await.unwrap();
        assert_eq!(&pulled.checkouts[0].revision, expected, "{revision}");
        assert_eq!(read(&run.join("code/flow.py")), origin.git(&["show", &format!("{expected}:flow.py")]));
    }
}

#[tokio::test]
async fn a_commit_that_is_there_needs_no_remote() {
    let site = Site::new();
    let origin = site.repository("code");
    let inputs = json!({"repository": origin.url(), "commit_sha": origin.head()});
    let run = site.run_directory("run");
    let first = site.git_clone(&run, inputs.clone()).await.unwrap();
    fs_err::remove_dir_all(&origin.path).unwrap();
    let second = site.git_clone(&run, inputs).await.unwrap();
    let (first, second) = (&first.checkouts[0], &second.checkouts[0]);
    assert_eq!((&second.revision, &second.root), (&first.revision, &first.root));
    assert_eq!((first.without_network, second.without_network), (false, true));
}

#[tokio::test]
async fn submodules_and_directories_follow_the_update() {
    let site = Site::new();
    let library = site.repository("library");
    let origin = site.repository("code");
    origin.commit("flows/a.py", "a");
    origin.git(&["submodule", "--quiet", "add", &library.url(), "lib"]);
    origin.commit("more/b.py", "b");
    let run = site.run_directory("run");
    let inputs = |directories: &[&str]| json!({"repository": origin.url(), "include_submodules": true, "directories": directories});
    site.git_clone(&run, inputs(&["flows"])).await.unwrap();
    assert_eq!(read(&run.join("code/lib/flow.py")), "one");

    library.commit("flow.py", "two");
    git_in(&origin.path.join("lib"), &["pull", "--quiet", "origin", "trunk"]);
    origin.commit("flow.py", "two");
    site.git_clone(&run, inputs(&["more"])).await.unwrap();
    assert_eq!(read(&run.join("code/lib/flow.py")), "two");
    assert_eq!(names(&run.join("code")), [".git", ".gitmodules", "flow.py", "lib", "more"]);
}

#[tokio::test]
async fn a_damaged_clone_is_made_anew() {
    let site = Site::new();
    let origin = site.repository("code");
    let inputs = || json!({"repository": origin.url()});
    let run = site.run_directory("run");
    site.git_clone(&run, inputs()).await.unwrap();
    fs_err::write(run.join("code/.git/index.lock"), "of a git that was killed").unwrap();
    let head = origin.commit("flow.py", "two");
    assert_eq!(site.git_clone(&run, inputs()).await.unwrap().checkouts[0].revision, head);
    assert_eq!(read(&run.join("code/flow.py")), "two");
    assert_eq!(names(&run), ["code"]);
}

#[tokio::test]
async fn what_a_killed_pull_left_is_cleared_away() {
    let site = Site::new();
    let origin = site.repository("code");
    let run = site.run_directory("run");
    for left in [".code.partial", ".code.retired"] {
        fs_err::create_dir_all(run.join(left).join("objects")).unwrap();
    }
    site.git_clone(&run, json!({"repository": origin.url()})).await.unwrap();
    assert_eq!(names(&run), ["code"]);
}

#[tokio::test]
async fn a_clone_of_something_else_is_refused_and_left_alone() {
    let site = Site::new();
    let origin = site.repository("code");
    let other = site.repository("other");
    let run = site.run_directory("run");
    let inputs = |url: String| json!({"repository": url, "clone_directory_name": "code"});
    site.git_clone(&run, inputs(other.url())).await.unwrap();
    git_in(&run.join("code"), &["remote", "set-url", "origin", "https://me:s3cret@h.test/other"]);
    let failed = site.git_clone(&run, inputs(origin.url())).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!(
            "repository {} cannot be pulled to {run}/code, which is a clone of https://***@h.test/other",
            origin.url()
        )
    );
    assert_eq!(git_in(&run.join("code"), &["rev-parse", "HEAD"]), other.head());
}

#[tokio::test]
async fn a_damaged_clone_never_leads_to_the_repository_around_it() {
    let site = Site::new();
    let origin = site.repository("code");
    let around = site.repository("around");
    let head = around.commit("code/flow.py", "dear to somebody");
    around.git(&["remote", "add", "origin", &origin.url()]);
    fs_err::create_dir(around.path.join("code/.git")).unwrap();
    let failed = site.git_clone(&around.path, json!({"repository": origin.url()})).await.unwrap_err();
    assert!(matches!(failed, CodeError::OtherOrigin { .. }), "{failed}");
    assert_eq!((around.head(), read(&around.path.join("code/flow.py"))), (head, "dear to somebody".to_owned()));
}

#[tokio::test]
async fn files_that_are_no_clone_are_refused_and_an_empty_directory_is_used() {
    let site = Site::new();
    let origin = site.repository("code");
    let run = site.run_directory("run");
    let inputs = || json!({"repository": origin.url()});
    fs_err::write(run.join("code"), "a file").unwrap();
    assert!(matches!(site.git_clone(&run, inputs()).await.unwrap_err(), CodeError::Occupied { .. }));
    fs_err::remove_file(run.join("code")).unwrap();
    fs_err::create_dir(run.join("code")).unwrap();
    fs_err::write(run.join("code/notes.txt"), "dear to somebody").unwrap();
    assert!(matches!(site.git_clone(&run, inputs()).await.unwrap_err(), CodeError::Occupied { .. }));
    fs_err::remove_file(run.join("code/notes.txt")).unwrap();
    site.git_clone(&run, inputs()).await.unwrap();
}

#[tokio::test]
async fn a_login_that_the_sdk_has_put_into_the_origin_does_not_make_it_another() {
    let mut site = Site::new();
    let origin = site.repository("code");
    // The pull goes to the local repository, whichever of the two URLs it is asked for.
    for (index, url) in ["https://h.test/code", "https://me:s3cret@h.test/code"].iter().enumerate() {
        site.options.env.insert(format!("GIT_CONFIG_KEY_{index}"), format!("url.{}.insteadOf", origin.url()));
        site.options.env.insert(format!("GIT_CONFIG_VALUE_{index}"), (*url).to_owned());
    }
    site.options.env.insert("GIT_CONFIG_COUNT".to_owned(), "2".to_owned());
    let run = site.run_directory("run");
    let inputs = || json!({"repository": "https://h.test/code"});
    site.git_clone(&run, inputs()).await.unwrap();
    git_in(&run.join("code"), &["remote", "set-url", "origin", "https://me:s3cret@h.test/code"]);
    let head = origin.commit("flow.py", "two");
    assert_eq!(site.git_clone(&run, inputs()).await.unwrap().checkouts[0].revision, head);
}

#[tokio::test]
async fn pulls_to_one_directory_take_turns() {
    let site = Arc::new(Site::new());
    let origin = site.repository("code");
    let run = site.run_directory("run");
    let mut pulls = JoinSet::new();
    for _ in 0..4 {
        let (site, run, url) = (Arc::clone(&site), run.clone(), origin.url());
        pulls.spawn(async move { site.git_clone(&run, json!({"repository": url})).await.unwrap() });
    }
    for pulled in pulls.join_all().await {
        assert_eq!(pulled.checkouts[0].revision, origin.head());
    }
    assert_eq!(names(&run), ["code"]);
}

#[tokio::test]
async fn a_login_that_the_sdk_has_left_in_a_clone_is_replaced() {
    let mut site = Site::new();
    let server = GitServer::with_tls(&mut site, "t0ken:").await;
    site.repository("code");
    let run = site.run_directory("run");
    let inputs =
        || json!({"repository": server.url_with("t0ken", "private/code/.git"), "clone_directory_name": "code"});
    site.git_clone(&run, inputs()).await.unwrap();
    let clone = run.join("code");
    let old = server.url_with("withdrawn", "private/code/.git");
    git_in(&clone, &["remote", "set-url", "origin", &old]);
    site.git_clone(&run, inputs()).await.unwrap();
    assert!(!read(&clone.join(".git/config")).contains("withdrawn"));
}

#[tokio::test]
async fn repositories_with_long_ids_and_without_a_default_branch_are_cloned() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    fs_err::remove_dir_all(origin.path.join(".git")).unwrap();
    origin.git(&["init", "--quiet", "--object-format=sha256", "--initial-branch", "trunk"]);
    let commit = origin.commit("flow.py", "long ids");
    origin.git(&["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    for (name, revision) in [("by-branch", json!({"branch": "trunk"})), ("by-commit", json!({"commit_sha": commit}))] {
        let mut inputs = revision;
        inputs["repository"] = origin.url().into();
        inputs["clone_directory_name"] = "code".into();
        let pulled = site.git_clone(&site.run_directory(name), inputs).await.unwrap();
        assert_eq!(pulled.checkouts[0].revision, commit, "{name}");
    }
}
