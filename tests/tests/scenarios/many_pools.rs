//! Many pools in one worker: each goes its own way, within limits that hold for all.

use std::path::PathBuf;

use central_api_wire::state::StateType;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use worker_core::ids::{DeploymentId, RunId};
use worker_tests::harness::{
    Daemon, DaemonSpec, DeploymentSpec, Lab, LabPool, RunSpec, SOON, command_variables, process_template, until,
};

use crate::in_memory::{InMemory, poll_path};
use crate::marks::Marks;
use crate::operator::{answer, typed};

/// A worker.toml that can be changed.
struct Settings(Marks);

impl Settings {
    fn new(text: &str) -> Self {
        let settings = Self(Marks::new());
        settings.change(text);
        settings
    }

    fn change(&self, text: &str) {
        fs_err::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.path("worker.toml")
    }

    fn daemon(&self, lab: &Lab) -> DaemonSpec {
        lab.daemon().name("many").arg("--config").arg(self.path())
    }
}

async fn pool(lab: &Lab, name: &str, kind: &str) -> LabPool {
    lab.api.create_pool(name, kind, process_template()).await;
    lab.pool_named(name).await
}

/// How a pool is, as `worker status` tells.
async fn health(daemon: &Daemon, name: &str) -> Option<String> {
    let status = answer(daemon, &["status"]).await;
    let pools = status[0]["pools"].as_array().unwrap();
    let pool = pools.iter().find(|pool| pool["name"] == name)?;
    Some(pool["health"].as_str().unwrap().to_owned())
}

async fn becomes(daemon: &Daemon, name: &str, wanted: Option<&str>) {
    let look = async || (health(daemon, name).await.as_deref() == wanted).then_some(());
    until(SOON, format!("pool {name} to be {wanted:?}"), look).await;
}

/// Twenty pools of two kinds, three of them in trouble of their own; one that is left and one that comes.
#[tokio::test]
async fn twenty_pools_in_one_worker_do_not_disturb_each_other() {
    let it = InMemory::start().await;
    let (lab, marks, held) = (&it.lab, Marks::new(), Marks::new());
    let names: Vec<String> = (0..17).map(|number| format!("pool-{number}")).collect();
    let mut runs = Vec::new();
    for (number, name) in names.iter().enumerate() {
        // Nothing is executed on the engine, which is away; asking for runs does not need it.
        let kind = if number < 3 { "docker" } else { "process" };
        let pool = pool(lab, name, kind).await;
        if number >= 4 {
            runs.push(pool.run(pool.command("true").await).await);
        }
    }
    let limited = lab.pool_named("pool-3").await;
    let exclusive = limited.command(&marks.exclusive_command()).await;
    for _ in 0..3 {
        runs.push(limited.run(exclusive).await);
    }
    let mut template = process_template();
    template.insert("job_configuration".to_owned(), json!({"command": {"not": "a text"}}));
    lab.api.create_pool("broken", "process", template).await;
    let broken = lab.pool_named("broken").await;
    let bad = broken.run(broken.command("true").await).await;
    let paused = pool(lab, "paused", "process").await;
    lab.api.update_pool("paused", json!({"is_paused": true})).await;
    let waiting = paused.run(paused.command("true").await).await;
    let left = lab.pool_named("pool-16").await;
    let stays = left.run(left.command(&held.held_command(0)).await).await;

    let table = |name: &str| format!("[[pool]]\nname = '{name}'\n");
    let mut text: String = names.iter().take(16).map(|name| table(name)).collect();
    text = text.replace("'pool-3'\n", "'pool-3'\nlimit = 1\n");
    text += &(table("broken") + &table("paused") + &table("absent") + "create_pool_if_not_found = false\n");
    let settings = Settings::new(&(text.clone() + &table("pool-16")));
    let daemon = settings.daemon(lab).env("DOCKER_HOST", "unix:///nonexistent/docker.sock").started().await;
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
    }
    assert_eq!(marks.made(), ["alone"; 3], "two runs of the limited pool were in progress at a time");
    lab.reaches(bad, StateType::Crashed).await;
    held.count(1).await;
    for (name, wanted) in [("absent", "missing"), ("paused", "paused"), ("broken", "ok"), ("pool-0", "ok")] {
        becomes(&daemon, name, Some(wanted)).await;
    }
    assert_eq!(lab.history(waiting).await, ["Scheduled"]);

    // One is left with a run of it, one comes, one asks for other queues.
    let added = pool(lab, "added", "process").await;
    let (later, new) = (added.command("true").await, left.command("true").await);
    settings.change(&(text.replace("'pool-4'\n", "'pool-4'\nwork_queue = ['mine']\n") + &table("added")));
    daemon.signal(Signal::HUP);
    lab.reaches(added.run(later).await, StateType::Completed).await;
    becomes(&daemon, "pool-16", Some("left")).await;
    let not_taken = left.run(new).await;
    lab.api.create_queue("pool-4", "mine", 1).await;
    let other_queue = lab.pool_named("pool-4").await;
    let mine = DeploymentSpec {
        queue: Some("mine".to_owned()),
        job_variables: command_variables("true"),
        ..DeploymentSpec::default()
    };
    it.wait("a poll of the other queue", |tables| {
        let asks = |body: &Value| body["work_queue_names"] == json!(["mine"]);
        tables.requests_to("POST", &poll_path("pool-4")).any(|poll| asks(&poll.body)).then_some(())
    })
    .await;
    let default_queue = other_queue.run(other_queue.command("true").await).await;
    lab.reaches(other_queue.run(other_queue.deployment(mine).await).await, StateType::Completed).await;
    assert_eq!(lab.history(default_queue).await, ["Scheduled"]);
    held.release();
    lab.reaches(stays, StateType::Completed).await;
    becomes(&daemon, "pool-16", None).await;
    assert_eq!(lab.history(not_taken).await, ["Scheduled"], "a pool that was left took another run");
}

#[tokio::test]
async fn a_limit_of_all_pools_is_filled_by_priority() {
    let it = InMemory::start().await;
    let (lab, marks) = (&it.lab, Marks::new());
    let (low, high) = (pool(lab, "low", "process").await, pool(lab, "high", "process").await);
    let settings =
        Settings::new("[admission]\nmax_runs = 1\n[[pool]]\nname = 'low'\n[[pool]]\nname = 'high'\npriority = 1\n");
    let first = low.run(low.command(&marks.held_command(0)).await).await;
    let daemon = settings.daemon(lab).started().await;
    marks.count(1).await;
    let mut runs = vec![first];
    for (pool, mark) in [(&low, "low"), (&high, "high")] {
        let deployment = pool.command(&marks.command(mark)).await;
        for _ in 0..2 {
            runs.push(pool.run(deployment).await);
        }
    }
    for name in ["low", "high"] {
        it.polls(name, 2).await;
    }
    let told = typed(&daemon, &["why", &runs[1].to_string()]).await.stdout;
    assert!(told.contains("limit for all pools together is reached: 1 of 1"), "{told}");
    assert!(typed(&daemon, &["status"]).await.stdout.contains("1 of at most 1 live runs"));
    marks.release();
    for run in runs {
        lab.reaches(run, StateType::Completed).await;
    }
    assert_eq!(marks.made(), ["started", "high", "high", "low", "low"]);
}

/// A run as a server's scheduler makes it, so many minutes late.
async fn scheduled(lab: &Lab, deployment: DeploymentId, minutes: i64) -> RunId {
    let due = Timestamp::now() - SignedDuration::from_mins(minutes);
    let body = json!({
        "state": {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": due}},
        "idempotency_key": format!("scheduled {deployment} {due}"),
    });
    let path = format!("/deployments/{deployment}/create_flow_run");
    let (status, run) = lab.api.call(Method::POST, &path, Some(&body)).await;
    assert!(status.is_success(), "{run}");
    run["id"].as_str().unwrap().parse().unwrap()
}

async fn late_by_hand(lab: &Lab, deployment: DeploymentId, minutes: i64) -> RunId {
    let due = Some(Timestamp::now() - SignedDuration::from_mins(minutes));
    lab.api.create_run(deployment, RunSpec { due, ..RunSpec::default() }).await
}

#[tokio::test]
async fn late_runs_are_skipped_as_their_pool_wants_and_say_so() {
    let it = InMemory::start().await;
    let lab = &it.lab;
    let (latest, bounded, all) = (
        pool(lab, "latest", "process").await,
        pool(lab, "bounded", "process").await,
        pool(lab, "all", "process").await,
    );
    let settings = Settings::new(
        "[[pool]]\nname = 'latest'\nlate_policy = 'latest'\n\
         [[pool]]\nname = 'bounded'\nlate_policy = 'skip_older_than'\nlate_seconds = 3600\n[[pool]]\nname = 'all'\n",
    );
    let (mut done, mut skipped) = (Vec::new(), Vec::new());
    let deployment = latest.command("true").await;
    skipped.push((scheduled(lab, deployment, 30).await, "Skipped: a later run of its deployment"));
    skipped.push((scheduled(lab, deployment, 20).await, "Skipped: a later run of its deployment"));
    done.push(scheduled(lab, deployment, 10).await);
    done.push(late_by_hand(lab, deployment, 40).await);
    let deployment = bounded.command("true").await;
    skipped.push((scheduled(lab, deployment, 90).await, "Skipped: it was due 54"));
    done.push(scheduled(lab, deployment, 30).await);
    done.push(scheduled(lab, deployment, 20).await);
    done.push(late_by_hand(lab, deployment, 300).await);
    let deployment = all.command("true").await;
    done.push(scheduled(lab, deployment, 300).await);
    done.push(scheduled(lab, deployment, 200).await);

    let daemon = settings.daemon(lab).started().await;
    for run in done {
        lab.reaches(run, StateType::Completed).await;
    }
    for (run, why) in &skipped {
        let state = lab.reaches(*run, StateType::Cancelled).await;
        let message = state.message.unwrap();
        assert!(message.starts_with(why), "{message}");
        assert_eq!(lab.history(*run).await, ["Scheduled", "Cancelled"], "it was never taken");
    }
    daemon.stderr.wait_for("2 late runs of work pool 'latest' were skipped", SOON).await;
    let told = typed(&daemon, &["why", &skipped[0].0.to_string()]).await.stdout;
    assert!(told.contains("Skipped: a later run"), "{told}");
}

#[tokio::test]
async fn a_policy_without_its_bound_is_refused() {
    let settings = Settings::new("[[pool]]\nname = 'p'\nlate_policy = 'skip_older_than'\n");
    let ended = DaemonSpec::bare().arg("--config").arg(settings.path()).args(["config", "check"]).finish().await;
    assert!(
        ended.stderr.contains("`pool.p.late_policy` is `skip_older_than`, which needs `late_seconds`"),
        "{ended:?}"
    );
}

/// More late runs of little urgency than a poll shows, and a new one of a queue that comes before.
#[tokio::test]
async fn an_urgent_run_goes_before_hundreds_that_are_late() {
    let it = InMemory::start().await;
    let (lab, marks) = (&it.lab, Marks::new());
    let pool = lab.pool().await;
    for (queue, priority) in [("urgent", 1), ("whenever", 9)] {
        lab.api.create_queue(&pool.name, queue, priority).await;
    }
    let of = |queue: &str, command: String| DeploymentSpec {
        queue: Some(queue.to_owned()),
        job_variables: command_variables(&command),
        ..DeploymentSpec::default()
    };
    let whenever = pool.deployment(of("whenever", marks.held_command(0))).await;
    for number in 0..300 {
        late_by_hand(lab, whenever, 400 - number).await;
    }
    let _daemon = pool.daemon().args(["--limit", "1"]).started().await;
    marks.count(1).await;
    let urgent = pool.run(pool.deployment(of("urgent", marks.command("urgent"))).await).await;
    it.polls(&pool.name, 2).await;
    marks.release();
    lab.reaches(urgent, StateType::Completed).await;
    assert_eq!(marks.made()[..2], ["started", "urgent"]);
}

#[tokio::test]
async fn a_pattern_serves_pools_that_match_and_those_that_come() {
    let it = InMemory::start().await;
    let lab = &it.lab;
    let first = pool(lab, "team-a", "process").await;
    lab.api.create_pool("team-odd", "vertex", Map::new()).await;
    let other = pool(lab, "other", "process").await;
    let untouched = other.run(other.command("true").await).await;
    let daemon = lab.daemon().args(["--pool", "team-*"]).started().await;
    lab.reaches(first.run(first.command("true").await).await, StateType::Completed).await;
    daemon.stderr.wait_for("'team-odd' matches 'team-*' and is left out", SOON).await;
    let second = pool(lab, "team-b", "process").await;
    lab.reaches(second.run(second.command("true").await).await, StateType::Completed).await;
    lab.api.call(Method::DELETE, "/work_pools/team-a", None).await;
    becomes(&daemon, "team-a", None).await;
    assert_eq!(lab.history(untouched).await, ["Scheduled"]);
    let said = daemon.stderr.lines().iter().filter(|line| line.contains("team-odd")).count();
    assert_eq!(said, 1, "it is said once");
}
