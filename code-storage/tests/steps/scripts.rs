//! What a script's author reads, what the log shows, and what ends.

use std::time::Duration;

use camino::Utf8Path;
use code_storage::{CodeError, StepError};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, step, told};

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_mins(1);

fn script(inputs: Value) -> Value {
    step("run_shell_script", inputs)
}

fn only(inputs: Value) -> Value {
    json!([script(inputs)])
}

#[tokio::test]
async fn the_output_of_a_script_is_in_the_log_unless_that_is_not_wanted() {
    let bed = Bed::new();
    let run = bed.run_directory("run");
    let steps = json!([
        script(json!({"script": "printf 'one\\n\\ntwo  \\r\\nthree'\nsh -c 'echo four >&2'"})),
        script(json!({"script": "echo quiet", "stream_output": false})),
    ]);
    let pulled = bed.pull(&run, &steps).await.unwrap();
    assert_eq!(bed.log.all(), ["one", "two", "three", "four"]);
    assert_eq!(pulled.executed.iter().map(|step| step.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(bed.log.ended(), [("run_shell_script".to_owned(), true), ("run_shell_script".to_owned(), true)]);
    assert_eq!(pulled.code.directory, run);
    assert_eq!(pulled.code.entrypoint.as_deref(), Some("flows.hello"));
}

#[tokio::test]
async fn a_secret_is_masked_wherever_it_is_printed() {
    let mut bed = Bed::new();
    bed.blocks.insert("secret/token".to_owned(), json!({"value": "t0ps3cret-token"}));
    bed.blocks.insert("secret/key".to_owned(), json!({"value": "-----BEGIN-----\nline-of-the-key\nx\n"}));
    bed.blocks.insert("secret/short".to_owned(), json!({"value": "main"}));
    let run = bed.run_directory("run");
    let inputs = json!({
        "script": "printf '%s\\n%s\\n' \"$TOKEN!\" \"$KEY\"\nsh -c 'echo \"$TOKEN\" $SHORT >&2; exit 1'",
        "env": {
            "TOKEN": "{{ prefect.blocks.secret.token }}", "KEY": "{{ prefect.blocks.secret.key }}",
            "SHORT": "{{ prefect.blocks.secret.short }}",
        },
        "shell": true,
    });
    let failure = bed.pull(&run, &only(inputs)).await.unwrap_err();
    let shown = bed.log.all();
    assert_eq!(shown, ["***!", "***", "***", "x", "*** main"]);
    assert_eq!(bed.log.ended(), [("run_shell_script".to_owned(), false)]);
    let told = format!("{} {failure:?}", told(&failure));
    assert!(told.contains("*** main") && !told.contains("t0ps3cret"), "{told}");
}

#[tokio::test]
async fn a_token_that_a_script_prints_for_a_later_step_is_not_in_the_log() {
    let bed = Bed::new();
    let run = bed.run_directory("run");
    let clone = json!({"repository": "https://127.0.0.1:9/r", "access_token": "{{ login.stdout }}"});
    let steps = json!([
        script(json!({"id": "login", "script": "echo t0ps3cret-token"})),
        {"prefect.deployments.steps.git_clone": clone},
        script(json!({"script": "echo later"})),
    ]);
    let failure = bed.pull(&run, &steps).await.unwrap_err();
    assert_eq!(bed.log.all(), Vec::<String>::new());
    assert_eq!(failure.executed.len(), 1);
    assert_eq!(failure.failed.as_ref().map(|step| step.index), Some(1));
    assert!(!format!("{} {failure:?}", told(&failure)).contains("t0ps3cret"), "{failure:?}");
}

#[tokio::test]
async fn a_failing_script_says_where_and_with_which_last_words() {
    let bed = Bed::new();
    let run = bed.run_directory("run");
    let noisy = "for i in 1 2 3 4 5 6 7; do echo error $i >&2; done; echo out; exit 3";
    let inputs = json!({"script": format!("record before\n\n{noisy}\nrecord after"), "shell": true});
    let steps = json!([script(json!({"script": "true"})), script(inputs)]);
    let failure = bed.pull(&run, &steps).await.unwrap_err();
    assert_eq!(
        told(&failure),
        "line 3 of the step `run_shell_script` ended with exit status: 3: error 3; error 4; error 5; error 6; error 7"
    );
    assert_eq!(fs_err::read_to_string(run.join("args")).unwrap(), "<before>\n");
    assert_eq!(failure.executed.len(), 1);
    assert_eq!(failure.failed.unwrap().index, 1);
    let quiet = bed.pull(&run, &only(json!({"script": "echo only this; exit 1", "shell": true}))).await.unwrap_err();
    assert_eq!(told(&quiet), "line 1 of the step `run_shell_script` ended with exit status: 1: only this");
    let silent = bed.pull(&run, &only(json!({"script": "false"}))).await.unwrap_err();
    assert_eq!(told(&silent), "line 1 of the step `run_shell_script` ended with exit status: 1: it said nothing");
    let missing = bed.pull(&run, &only(json!({"script": "true\nnot-there --token x"}))).await.unwrap_err();
    let missing = told(&missing);
    let said = "line 2 of the step `run_shell_script` could not be started: `not-there`: ";
    assert!(missing.starts_with(said), "{missing}");
    let assignment = bed.pull(&run, &only(json!({"script": "TOKEN=t0ps3cret record x"}))).await.unwrap_err();
    assert!(told(&assignment).contains("its first word") && !told(&assignment).contains("t0ps3cret"));
    let nowhere = bed.pull(&run, &only(json!({"script": "true", "directory": "nowhere"}))).await.unwrap_err();
    let nowhere = told(&nowhere);
    let said = format!("the step `run_shell_script` cannot run in the directory {run}/nowhere: ");
    assert!(nowhere.starts_with(&said), "{nowhere}");
}

#[tokio::test]
async fn an_output_that_turns_out_to_be_of_no_use_names_the_input() {
    let bed = Bed::new();
    let run = bed.run_directory("run");
    for (makes, takes, expected) in [
        (
            "true",
            json!({"script": "true", "directory": "{{ x.stdout }}"}),
            "the input `directory` of the step `run_shell_script` is empty",
        ),
        (
            "printf \"'\"",
            json!({"script": "echo {{ x.stdout }}"}),
            "the input `script` of the step `run_shell_script` has a quotation that is not closed",
        ),
        (
            "printf '{%s prefect.blocks.secret.stolen }}' '{'",
            json!({"script": "echo {{ x.stdout }}"}),
            "an input of the step `run_shell_script` takes a placeholder for block `stolen` of type `secret` from the output of an earlier step",
        ),
        (
            "printf '{%s prefect.blocks.secret }}' '{'",
            json!({"script": "echo {{ x.stdout }}"}),
            "the inputs of the step `run_shell_script` cannot be filled in: in `script`: block placeholder `{{ prefect.blocks.secret }}` does not name a block type and a block",
        ),
    ] {
        let steps = json!([script(json!({"id": "x", "script": makes, "stream_output": false})), script(takes)]);
        assert_eq!(told(&bed.pull(&run, &steps).await.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn the_environment_is_that_of_the_run_and_nothing_else() {
    let mut bed = Bed::new();
    bed.site.environment.insert("OF_RUN".to_owned(), "run".to_owned());
    bed.site.environment.insert("BOTH".to_owned(), "run".to_owned());
    let run = bed.run_directory("run");
    let steps = only(json!({"script": "env > seen", "shell": true, "env": {"BOTH": "step"}}));
    bed.pull(&run, &steps).await.unwrap();
    let seen = fs_err::read_to_string(run.join("seen")).unwrap();
    assert!(seen.contains("OF_RUN=run\n") && seen.contains("BOTH=step\n"), "{seen}");
    // Cargo sets it for this test.
    assert!(!seen.contains("CARGO_MANIFEST_DIR"), "{seen}");
}

#[tokio::test]
async fn much_output_is_no_trouble_unless_a_later_step_wants_it() {
    let bed = Bed::new();
    let run = bed.run_directory("run");
    let much = json!({"id": "much", "script": "head -c 20000000 /dev/zero | tr '\\0' x", "shell": true});
    bed.pull(&run, &json!([script(much.clone()), script(json!({"script": "true"}))])).await.unwrap();
    let lines = bed.log.all();
    assert!(lines.iter().all(|line| line.len() <= 8 * 1024) && !lines.is_empty(), "{}", lines.len());
    let steps = json!([script(much), script(json!({"script": "record {{ much.stdout[0] }}"}))]);
    let failure = bed.pull(&run, &steps).await.unwrap_err();
    assert_eq!(told(&failure), "the step `run_shell_script` wrote more than 16 MiB, which a later step was to take");
}

/// A script that says that it runs, starts another program and never ends.
const ENDLESS: &str = "sh -c 'trap \"\" TERM; echo $$ > inner; exec sleep 1000' & echo started > started; wait";

async fn exists(path: &Utf8Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs.
fn runs(pid: &str) -> bool {
    let stat = fs_err::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

async fn ends(pid: &str) {
    while runs(pid) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_cancelled_script_ends_with_all_that_it_started() {
    let bed = Bed::new();
    let run = bed.run_directory("run");
    let cancel = CancellationToken::new();
    let steps = only(json!({"script": ENDLESS, "shell": true}));
    let inner = run.join("inner");
    let cancelling = async {
        exists(&run.join("started")).await;
        while fs_err::read_to_string(&inner).unwrap_or_default().trim().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cancel.cancel();
    };
    let (pulled, ()) =
        timeout(PATIENCE, async { tokio::join!(bed.pull_until(&run, &steps, &cancel), cancelling) }).await.unwrap();
    assert!(matches!(pulled.unwrap_err().error, CodeError::Step(StepError::Cancelled { .. })));
    let inner = fs_err::read_to_string(&inner).unwrap();
    timeout(PATIENCE, ends(&inner)).await.unwrap();
}

#[tokio::test]
async fn a_script_has_a_time_limit() {
    let mut bed = Bed::new();
    bed.options.step_limit = Duration::from_millis(300);
    let run = bed.run_directory("run");
    let steps = only(json!({"script": "sleep 1000"}));
    let failure = timeout(PATIENCE, bed.pull(&run, &steps)).await.unwrap().unwrap_err();
    assert_eq!(told(&failure), "the step `run_shell_script` did not end within 0.3 s");
}

#[tokio::test]
async fn what_a_script_leaves_running_runs_on() {
    let bed = Bed::new();
    let run = bed.run_directory("run");
    let script = "sleep 1000 > /dev/null 2>&1 & echo $! > left";
    bed.pull(&run, &only(json!({"script": script, "shell": true}))).await.unwrap();
    let left = fs_err::read_to_string(run.join("left")).unwrap();
    assert!(runs(&left));
    let pid = rustix::process::Pid::from_raw(left.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
