//! Supervisors are forked from one process. Whatever becomes of it, runs start and go on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use infra_contract::{Found, InfraPlugin as _};
use rustix::process::Signal;
use worker_core::exit::Exit;
use worker_core::handle::Handle;
use worker_core::machine::KillIntent;

use support::{Bench, is_alive, script_run, signal, until};

fn field(pid: &str, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap().trim_end().to_owned()
}

/// The process that the supervisor of a run is a child of.
fn parent_of_supervisor(bench: &Bench, run: &Handle) -> String {
    let stat = field(&bench.supervisor(run), "stat");
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned()
}

/// The process that the supervisor of a run was forked from.
fn fork_server(bench: &Bench, run: &Handle) -> String {
    let parent = parent_of_supervisor(bench, run);
    assert_eq!(field(&parent, "comm"), "worker-forks");
    parent
}

async fn end(bench: &Bench, run: &Handle) {
    bench.plugin.kill(run, KillIntent::Cancel, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn supervisors_are_forked_from_one_process_and_called_by_their_runs() {
    let bench = Bench::new();
    let sleeps = script_run("exec sleep 600");
    let runs = join_all((0..8).map(|_| bench.launch(&sleeps))).await;
    let runs: Vec<Handle> = runs.into_iter().map(Result::unwrap).collect();
    let server = fork_server(&bench, &runs[0]);
    for run in &runs {
        assert_eq!(fork_server(&bench, run), server);
        let name = field(&bench.supervisor(run), "comm");
        let id = run.key.run.0.simple().to_string();
        assert!(id.starts_with(name.strip_prefix("run-").unwrap()), "{name} of {id}");
        end(&bench, run).await;
    }
}

/// Whatever happens to the fork server: runs start without it and then from another, and the one that it forked before goes on.
async fn runs_go_on_after(what_happens: Signal) {
    let bench = Bench::new();
    let live = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let server = fork_server(&bench, &live);
    signal(&server, what_happens);
    let (output, report) = bench.run(&script_run("echo done")).await;
    assert_eq!((output.as_str(), report.exit), ("done\n", Exit::Code(0)));
    let next = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    assert_ne!(fork_server(&bench, &next), server);
    assert!(matches!(bench.plugin.reattach(&live).await.unwrap(), Found::Running));
    end(&bench, &live).await;
    end(&bench, &next).await;
}

#[tokio::test]
async fn a_fork_server_that_is_killed_is_followed_by_another_and_no_run_is_lost() {
    runs_go_on_after(Signal::KILL).await;
}

#[tokio::test]
async fn a_fork_server_that_is_stopped_is_done_without() {
    runs_go_on_after(Signal::STOP).await;
}

#[tokio::test]
async fn the_one_that_follows_a_fork_server_that_was_stopped_is_left_alone_by_who_still_waits_for_that() {
    let bench = Bench::new();
    let live = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    signal(&fork_server(&bench, &live), Signal::STOP);
    let begun = Instant::now();
    let spec = script_run("exec sleep 600");
    // A second apart, so that the second still waits when the first has given up and another server is there.
    let second = async {
        until("a second is over", || begun.elapsed() > Duration::from_secs(1)).await;
        bench.launch(&spec).await.unwrap()
    };
    let first_and_next = async {
        let first = bench.launch(&script_run("exec sleep 600")).await.unwrap();
        let next = bench.launch(&script_run("exec sleep 600")).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(7), "the second does not wait any more");
        (first, next)
    };
    let (second, (first, next)) = join(second, first_and_next).await;
    let last = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    assert_eq!(fork_server(&bench, &last), fork_server(&bench, &next));
    for run in [&live, &first, &second, &next, &last] {
        end(&bench, run).await;
    }
}

#[tokio::test]
async fn a_fork_server_ends_with_its_worker_and_runs_go_on() {
    let mut bench = Bench::new();
    let live = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let server = fork_server(&bench, &live);
    bench.restart();
    until("its end", || !is_alive(&server)).await;
    assert!(matches!(bench.plugin.reattach(&live).await.unwrap(), Found::Running));
    end(&bench, &live).await;
}
