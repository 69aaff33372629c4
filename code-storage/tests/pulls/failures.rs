//! Pulls that fail: what is said, how often it is tried, and that nothing unfinished is left.

use std::time::Duration;

use super::origin::{Site, names, read};
use camino::Utf8Path;
use code_storage::CodeError;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn nothing() -> Vec<String> {
    Vec::new()
}

fn step(inputs: &Value) -> Value {
    json!([{"prefect.deployments.steps.git_clone": inputs}])
}

#[tokio::test]
async fn a_missing_branch_names_itself_and_the_repository() {
    let mut site = Site::new();
    let origin = site.repository("code");
    site.replace_git("echo >> \"$SITE/calls\"\nexec $GIT \"$@\"");
    let run = site.run_directory("run");
    let failed = site.git_clone(&run, json!({"repository": origin.url(), "branch": "nope"})).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!(
            "repository {} does not have branch `nope`: fatal: Remote branch nope not found in upstream origin",
            origin.url()
        )
    );
    assert!(failed.hint().contains("`branch`"));
    assert_eq!(names(&run), nothing());
    assert_eq!(site.calls(), 1, "not tried again");
}

#[tokio::test]
async fn a_branch_that_was_deleted_leaves_the_existing_clone_as_it_was() {
    let site = Site::new();
    let origin = site.repository("code");
    origin.git(&["branch", "gone"]);
    let run = site.run_directory("run");
    let inputs = || json!({"repository": origin.url(), "branch": "gone"});
    site.git_clone(&run, inputs()).await.unwrap();
    origin.git(&["branch", "--delete", "gone"]);
    assert!(matches!(site.git_clone(&run, inputs()).await.unwrap_err(), CodeError::RevisionMissing { .. }));
    assert_eq!(read(&run.join("code-gone/flow.py")), "one");
}

#[tokio::test]
async fn a_missing_commit_is_said_to_be_missing_and_leaves_nothing() {
    let site = Site::new();
    let origin = site.repository("code");
    let run = site.run_directory("run");
    for id in ["0123456789012345678901234567890123456789", "0123456"] {
        let failed = site.git_clone(&run, json!({"repository": origin.url(), "commit_sha": id})).await.unwrap_err();
        assert!(
            matches!(&failed, CodeError::RevisionMissing { revision, .. } if revision == &format!("commit `{id}`")),
            "{failed}"
        );
        assert_eq!(names(&run), nothing());
    }
}

#[tokio::test]
async fn a_missing_repository_is_not_tried_again() {
    let mut site = Site::new();
    site.replace_git("echo >> \"$SITE/calls\"\nexec $GIT \"$@\"");
    let run = site.run_directory("run");
    for (number, repository) in [format!("file://{}/nope", site.root), format!("{}/nope", site.root)].iter().enumerate()
    {
        let failed = site.git_clone(&run, json!({"repository": repository})).await.unwrap_err();
        assert!(matches!(&failed, CodeError::NotFound { repository: named, .. } if named == repository), "{failed}");
        assert_eq!(names(&run), nothing());
        assert_eq!(site.calls(), number + 1);
    }
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_and_forgotten() {
    let mut site = Site::new();
    let origin = site.repository("code");
    site.replace_git(
        "if [ ! -e \"$SITE/failed\" ]; then\n\
         touch \"$SITE/failed\"\n\
         mkdir -p \"$SITE/run/.code.partial\"\n\
         echo \"fatal: unable to access 'https://h.test/': Could not resolve host: h.test\" >&2\n\
         exit 128\nfi\nexec $GIT \"$@\"",
    );
    let run = site.run_directory("run");
    let pulled = site.git_clone(&run, json!({"repository": origin.url()})).await.unwrap();
    assert_eq!(pulled.checkouts[0].revision, origin.head());
    assert!(site.root.join("failed").exists());
}

#[tokio::test]
async fn attempts_end_and_the_last_error_is_told_without_its_password() {
    let mut site = Site::new();
    site.replace_git(
        "echo >> \"$SITE/calls\"\nmkdir -p \"$SITE/run/.code.partial/.git\"\n\
         echo \"fatal: unable to access 'https://me:s3cret@h.test/code/': Connection timed out\" >&2\nexit 128",
    );
    let run = site.run_directory("run");
    let failed = site.git_clone(&run, json!({"repository": "https://h.test/code"})).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "repository https://h.test/code could not be reached: \
         fatal: unable to access 'https://***@h.test/code/': Connection timed out"
    );
    assert_eq!(site.calls(), 3);
    assert_eq!(names(&run), nothing());
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_written_and_is_not_tried_again() {
    let mut site = Site::new();
    site.replace_git(
        "echo >> \"$SITE/calls\"\nmkdir -p \"$SITE/run/.code.partial/.git\"\n\
         echo 'fatal: write error: No space left on device' >&2\nexit 128",
    );
    let run = site.run_directory("run");
    let failed = site.git_clone(&run, json!({"repository": "https://h.test/code"})).await.unwrap_err();
    assert!(matches!(&failed, CodeError::DiskFull { directory, .. } if directory == &run.join("code")), "{failed}");
    assert_eq!(names(&run), nothing());
    assert_eq!(site.calls(), 1);
}

#[tokio::test]
async fn an_unfinished_clone_is_never_seen_under_its_name() {
    let mut site = Site::new();
    let origin = site.repository("code");
    origin.commit("flows/a.py", "a");
    site.replace_git(
        "echo >> \"$SITE/calls\"\n\"$GIT\" \"$@\"\nended=$?\n\
         [ ! -e \"$SITE/run/code\" ] || touch \"$SITE/seen\"\nexit $ended",
    );
    let run = site.run_directory("run");
    let inputs = json!({"repository": origin.url(), "commit_sha": origin.head(), "directories": ["flows"]});
    site.git_clone(&run, inputs).await.unwrap();
    assert!(site.calls() > 3, "made in several steps");
    assert!(!site.root.join("seen").exists());
    assert_eq!(read(&run.join("code/flows/a.py")), "a");
}

#[tokio::test]
async fn a_machine_without_git_is_told_to_install_it() {
    let mut site = Site::new();
    let empty = site.run_directory("empty");
    site.options.env.insert("PATH".to_owned(), empty.into_string());
    let run = site.run_directory("run");
    let failed = site.git_clone(&run, json!({"repository": "https://h.test/code"})).await.unwrap_err();
    assert!(matches!(&failed, CodeError::GitMissing { .. }), "{failed}");
    assert!(failed.hint().contains("install git"));
}

/// A `git` that starts a helper and never ends; both ignore being interrupted.
const STUCK: &str = "trap '' TERM\nmkdir -p \"$SITE/run/.code.partial\"\n\
    sh -c 'trap \"\" TERM; echo $$ > \"$0/helper\"; while :; do sleep 60; done' \"$SITE\" &\necho $$ > \"$SITE/leader\"\nwait; wait";

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the condition is met in time");
}

/// Whether the process whose number is in a file has ended; one that nobody has waited for counts.
fn has_ended(file: &Utf8Path) -> bool {
    let number: u32 = read(file).trim().parse().unwrap();
    let Ok(stat) = fs_err::read_to_string(format!("/proc/{number}/stat")) else { return true };
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

fn has_started(file: &Utf8Path) -> bool {
    fs_err::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))
}

#[tokio::test]
async fn a_cancelled_pull_ends_git_with_its_helpers_and_leaves_nothing() {
    let mut site = Site::new();
    site.replace_git(STUCK);
    let run = site.run_directory("run");
    let (leader, helper) = (site.root.join("leader"), site.root.join("helper"));
    let cancel = CancellationToken::new();
    let steps = step(&json!({"repository": "https://h.test/code"}));
    let (failed, ()) = tokio::join!(site.pull_until(&run, &steps, &cancel), async {
        until(|| has_started(&leader) && has_started(&helper)).await;
        cancel.cancel();
    });
    let failed = failed.unwrap_err();
    assert_eq!(failed.to_string(), "the pull of repository https://h.test/code was cancelled");
    assert_eq!(names(&run), nothing());
    until(|| has_ended(&leader) && has_ended(&helper)).await;
}

#[tokio::test]
async fn a_dropped_pull_ends_git_with_its_helpers() {
    let mut site = Site::new();
    site.replace_git(STUCK);
    let run = site.run_directory("run");
    let (leader, helper) = (site.root.join("leader"), site.root.join("helper"));
    tokio::select! {
        pulled = site.git_clone(&run, json!({"repository": "https://h.test/code"})) => panic!("{pulled:?}"),
        () = until(|| has_started(&leader) && has_started(&helper)) => {}
    }
    until(|| has_ended(&leader) && has_ended(&helper)).await;
    assert!(!run.join("code").exists());
}

#[tokio::test]
async fn a_pull_that_takes_too_long_ends() {
    let mut site = Site::new();
    site.replace_git("exec sleep 600");
    site.options.time_limit = Duration::from_millis(100);
    let run = site.run_directory("run");
    let failed = site.git_clone(&run, json!({"repository": "https://h.test/code"})).await.unwrap_err();
    assert_eq!(failed.to_string(), "repository https://h.test/code was not pulled within 0.1 s");
    assert_eq!(names(&run), nothing());
}

#[tokio::test]
async fn a_lock_that_the_sdk_holds_is_waited_for_and_no_longer_than_the_limit() {
    let mut site = Site::new();
    let origin = site.repository("code");
    let run = site.run_directory("run");
    let held = std::fs::File::create(run.join("code.lock")).unwrap();
    held.lock().unwrap();
    site.options.time_limit = Duration::from_millis(100);
    let inputs = || json!({"repository": origin.url()});
    assert!(matches!(site.git_clone(&run, inputs()).await.unwrap_err(), CodeError::TimedOut { .. }));

    site.options.time_limit = Duration::from_mins(1);
    let (pulled, ()) = tokio::join!(site.git_clone(&run, inputs()), async {
        tokio::task::yield_now().await;
        held.unlock().unwrap();
    });
    pulled.unwrap();
}

#[tokio::test]
async fn a_helper_that_outlives_git_with_its_output_open_does_not_hold_up_the_pull() {
    let mut site = Site::new();
    let origin = site.repository("code");
    site.options.time_limit = Duration::MAX;
    site.replace_git("sleep 600 &\necho $! >> \"$SITE/helpers\"\n$GIT \"$@\"");
    let run = site.run_directory("run");
    let pulled = site.git_clone(&run, json!({"repository": origin.url()})).await;
    for helper in read(&site.root.join("helpers")).lines() {
        let helper = rustix::process::Pid::from_raw(helper.parse().unwrap()).unwrap();
        rustix::process::kill_process(helper, rustix::process::Signal::KILL).unwrap();
    }
    assert_eq!(pulled.unwrap().checkouts[0].revision, origin.head());
}

#[tokio::test]
async fn a_missing_working_directory_and_a_missing_entrypoint_are_named() {
    let site = Site::new();
    let run = site.run_directory("run");
    let to = |directory: &str| json!([{"prefect.deployments.steps.set_working_directory": {"directory": directory}}]);
    let failed = site.pull(&run, &to("nope")).await.unwrap_err();
    assert_eq!(failed.to_string(), format!("the directory {run}/nope cannot be used"));
    let failed = site.pull(&run, &to(".")).await.unwrap_err();
    assert_eq!(failed.to_string(), format!("the entrypoint's file {run}/flow.py does not exist"));
    fs_err::write(run.join("flow.py"), "").unwrap();
    assert_eq!(
        site.pull(&run, &to("flow.py")).await.unwrap_err().to_string(),
        format!("the directory {run}/flow.py cannot be used")
    );
    site.pull(&run, &to(".")).await.unwrap();
}
