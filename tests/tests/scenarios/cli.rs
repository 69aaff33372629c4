//! The commands besides `start`.

use worker_tests::harness::DaemonSpec;

const CANARY: &str = "canary-5f1c";

#[tokio::test]
async fn config_show_prints_every_setting_with_its_source_and_no_secret() {
    let spec = DaemonSpec::bare()
        .args(["config", "show"])
        .env("PREFECT_API_URL", format!("http://user:{CANARY}@127.0.0.1:4200/api"))
        .env("PREFECT_API_KEY", CANARY)
        .env("PREFECT_API_AUTH_STRING", format!("admin:{CANARY}"))
        .env("PREFECT_CLIENT_CUSTOM_HEADERS", format!(r#"{{"X-Token": "{CANARY}"}}"#))
        .env("WORKER_START_LIMIT", "7");
    let shown = spec.finish().await;
    assert!(shown.status.success(), "{}", shown.stderr);
    assert!(shown.stdout.contains("WORKER_START_LIMIT = 7    # start.limit (environment WORKER_START_LIMIT)"));
    assert!(shown.stdout.contains("# worker.query_seconds (default)"), "{}", shown.stdout);
    assert!(shown.stdout.contains("PREFECT_API_KEY = ****"), "{}", shown.stdout);
    assert!(!shown.stdout.contains(CANARY) && !shown.stderr.contains(CANARY), "{}{}", shown.stdout, shown.stderr);
}

#[tokio::test]
async fn config_check_names_everything_that_is_wrong_at_once() {
    let spec = DaemonSpec::bare()
        .args(["config", "check"])
        .env("PREFECT_WORKER_QUERY_SECONDS", "soon")
        .env("WORKER_LOG_FORMAT", "xml");
    let checked = spec.finish().await;
    assert!(!checked.status.success());
    for wrong in ["environment PREFECT_WORKER_QUERY_SECONDS", "environment WORKER_LOG_FORMAT"] {
        assert!(checked.stderr.contains(wrong), "{}", checked.stderr);
    }
    let right = DaemonSpec::bare().args(["config", "check"]).finish().await;
    assert!(right.status.success(), "{}", right.stderr);
}

#[tokio::test]
async fn version_and_completions_are_printed() {
    let version = DaemonSpec::bare().arg("version").finish().await;
    assert!(version.status.success() && version.stdout.contains("(API 0.8.4)"), "{}", version.stdout);
    for shell in ["bash", "zsh", "fish"] {
        let completions = DaemonSpec::bare().args(["completions", shell]).finish().await;
        assert!(completions.status.success() && completions.stdout.contains("no-create-pool-if-not-found"), "{shell}");
    }
    let unknown = DaemonSpec::bare().args(["start", "--nope"]).finish().await;
    assert!(unknown.status.code() == Some(2) && unknown.stderr.contains("--nope"), "{}", unknown.stderr);
}
