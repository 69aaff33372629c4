//! Clones into the empty directory of a run.

use super::origin::{Site, git_in, names, read};
use code_storage::CodeError;
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test]
async fn the_default_branch_is_cloned_and_named_as_the_place_to_run_in() {
    let site = Site::new();
    let origin = site.repository("code.git");
    let run = site.run_directory("run");
    let pulled = site.git_clone(&run, json!({"repository": origin.url()})).await.unwrap();
    assert_eq!(pulled.code.directory, run.join("code").as_str());
    assert_eq!(pulled.code.entrypoint.unwrap(), format!("{run}/code/flow.py:hello"));
    assert_eq!(pulled.started_in, run);
    assert_eq!(pulled.checkouts.len(), 1);
    assert_eq!(pulled.checkouts[0].revision, origin.head());
    assert_eq!(read(&run.join("code/flow.py")), "one");
    assert_eq!(names(&run), ["code"]);
}

#[tokio::test]
async fn a_branch_and_a_tag_are_cloned_at_their_tips() {
    let site = Site::new();
    let origin = site.repository("code");
    origin.git(&["tag", "v1"]);
    let tagged = origin.head();
    origin.git(&["checkout", "--quiet", "-b", "feature/x"]);
    let tip = origin.commit("flow.py", "two");
    origin.git(&["checkout", "--quiet", "trunk"]);
    let run = site.run_directory("run");

    let branch = site.git_clone(&run, json!({"repository": origin.url(), "branch": "feature/x"})).await.unwrap();
    assert_eq!(branch.checkouts[0].revision, tip);
    assert_eq!(read(&run.join("code-feature-x/flow.py")), "two");

    let tag = site.git_clone(&run, json!({"repository": origin.url(), "branch": "v1"})).await.unwrap();
    assert_eq!(tag.checkouts[0].revision, tagged);
    assert_eq!(read(&run.join("code-v1/flow.py")), "one");
}

#[tokio::test]
async fn a_commit_is_checked_out_by_its_id_by_the_beginning_of_it_and_when_no_branch_leads_to_it() {
    let site = Site::new();
    let origin = site.repository("code");
    origin.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let first = origin.head();
    let lost = origin.commit("flow.py", "lost");
    origin.git(&["reset", "--quiet", "--hard", &first]);
    origin.commit("flow.py", "two");
    for (run, wanted, commit, text) in [
        ("full", first.as_str(), &first, "one"),
        ("short", first.split_at(8).0, &first, "one"),
        ("lost", &lost, &lost, "lost"),
    ] {
        let run = site.run_directory(run);
        let pulled = site.git_clone(&run, json!({"repository": origin.url(), "commit_sha": wanted})).await.unwrap();
        assert_eq!(&pulled.checkouts[0].revision, commit);
        assert_eq!(read(&run.join("code/flow.py")), text);
    }
}

#[tokio::test]
async fn a_path_of_this_machine_is_cloned_also_relative_to_the_run() {
    let site = Site::new();
    let origin = site.repository("code");
    for (run, repository) in [("absolute", origin.path.as_str()), ("relative", "../code")] {
        let run = site.run_directory(run);
        let pulled = site.git_clone(&run, json!({"repository": repository})).await.unwrap();
        assert_eq!(pulled.checkouts[0].revision, origin.head());
        site.git_clone(&run, json!({"repository": repository})).await.expect("the clone is known again");
    }
}

#[tokio::test]
async fn submodules_come_only_when_asked_for_and_as_the_commit_has_them() {
    let site = Site::new();
    let library = site.repository("library");
    let origin = site.repository("code");
    origin.git(&["submodule", "--quiet", "add", &library.url(), "lib"]);
    let with_library = origin.commit("flow.py", "two");
    library.commit("flow.py", "newer than the submodule");
    for (run, inputs) in [
        ("branch", json!({"repository": origin.url(), "include_submodules": true})),
        ("commit", json!({"repository": origin.url(), "include_submodules": true, "commit_sha": with_library})),
    ] {
        let run = site.run_directory(run);
        site.git_clone(&run, inputs).await.unwrap();
        assert_eq!(read(&run.join("code/lib/flow.py")), "one");
    }
    let run = site.run_directory("without");
    site.git_clone(&run, json!({"repository": origin.url()})).await.unwrap();
    assert_eq!(names(&run.join("code/lib")), Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_submodule_is_not_taken_for_a_missing_repository() {
    let site = Site::new();
    let library = site.repository("library");
    let origin = site.repository("code");
    origin.git(&["submodule", "--quiet", "add", &library.url(), "lib"]);
    origin.commit("flow.py", "two");
    fs_err::remove_dir_all(&library.path).unwrap();
    let run = site.run_directory("run");
    let failed =
        site.git_clone(&run, json!({"repository": origin.url(), "include_submodules": true})).await.unwrap_err();
    assert!(matches!(&failed, CodeError::Submodules { detail, .. } if detail.contains("library")), "{failed}");
    assert_eq!(names(&run), Vec::<String>::new());
}

#[tokio::test]
async fn only_the_wanted_directories_are_checked_out() {
    let site = Site::new();
    let origin = site.repository("code");
    origin.commit("flows/a.py", "a");
    origin.commit("data/big.bin", "big");
    let head = origin.commit("--odd/b.py", "b");
    for (run, revision) in [("branch", json!(null)), ("commit", json!(head))] {
        let run = site.run_directory(run);
        let inputs = json!({"repository": origin.url(), "commit_sha": revision, "directories": ["flows", "--odd"]});
        site.git_clone(&run, inputs).await.unwrap();
        assert_eq!(names(&run.join("code")), ["--odd", ".git", "flow.py", "flows"]);
    }
}

#[tokio::test]
async fn steps_chain_as_in_the_sdk() {
    let site = Site::new();
    let library = site.repository("library");
    let origin = site.repository("code");
    origin.commit("flows/flow.py", "nested");
    let run = site.run_directory("run");
    let steps = json!([
        {"prefect.deployments.steps.git_clone": {"id": "code", "repository": origin.url()}},
        {"prefect.deployments.steps.git_clone": {"repository": library.url()}},
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ code.directory }}/flows"}},
    ]);
    let pulled = site.pull(&run, &steps).await.unwrap();
    assert_eq!(pulled.code.directory, run.join("code/flows").as_str());
    assert_eq!(pulled.checkouts.len(), 2);

    let steps = json!([
        {"prefect.deployments.steps.set_working_directory": {"directory": "code/flows/.."}},
        {"prefect.deployments.steps.git_clone": {"repository": library.url()}},
    ]);
    let pulled = site.pull(&run, &steps).await.unwrap();
    assert_eq!(pulled.code.directory, run.join("code/library").as_str());
    assert_eq!(pulled.code.entrypoint.unwrap(), format!("{run}/code/library/flow.py:hello"));
}

#[tokio::test]
async fn the_working_directory_is_given_without_links() {
    let site = Site::new();
    let real = site.run_directory("real");
    fs_err::write(real.join("flow.py"), "").unwrap();
    fs_err::os::unix::fs::symlink(&real, site.root.join("link")).unwrap();
    let run = site.run_directory("run");
    let steps = json!([{"prefect.deployments.steps.set_working_directory": {"directory": "../link"}}]);
    assert_eq!(site.pull(&run, &steps).await.unwrap().code.directory, real.as_str());
}

#[tokio::test]
async fn one_repository_is_cloned_to_many_directories_at_once() {
    let site = Site::new();
    let origin = site.repository("code");
    let site = std::sync::Arc::new(site);
    let mut pulls = JoinSet::new();
    for number in 0..8 {
        let run = site.run_directory(&format!("run-{number}"));
        let (site, url) = (std::sync::Arc::clone(&site), origin.url());
        pulls.spawn(async move {
            let pulled = site.git_clone(&run, json!({"repository": url})).await.unwrap();
            assert_eq!(read(&run.join("code/flow.py")), "one");
            pulled.checkouts[0].revision.clone()
        });
    }
    assert_eq!(pulls.join_all().await, vec![origin.head(); 8]);
}

#[tokio::test]
async fn the_environment_cannot_point_git_at_another_repository() {
    let mut site = Site::new();
    let origin = site.repository("code");
    let other = site.repository("other");
    let before = other.commit("flow.py", "theirs");
    for (variable, value) in [
        ("GIT_DIR", other.path.join(".git")),
        ("GIT_WORK_TREE", other.path.clone()),
        ("GIT_INDEX_FILE", other.path.join("i")),
    ] {
        site.options.env.insert(variable.to_owned(), value.into_string());
    }
    let run = site.run_directory("run");
    let pulled = site.git_clone(&run, json!({"repository": origin.url(), "commit_sha": origin.head()})).await.unwrap();
    assert_eq!(pulled.checkouts[0].revision, origin.head());
    assert_eq!((other.head(), read(&other.path.join("flow.py"))), (before, "theirs".to_owned()));
    assert_eq!(git_in(&other.path, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn no_hook_runs() {
    let mut site = Site::new();
    let origin = site.repository("code");
    let template = site.run_directory("template");
    let hook = template.join("hooks/post-checkout");
    fs_err::create_dir(template.join("hooks")).unwrap();
    fs_err::write(&hook, format!("#!/bin/sh\ntouch {}/hooked\n", site.root)).unwrap();
    fs_err::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    site.options.env.insert("GIT_TEMPLATE_DIR".to_owned(), template.into_string());
    let run = site.run_directory("run");
    site.git_clone(&run, json!({"repository": origin.url()})).await.unwrap();
    assert!(run.join("code/.git/hooks/post-checkout").exists(), "the template is used");
    assert!(!site.root.join("hooked").exists());
}
