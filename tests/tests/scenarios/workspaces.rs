//! Several APIs in one worker: nothing of one gets to another, and each goes on by itself.

#![expect(clippy::float_cmp, reason = "a gauge is 0 or 1")]

use std::time::Duration;

use central_api_wire::state::StateType;
use http::StatusCode;
use serde_json::json;
use worker_tests::api::store::RequestRecord;
use worker_tests::faults::{Fault, FaultProxy, Rule};
use worker_tests::harness::{
    Daemon, DaemonSpec, DeploymentSpec, LabPool, Monitor, SOON, Scrape, command_variables, process_template, until,
};

use crate::collector::Collector;
use crate::in_memory::InMemory;
use crate::marks::Marks;
use crate::operator::{answer, typed};

/// The same name at every API.
const POOL: &str = "shared";

/// Two APIs with a pool of the same name, and the settings that name both.
struct Two {
    acme: InMemory,
    beta: InMemory,
    acme_pool: LabPool,
    beta_pool: LabPool,
    files: Marks,
}

const ACME_KEY: &str = "pnu_of-acme";
const BETA_KEY: &str = "pnu_of-beta";

/// Bound for what takes half a minute by itself.
const LONG: Duration = Duration::from_mins(3);

async fn pool_of(api: &InMemory) -> LabPool {
    api.lab.api.create_pool(POOL, "process", process_template()).await;
    api.lab.pool_named(POOL).await
}

impl Two {
    async fn start() -> Self {
        let (acme, beta, files) = (InMemory::start().await, InMemory::start().await, Marks::new());
        let (acme_pool, beta_pool) = (pool_of(&acme).await, pool_of(&beta).await);
        fs_err::write(files.path("beta.key"), format!("{BETA_KEY}\n")).unwrap();
        let text = format!(
            "[[workspace]]\nname = 'acme'\napi_url = '{}'\napi_key = '{ACME_KEY}'\n\
             [[workspace]]\nname = 'beta'\napi_url = '{}'\napi_key_file = 'beta.key'\n\
             custom_headers = {{ X-Tenant = 'beta' }}\n\
             [[pool]]\nname = '{POOL}'\nworkspace = 'acme'\n[[pool]]\nname = '{POOL}'\nworkspace = 'beta'\n",
            acme.api.url(),
            beta.api.url()
        );
        fs_err::write(files.path("worker.toml"), text).unwrap();
        Self { acme, beta, acme_pool, beta_pool, files }
    }

    /// The surroundings have a key of their own, which is for neither.
    fn daemon(&self) -> DaemonSpec {
        DaemonSpec::start("http://127.0.0.1:9/api")
            .env("PREFECT_API_KEY", "pnu_of-nobody")
            .env("PREFECT_CLIENT_CUSTOM_HEADERS", r#"{"X-Tenant": "nobody"}"#)
            .name("both")
            .arg("--config")
            .arg(self.files.path("worker.toml"))
    }

    /// Every request to each of them has the key and headers of its workspace, and no other's.
    fn keys_are_apart(&self) {
        for (api, key, tenant) in [(&self.acme, ACME_KEY, ""), (&self.beta, BETA_KEY, "beta")] {
            let requests = api.store().read(|tables| tables.requests().to_vec());
            let by_the_worker = |request: &&RequestRecord| request.header("user-agent").starts_with("prefect/");
            let ours: Vec<_> = requests.iter().filter(by_the_worker).collect();
            assert!(!ours.is_empty());
            for request in ours {
                // Websockets spell the scheme in small letters.
                let shown = request.header("authorization").split_once(' ').map(|(_, key)| key);
                let what = format!("{} {}", request.method, request.path);
                assert_eq!((shown, request.header("x-tenant")), (Some(key), tenant), "{what}");
            }
        }
    }
}

async fn both_started(daemon: &Daemon) {
    let served = async || {
        let status = answer(daemon, &["status"]).await;
        let pools = status[0]["pools"].as_array().unwrap();
        pools.iter().all(|pool| pool["health"] == "ok").then_some(())
    };
    until(SOON, "both pools to be served", served).await;
}

#[tokio::test]
async fn two_workspaces_have_their_own_keys_pools_and_runs() {
    let (two, marks) = (Two::start().await, Marks::new());
    let mut runs = Vec::new();
    for (pool, name) in [(&two.acme_pool, "acme"), (&two.beta_pool, "beta")] {
        let stealing = json!({"SEEN": "{{ $PREFECT_API_KEY }}"});
        let mut job_variables = command_variables(&marks.shell(&format!("env > {name}")));
        job_variables.insert("env".to_owned(), stealing);
        let deployment = pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await;
        runs.push((pool, pool.run(deployment).await));
    }
    let daemon = two.daemon().started().await;
    for (pool, run) in runs {
        pool.lab.reaches(run, StateType::Completed).await;
    }
    both_started(&daemon).await;
    for (api, name, key) in [(&two.acme, "acme", ACME_KEY), (&two.beta, "beta", BETA_KEY)] {
        let environment = fs_err::read_to_string(marks.path(name)).unwrap();
        let has = |line: String| environment.lines().any(|it| it == line);
        assert!(has(format!("PREFECT_API_URL={}", api.lab.api.api_url())), "{environment}");
        assert!(has(format!("PREFECT_API_KEY={key}")), "{environment}");
        assert!(!environment.contains("of-nobody"), "{environment}");
        let other = if name == "acme" { BETA_KEY } else { ACME_KEY };
        assert!(!environment.contains(other), "{environment}");
    }
    two.keys_are_apart();

    let status = typed(&daemon, &["status"]).await.stdout;
    for text in ["acme/shared", "beta/shared", "workspace acme: http", "workspace beta: http"] {
        assert!(status.contains(text), "{text} is not in {status}");
    }
    let config = DaemonSpec::bare().arg("--config").arg(two.files.path("worker.toml"));
    let shown = config.args(["config", "show", "--set"]).finish().await.stdout;
    assert!(shown.contains("workspace.acme.api_key = ********"), "{shown}");
    assert!(!shown.contains("pnu_"), "{shown}");
}

#[tokio::test]
async fn the_traces_of_both_workspaces_say_which_they_are_of() {
    let (two, collector) = (Two::start().await, Collector::start().await);
    let mut runs = Vec::new();
    for pool in [&two.acme_pool, &two.beta_pool] {
        runs.push(pool.run(pool.command("true").await).await.to_string());
    }
    let _daemon = two.daemon().env("WORKER_OTLP_ENDPOINT", collector.url()).started().await;
    let spans = collector.has("run", 2).await;
    for (run, workspace) in runs.iter().zip(["acme", "beta"]) {
        let root = spans.iter().find(|span| span.attributes.get("prefect.run.id") == Some(run)).unwrap();
        assert_eq!(root.attributes["worker.workspace"], workspace);
    }
    two.keys_are_apart();
}

#[tokio::test]
async fn a_workspace_that_is_away_or_refuses_holds_up_no_other() {
    let mut two = Two::start().await;
    two.acme.api.stop().await;
    let run = two.beta_pool.run(two.beta_pool.command("true").await).await;
    let daemon = two.daemon().started().await;
    two.beta.lab.reaches(run, StateType::Completed).await;
    let status = answer(&daemon, &["status"]).await;
    let health = |at: usize| status[0]["pools"][at]["health"].as_str().unwrap().to_owned();
    assert_eq!([health(0), health(1)], ["opening", "ok"]);
    // It is served as soon as it is there.
    two.acme.api.restart().await.unwrap();
    let run = two.acme_pool.run(two.acme_pool.command("true").await).await;
    two.acme.lab.reaches(run, StateType::Completed).await;
    two.keys_are_apart();
}

/// A key that was revoked while the worker runs.
#[tokio::test]
async fn a_workspace_that_refuses_its_key_holds_up_no_other_and_is_named_by_readyz_and_the_metrics() {
    let two = Two::start().await;
    let proxy = FaultProxy::start(two.acme.api.url(), 1).await.unwrap();
    let settings = fs_err::read_to_string(two.files.path("worker.toml")).unwrap();
    let settings = settings.replace(two.acme.api.url().as_str(), proxy.url().as_str());
    fs_err::write(two.files.path("worker.toml"), settings).unwrap();
    let daemon = two.daemon().monitored().started().await;
    let monitor = Monitor::of(&daemon).await;
    both_started(&daemon).await;
    let revoked = proxy.add(Rule::on("**", Fault::status(401)));
    let up = |now: &Scrape, place: &str| now.sum("worker_pool_up", &[&format!("pool=\"{place}\"")]);
    // It counts as away once its polls were not answered for half a minute.
    let shown = until(LONG, "the metrics to name the pool", async || {
        let now = monitor.scrape().await;
        (up(&now, "acme/shared") == 0.0 && up(&now, "beta/shared") == 1.0).then_some(now)
    });
    let shown = shown.await;
    assert!(shown.sum("worker_api_requests_total", &["code=\"401\""]) > 0.0);
    let run = two.beta_pool.run(two.beta_pool.command("true").await).await;
    two.beta.lab.reaches(run, StateType::Completed).await;
    let body = monitor.until("/readyz", StatusCode::OK).await;
    let reasons = body["reasons"].to_string();
    assert!(reasons.contains("work pool 'acme/shared'") && !reasons.contains("beta/shared"), "{body}");
    assert_eq!(monitor.get("/livez").await.0, StatusCode::OK, "a restart would not help");

    proxy.lift(revoked);
    let run = two.acme_pool.run(two.acme_pool.command("true").await).await;
    two.acme.lab.reaches_within(run, StateType::Completed, LONG).await;
    let is_well = async || (up(&monitor.scrape().await, "acme/shared") == 1.0).then_some(());
    until(LONG, "the pool to be served again", is_well).await;
    two.keys_are_apart();
}

#[tokio::test]
async fn the_runs_of_both_workspaces_outlive_a_killed_worker() {
    let (two, marks) = (Two::start().await, Marks::new());
    let mut runs = Vec::new();
    for pool in [&two.acme_pool, &two.beta_pool] {
        runs.push((pool, pool.run(pool.command(&marks.held_command(0)).await).await));
    }
    let daemon = two.daemon().started().await;
    marks.count(2).await;
    for (pool, run) in &runs {
        pool.lab.reaches(*run, StateType::Running).await;
    }
    let home = daemon.kill().await;
    let daemon = two.daemon().spawn_in(home);
    daemon.stderr.wait_for("Taking over 1 runs", SOON).await;
    let id = runs[1].1.to_string();
    let told = async || {
        let why = typed(&daemon, &["why", &id]).await.stdout;
        why.contains("pool 'beta/shared'").then_some(())
    };
    until(SOON, "the run of the other workspace", told).await;
    let cancelled = typed(&daemon, &["cancel", &id]).await;
    assert!(cancelled.stdout.contains("is stopping it"), "{}{}", cancelled.stdout, cancelled.stderr);
    two.beta.lab.reaches(runs[1].1, StateType::Cancelled).await;
    marks.release();
    two.acme.lab.reaches(runs[0].1, StateType::Completed).await;
    assert_eq!(marks.made(), ["started", "started"], "nothing was executed twice");
    two.keys_are_apart();
}

#[tokio::test]
async fn a_worker_that_got_workspaces_finds_what_it_had_before() {
    let (two, marks) = (Two::start().await, Marks::new());
    let run = two.acme_pool.run(two.acme_pool.command(&marks.held_command(0)).await).await;
    let before = two.acme_pool.daemon().name("both").started().await;
    two.acme.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    let home = before.kill().await;
    let after = two.daemon().spawn_in(home);
    after.stderr.wait_for("Taking over 1 runs", SOON).await;
    marks.release();
    two.acme.lab.reaches(run, StateType::Completed).await;
    assert_eq!(marks.made(), ["started"]);
}

#[tokio::test]
async fn settings_of_workspaces_that_cannot_be_used_are_explained() {
    let files = Marks::new();
    let check = async |text: &str| {
        fs_err::write(files.path("worker.toml"), text).unwrap();
        let spec = DaemonSpec::bare().args(["--config"]).arg(files.path("worker.toml")).args(["config", "check"]);
        spec.finish().await.stderr
    };
    let one = "[[workspace]]\nname = 'a'\napi_url = 'http://h/api'\n";
    for (text, complaint) in [
        ("[[workspace]]\napi_url = 'http://h/api'\n", "`workspace.name` must be given"),
        ("[[workspace]]\nname = 'a'\n", "`workspace.api_url` must be given, or a `profile` that has one"),
        ("[[workspace]]\nname = 'a'\nprofile = 'none'\n", "names no profile: there is no 'none'"),
        (
            "[[workspace]]\nname = 'a'\napi_url = 'http://h/api'\napi_key_file = 'none'\n",
            "`workspace.api_key_file` cannot be read",
        ),
        (&format!("{one}[[workspace]]\nname = 'b'\napi_url = 'http://u:p@h/api'\n"), "is the same for `a` and `b`"),
        (
            &format!("{one}[[pool]]\nname = 'p'\nworkspace = 'b'\n"),
            "names a workspace that has no `[[workspace]]` table: `b`",
        ),
        (&format!("{one}[start]\npool = ['b/p']\n"), "names a workspace that has no `[[workspace]]` table: `b`"),
    ] {
        let told = check(text).await;
        assert!(told.contains(complaint), "{complaint:?} is not in {told:?}");
        assert!(!told.contains("u:p@"), "{told}");
    }
}

#[tokio::test]
async fn commands_that_look_ask_the_api_of_the_workspace() {
    let two = Two::start().await;
    let job_variables = command_variables("true");
    let deployment = two.beta_pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await;
    let run = two.beta_pool.run(deployment).await;
    let command = |words: &[&str]| {
        let config = DaemonSpec::bare().with_python().arg("--config").arg(two.files.path("worker.toml"));
        config.args(words.to_vec())
    };

    let done = command(&["doctor", "--json"]).finish().await;
    let checks: Vec<serde_json::Value> = serde_json::from_str(&done.stdout).unwrap();
    for name in ["acme: api", "acme: pool shared", "beta: login", "beta: channel of pool shared", "process"] {
        let check =
            checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {checks:#?}"));
        assert_eq!(check["findings"][0]["severity"], "ok", "{check}");
    }
    assert!(checks.iter().all(|check| check["name"] != "api"), "{}", done.stdout);
    assert_eq!(done.status.code(), Some(0), "{}", done.stdout);

    let (run, deployment) = (run.to_string(), deployment.to_string());
    let done = command(&["render", &run, "--workspace", "beta"]).finish().await;
    assert!(done.status.success() && done.stdout.contains("pool: \"shared\""), "{}{}", done.stdout, done.stderr);
    assert!(!done.stdout.contains(BETA_KEY), "{}", done.stdout);
    let done = command(&["render", &run, "--workspace", "acme"]).finish().await;
    assert!(done.status.code() == Some(1) && done.stderr.contains("flow run"), "{}{}", done.stdout, done.stderr);
    let done = command(&["doctor", "--json", "--deployment", &deployment, "--workspace", "beta"]).finish().await;
    assert!(done.stdout.contains("beta: code of"), "{}{}", done.stdout, done.stderr);
    for command_line in [["render", run.as_str()], ["doctor", "--deployment=a/b"]] {
        let done = command(&command_line).args(["--workspace", "gamma"]).finish().await;
        assert!(done.status.code() == Some(1) && done.stderr.contains("`gamma`"), "{}", done.stderr);
    }
    let policy = two.files.path("policy.toml");
    fs_err::write(&policy, "[[rule]]\nname = \"x\"\ncommands.allow = [\"true\"]\n").unwrap();
    let (policy, into) = (policy.to_str().unwrap().to_owned(), two.files.path("code"));
    let into = into.to_str().unwrap();
    for (command_line, said) in [
        (vec!["policy", "test", "--policy", &policy, "--deployment", &deployment], "allowed: "),
        (vec!["pull", "--deployment", &deployment, "--into", into], "no pull steps"),
        (vec!["cache", "list"], "0 entries"),
    ] {
        let done = command(&command_line).args(["--workspace", "beta"]).finish().await;
        assert!(done.status.success() && done.stdout.contains(said), "{}{}", done.stdout, done.stderr);
        let done = command(&command_line).args(["--workspace", "gamma"]).finish().await;
        assert!(!done.status.success() && done.stderr.contains("`gamma`"), "{}{}", done.stdout, done.stderr);
    }
    let done = command(&["shadow", "--pool", "beta/shared", "--for", "1", "--json"]).finish().await;
    assert!(done.stdout.contains(&run), "{}{}", done.stdout, done.stderr);
    two.keys_are_apart();
}

#[tokio::test]
async fn runs_of_a_workspace_get_the_key_that_its_table_has_for_them() {
    let two = Two::start().await;
    let file = two.files.path("worker.toml");
    let text = fs_err::read_to_string(&file).unwrap();
    let text = text.replace("custom_headers = ", "run_api_key = 'pnu_runs-of-beta'\ncustom_headers = ");
    fs_err::write(&file, text).unwrap();
    let daemon = two.daemon().started().await;
    for (api, pool, key) in [(&two.acme, &two.acme_pool, ACME_KEY), (&two.beta, &two.beta_pool, "pnu_runs-of-beta")] {
        let job_variables = command_variables("env");
        let deployment = pool.deployment(DeploymentSpec { job_variables, ..DeploymentSpec::default() }).await;
        let run = pool.run(deployment).await;
        api.lab.reaches(run, StateType::Completed).await;
        daemon.stdout.wait_for(&format!("PREFECT_API_KEY={key}"), SOON).await;
    }
    let output = daemon.stdout.lines().join("\n");
    assert!(!output.contains(BETA_KEY), "{output}");
    two.keys_are_apart();
}
