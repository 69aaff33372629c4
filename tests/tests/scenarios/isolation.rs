//! The worker's policy, its audit log, and what runs get of the worker.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use worker_tests::harness::{DaemonSpec, DeploymentSpec, SOON, command_variables, repository_of, workspace_root};

use central_api_wire::state::StateType;

use crate::in_memory::InMemory;

const CANARY: &str = "canary-7d20";

/// Commands of `sh` and nothing else, and no pull step that is a script.
const RULES: &str = r#"
[[rule]]
name = "only-sh"
help = "Ask #platform."
commands.allow = ["sh *"]

[[rule]]
name = "no-scripts"
pull_steps.deny = ["*run_shell_script"]
"#;

/// A folder that only the daemon's operator can write to.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_policy_refuses_runs_for_good_and_bad_news_of_it_leaves_it_in_force() {
    let (it, folder) = (InMemory::start().await, folder());
    let (policy, audit) = (folder.path().join("policy.toml"), folder.path().join("audit.jsonl"));
    fs_err::write(&policy, RULES).unwrap();
    let pool = it.lab.pool().await;
    let daemon = pool.daemon().env("WORKER_POLICY_FILE", &policy).env("WORKER_AUDIT_FILE", &audit);
    let daemon = daemon.env("WORKER_START_RERUN_ON", "submit_failed").started().await;
    daemon.stderr.wait_for("only-sh, no-scripts", SOON).await;

    let refused = pool.run(pool.command("touch /tmp/never").await).await;
    let state = it.lab.reaches(refused, StateType::Crashed).await;
    let message = state.message.unwrap();
    assert!(
        message.contains("by the rule `only-sh`: the command `touch ...`") && message.ends_with("Ask #platform."),
        "{message}"
    );
    let allowed = pool.run(pool.command("sh -c true").await).await;
    it.lab.reaches(allowed, StateType::Completed).await;

    fs_err::write(&policy, "[[rule]]\nname = \"x\"\ncommand.allow = []\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.stderr.wait_for("the rules from before stay in force", SOON).await;
    let also_refused = pool.run(pool.command("touch /tmp/never").await).await;
    it.lab.reaches(also_refused, StateType::Crashed).await;

    fs_err::write(&policy, RULES.replace("sh *", "*")).unwrap();
    daemon.signal(Signal::HUP);
    let answered = it.lab.until("the new rules", async || {
        let run = pool.run(pool.command("true").await).await;
        (it.lab.ends(run, SOON).await.state_type == StateType::Completed).then_some(())
    });
    answered.await;
    let text = fs_err::read_to_string(&audit).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for run in [refused, also_refused] {
        let is_its = |line: &&Value| line["event"] == "refuse" && line["flow_run_id"] == run.to_string();
        let rules: Vec<&Value> = lines.iter().filter(is_its).map(|line| &line["rule"]).collect();
        assert_eq!(rules, ["only-sh"], "{text}");
    }
    assert!(lines.iter().any(|line| line["event"] == "end" && line["why"] == "completed with 0"), "{text}");
}

#[tokio::test]
async fn a_script_among_the_pull_steps_is_refused_before_it_runs() {
    let (it, folder) = (InMemory::start().await, folder());
    let (policy, made) = (folder.path().join("policy.toml"), folder.path().join("made"));
    fs_err::write(&policy, RULES).unwrap();
    let pool = it.lab.pool().await;
    let script = format!("touch {}", made.display());
    let deployment = pool
        .deployment(DeploymentSpec {
            pull_steps: Some(json!([{"prefect.deployments.steps.run_shell_script": {"script": script}}])),
            entrypoint: Some("flow.py:main".to_owned()),
            ..DeploymentSpec::default()
        })
        .await;
    let daemon = pool.daemon().env("WORKER_POLICY_FILE", &policy).env("WORKER_PROCESS_PYTHON", "/bin/true");
    let _daemon = daemon.started().await;
    let run = pool.run(deployment).await;
    let state = it.lab.reaches(run, StateType::Crashed).await;
    assert!(state.message.unwrap().contains("by the rule `no-scripts`"));
    assert!(!made.exists());
}

#[tokio::test]
async fn a_daemon_does_not_start_without_the_rules_it_was_given() {
    let (it, folder) = (InMemory::start().await, folder());
    let policy = folder.path().join("policy.toml");
    let pool = it.lab.pool().await;
    let start = || pool.daemon().env("WORKER_POLICY_FILE", &policy).finish();
    let missing = start().await;
    assert!(!missing.status.success() && missing.stderr.contains("policy.toml"), "{}", missing.stderr);
    fs_err::write(&policy, "[[rule]]\nname = \"x\"\nimage.allow = []\n").unwrap();
    let misspelt = start().await;
    assert!(
        misspelt.stderr.contains("policy.toml:3: unknown key `rule.image`, did you mean `rule.images`?"),
        "{}",
        misspelt.stderr
    );
    fs_err::write(&policy, RULES).unwrap();
    fs_err::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let open = start().await;
    assert!(open.stderr.contains("can be written by its group or by everybody"), "{}", open.stderr);
}

#[tokio::test]
async fn whether_a_run_would_be_allowed_can_be_asked_beforehand() {
    let (it, folder) = (InMemory::start().await, folder());
    let policy = folder.path().join("policy.toml");
    fs_err::write(&policy, RULES).unwrap();
    let pool = it.lab.pool().await;
    let worker = |args: &[&str]| {
        DaemonSpec::bare()
            .args(args)
            .env("PREFECT_API_URL", it.lab.api.api_url())
            .env("WORKER_POLICY_FILE", &policy)
            .finish()
    };
    let checked = worker(&["policy", "check"]).await;
    assert!(
        checked.status.success() && checked.stdout.contains("only-sh, no-scripts"),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    for (command, code, said) in [("sh -c true", 0, "allowed: "), ("curl x", 1, "by the rule `only-sh`")] {
        let deployment = pool.command(command).await.to_string();
        let tested = worker(&["policy", "test", "--deployment", &deployment]).await;
        assert_eq!(tested.status.code(), Some(code), "{}{}", tested.stdout, tested.stderr);
        assert!(tested.stdout.contains(said), "{}", tested.stdout);
        // The same from a file, without an API.
        let asked = folder.path().join("asked.json");
        fs_err::write(&asked, worker(&["policy", "test", "--json", "--deployment", &deployment]).await.stdout).unwrap();
        let again = worker(&["policy", "test", "--file", asked.to_str().unwrap()]).await;
        assert_eq!(again.status.code(), Some(code), "{}{}", again.stdout, again.stderr);
    }
    // The run's own job variables count.
    let deployment = pool.command("sh -c true").await;
    let run = it.lab.api.create_run(
        deployment,
        worker_tests::harness::RunSpec { job_variables: command_variables("curl x"), ..Default::default() },
    );
    let tested = worker(&["policy", "test", "--flow-run", &run.await.to_string()]).await;
    assert_eq!(tested.status.code(), Some(1), "{}{}", tested.stdout, tested.stderr);
    let unknown = worker(&["policy", "test", "--deployment", "no/such"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{}{}", unknown.stdout, unknown.stderr);
}

#[tokio::test]
async fn runs_get_their_own_api_key_and_nothing_that_is_the_workers() {
    let (it, folder) = (InMemory::start().await, folder());
    let key = folder.path().join("key");
    fs_err::write(&key, "pnu_of_runs\n").unwrap();
    let credentials = folder.path().join(CANARY);
    fs_err::create_dir(&credentials).unwrap();
    let pool = it.lab.pool().await;
    let daemon = pool
        .daemon()
        .env("PREFECT_API_KEY", format!("pnu_{CANARY}"))
        .env("WORKER_API_RUN_API_KEY_FILE", &key)
        .env("DATABASE_URL", CANARY)
        .env("WORKER_SOMETHING", CANARY)
        .env("CREDENTIALS_DIRECTORY", &credentials);
    let daemon = daemon.started().await;
    let mut variables = command_variables("env");
    variables.insert("env".to_owned(), json!({"STOLEN": "{{ $WORKER_SOMETHING }}{{ $PREFECT_API_KEY }}"}));
    let deployment = pool.deployment(DeploymentSpec { job_variables: variables, ..DeploymentSpec::default() }).await;
    let run = pool.run(deployment).await;
    it.lab.reaches(run, StateType::Completed).await;
    daemon.stdout.wait_for("PREFECT_API_KEY=pnu_of_runs", SOON).await;
    let output = daemon.stdout.lines().join("\n");
    assert!(!output.contains(CANARY), "{output}");
    let said = it.lab.logged(run, "do not get these variables of the worker's environment: DATABASE_URL.").await;
    assert!(!said.message.contains(CANARY));
}

/// Commits everything, signed with the key.
fn commit(repository: &Path, key: &Path, more: &[&str]) {
    let key = format!("user.signingKey={}", key.display());
    let git = |arguments: &[&str]| {
        let mut all = vec!["-c", "user.name=T", "-c", "user.email=t@example.test", "-c", "gpg.format=ssh", "-c", &key];
        all.extend(arguments);
        let done = Command::new("git").arg("-C").arg(repository).args(all).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["add", "--all"]);
    git(&[["commit", "--quiet", "--allow-empty", "--message", "x"].as_slice(), more].concat());
}

#[tokio::test]
async fn code_that_nobody_has_signed_is_not_run() {
    let (it, folder) = (InMemory::start().await, folder());
    let (policy, audit) = (folder.path().join("policy.toml"), folder.path().join("audit.jsonl"));
    let (key, signers) = (folder.path().join("key"), folder.path().join("signers"));
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let public = fs_err::read_to_string(key.with_extension("pub")).unwrap();
    fs_err::write(&signers, format!("alice@example.test {public}")).unwrap();
    let rules = format!(
        "[[rule]]\nname = \"reviewed\"\nhelp = \"Ask #platform.\"\nrepositories.signed_by.ssh_allowed_signers = \"{}\"\n",
        signers.display()
    );
    fs_err::write(&policy, rules).unwrap();
    let repository = tempfile::tempdir().unwrap();
    let address = repository_of(&workspace_root().join("tests/flows"), repository.path());
    let pool = it.lab.pool().await;
    let clone = json!({"repository": address, "branch": "main"});
    let spec = |command: Option<&str>| DeploymentSpec {
        pull_steps: Some(json!([{"prefect.deployments.steps.git_clone": clone}])),
        entrypoint: Some("flows.py:succeeds".to_owned()),
        job_variables: command.map(command_variables).unwrap_or_default(),
        ..DeploymentSpec::default()
    };
    let deployment = pool.deployment(spec(None)).await;
    // Stands for the engine.
    let daemon = pool.daemon().env("WORKER_PROCESS_PYTHON", "/bin/true");
    let daemon = daemon.env("WORKER_POLICY_FILE", &policy).env("WORKER_AUDIT_FILE", &audit).started().await;

    let state = it.lab.reaches(pool.run(deployment).await, StateType::Crashed).await;
    let message = state.message.unwrap();
    assert!(message.contains("by the rule `reviewed`: the commit ") && message.contains("is not signed"), "{message}");
    assert!(message.ends_with("Ask #platform."), "{message}");

    commit(repository.path(), &key, &["--gpg-sign"]);
    let signed = pool.run(deployment).await;
    it.lab.logged(signed, "the code is in place").await;

    commit(repository.path(), &key, &["--no-gpg-sign"]);
    let state = it.lab.reaches(pool.run(deployment).await, StateType::Crashed).await;
    assert!(state.message.unwrap().contains("by the rule `reviewed`: the commit "), "the branch was moved");

    // What the worker does not bring itself it cannot verify.
    let of_its_own = pool.deployment(spec(Some("true"))).await;
    let state = it.lab.reaches(pool.run(of_its_own).await, StateType::Crashed).await;
    assert!(state.message.unwrap().contains("cannot be verified"));

    let tested = DaemonSpec::bare().env("PREFECT_API_URL", it.lab.api.api_url()).env("WORKER_POLICY_FILE", &policy);
    let tested = tested.args(["policy", "test", "--deployment", &deployment.to_string()]).finish().await;
    assert!(tested.stdout.contains("the rule `reviewed` refuses it unless its commit"), "{}", tested.stdout);
    drop(daemon);
    let text = fs_err::read_to_string(&audit).unwrap();
    let refused = text.lines().filter(|line| line.contains("\"event\":\"refuse\"") && line.contains("\"reviewed\""));
    assert_eq!(refused.count(), 3, "{text}");
}

/// What a run may have open shows which profile it has.
const PROFILES: &str = "[[sandbox_profile]]\nname = 'small'\nmax_open_files = 61\n\
    [[sandbox_profile]]\nname = 'big'\nmax_open_files = 122\n";

#[tokio::test]
async fn a_run_has_the_profile_of_its_pool_or_one_that_the_pool_allows() {
    let (it, folder) = (InMemory::start().await, folder());
    let pool = it.lab.pool().await;
    let config = folder.path().join("worker.toml");
    let of_pool = format!("[[pool]]\nname = '{}'\nsandbox = 'small'\nsandbox_allow = ['big']\n", pool.name);
    fs_err::write(&config, format!("{PROFILES}{of_pool}")).unwrap();
    let daemon = pool.daemon().arg("--config").arg(&config).started().await;
    let command = "sh -c 'echo may open $(ulimit -n)'";
    let with = async |sandbox: Option<&str>| {
        let mut variables = command_variables(command);
        variables.extend(sandbox.map(|name| ("sandbox".to_owned(), json!(name))));
        pool.deployment(DeploymentSpec { job_variables: variables, ..DeploymentSpec::default() }).await
    };
    it.lab.reaches(pool.run(with(None).await).await, StateType::Completed).await;
    daemon.stdout.wait_for("may open 61", SOON).await;
    let big = with(Some("big")).await;
    it.lab.reaches(pool.run(big).await, StateType::Completed).await;
    daemon.stdout.wait_for("may open 122", SOON).await;
    let state = it.lab.reaches(pool.run(with(Some("default")).await).await, StateType::Crashed).await;
    let message = state.message.unwrap();
    assert!(
        message.contains("`sandbox` is `default`, and the worker offers runs of this pool `small`, `big`"),
        "{message}"
    );

    let worker = |args: &[&str]| {
        let spec = DaemonSpec::bare().with_python().env("PREFECT_API_URL", it.lab.api.api_url());
        spec.arg("--config").arg(&config).args(args.to_vec())
    };
    let policy = folder.path().join("policy.toml");
    fs_err::write(&policy, "[[rule]]\nname = \"tight\"\nsandboxes.allow = [\"small\"]\n").unwrap();
    let big = big.to_string();
    let shown = worker(&["render", "--deployment", &big]).env("WORKER_POLICY_FILE", &policy).finish().await;
    assert!(shown.stdout.contains("\n  sandbox: big"), "{}{}", shown.stdout, shown.stderr);
    assert!(shown.stdout.contains("policy: \"refused by the rule `tight`: the sandbox `big`"), "{}", shown.stdout);
    for (deployment, code) in [(big, 1), (with(None).await.to_string(), 0)] {
        let tested = worker(&["policy", "test", "--policy", policy.to_str().unwrap(), "--deployment", &deployment]);
        let tested = tested.finish().await;
        assert_eq!(tested.status.code(), Some(code), "{}{}", tested.stdout, tested.stderr);
    }
}

#[tokio::test]
async fn a_shadow_says_what_the_policy_would_refuse() {
    let (it, folder) = (InMemory::start().await, folder());
    let pool = it.lab.pool().await;
    let policy = folder.path().join("policy.toml");
    fs_err::write(&policy, RULES).unwrap();
    pool.run(pool.command("curl x").await).await;
    let shadow = DaemonSpec::bare().with_python().env("PREFECT_API_URL", it.lab.api.api_url());
    let shadow = shadow.env("WORKER_POLICY_FILE", &policy).args(["shadow", "--pool", &pool.name, "--for", "1"]);
    let said = shadow.finish().await;
    assert_eq!(said.status.code(), Some(1), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("would be set to Crashed") && said.stdout.contains("`only-sh`"), "{}", said.stdout);
}
