//! Workers and engines that come and go.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use docker_bed::{BUSYBOX, Engine, Options};
use futures::StreamExt as _;
use infra_contract::{ErrorClass, Found, InfraEvent, InfraPlugin as _, Unheard};
use infra_docker::DockerSettings;
use worker_core::exit::Exit;
use worker_core::machine::KillIntent;

use support::{Bench, Seen, container, script_run, text_of};

#[tokio::test]
async fn a_later_process_finds_its_container_goes_on_with_its_output_and_learns_its_end() {
    let bench = Bench::new();
    let spec = script_run("echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after; exit 4");
    let handle = bench.launch(&spec).await.unwrap();
    let mut events = bench.plugin.watch(&handle).await.unwrap();
    loop {
        if let InfraEvent::Output { text, .. } = events.next().await.unwrap().unwrap() {
            assert_eq!(text, "before\n");
            break;
        }
    }
    // How far it was read is noted about once in a second, with the next piece of output.
    drop(events);
    let later = bench.restarted();
    assert_eq!(later.find(&spec.key).await.unwrap().as_ref(), Some(&handle));
    assert_eq!(later.owned().await.unwrap(), std::slice::from_ref(&handle));
    assert_eq!(later.reattach(&handle).await.unwrap(), Found::Running);
    let plan = later.prepare(&spec).await.unwrap();
    assert_eq!(later.launch(&plan, &Unheard).await.unwrap(), handle, "it is not started twice");
    bench.docker(&["exec", container(&handle), "touch", "/tmp/go"]);
    let seen = Seen::all(later.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(4));
    assert!(seen.output.ends_with("after\n"), "{}", seen.output);
    let again = Seen::all(bench.restarted().watch(&handle).await.unwrap()).await;
    assert_eq!(again.output, "", "what was read is not read again");
    assert_eq!(bench.containers().len(), 1);
    later.cleanup(&handle).await.unwrap();
    assert_eq!(later.find(&spec.key).await.unwrap(), None);
}

#[tokio::test]
async fn a_container_that_was_made_and_never_started_is_started_by_the_next_launch_and_found_by_nobody() {
    let bench = Bench::new();
    let spec = script_run("echo ran");
    let key = format!("io.prefect.worker.launch-key={}/{}", spec.key.run.0, spec.key.claim.0);
    let owner = format!("io.prefect.worker.owner={}", bench.settings.owner.mark());
    let policy = "io.prefect.worker.cleanup=remove";
    let make = || {
        bench.docker(&[
            "create",
            "--network",
            "none",
            "--label",
            &key,
            "--label",
            &owner,
            "--label",
            policy,
            BUSYBOX,
            "echo",
            "ran",
        ])
    };
    let made = make();
    let handle = bench.launch(&spec).await.unwrap();
    assert_eq!(container(&handle), made, "nothing is made twice");
    bench.plugin.cleanup(&handle).await.unwrap();

    make();
    assert_eq!(bench.plugin.find(&spec.key).await.unwrap(), None);
    assert_eq!(bench.containers(), Vec::<String>::new(), "nothing comes of it any more");
    make();
    assert_eq!(bench.restarted().owned().await.unwrap(), []);
    assert_eq!(bench.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn containers_of_others_are_left_alone() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    let handle = theirs.launch(&script_run("exec sleep 600")).await.unwrap();
    ours.plugin.cleanup(&ours.launch(&script_run("exit 0")).await.unwrap()).await.unwrap();
    assert_eq!(ours.plugin.owned().await.unwrap(), []);
    ours.settings.owner.take_over(theirs.settings.owner.mark());
    assert_eq!(ours.plugin.owned().await.unwrap(), [handle], "unless they were taken over");
}

#[tokio::test]
async fn an_engine_that_is_restarted_takes_its_containers_along_and_that_is_told() {
    let mut engine = Engine::private(Options { live_restore: false });
    let bench = Bench::on(engine.host(), |settings| settings);
    let handle =
        bench.launch(&script_run("trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done")).await.unwrap();
    Seen::until(bench.plugin.watch(&handle).await.unwrap(), |seen| seen.output.contains("ready")).await;
    let events = bench.plugin.watch(&handle).await.unwrap();
    let restarting = tokio::task::spawn_blocking(move || {
        engine.restart();
        engine
    });
    let broken = last_word(events).await;
    let engine = restarting.await.unwrap();
    let report = match broken {
        Some(report) => report,
        None => match bench.plugin.reattach(&handle).await.unwrap() {
            Found::Exited(report) => report,
            other @ (Found::Running | Found::Gone) => panic!("{other:?}"),
        },
    };
    assert_eq!(report.exit, Exit::NodeLost, "{report:?}");
    assert!(report.detail.unwrap().contains("engine was stopped or restarted"));
    assert_eq!(bench.run(&script_run("exit 0")).await.report().exit, Exit::Code(0), "it goes on after that");
    drop(bench);
    drop(engine);
}

#[tokio::test]
async fn an_engine_that_restores_its_containers_loses_nothing() {
    let mut engine = Engine::private(Options { live_restore: true });
    let bench = Bench::on(engine.host(), |settings| settings);
    let script = "echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after; exit 6";
    let handle = bench.launch(&script_run(script)).await.unwrap();
    let events = bench.plugin.watch(&handle).await.unwrap();
    let restarting = tokio::task::spawn_blocking(move || {
        engine.restart();
        engine
    });
    assert_eq!(last_word(events).await, None, "a broken watch proves nothing");
    let engine = restarting.await.unwrap();
    assert_eq!(bench.plugin.reattach(&handle).await.unwrap(), Found::Running);
    bench.docker(&["exec", container(&handle), "touch", "/tmp/go"]);
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::Code(6));
    assert!(seen.output.ends_with("after\n"), "{}", seen.output);
    drop(bench);
    drop(engine);
}

#[tokio::test]
async fn without_an_engine_a_launch_fails_for_good_and_one_that_comes_soon_is_waited_for() {
    let bench =
        Bench::with(|settings| DockerSettings { host: Some("unix:///nonexistent/docker.sock".to_owned()), ..settings });
    let error = bench.launch(&script_run("exit 0")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Denied);
    let text = text_of(&error);
    assert!(text.contains("Could not connect to Docker at unix:///nonexistent/docker.sock"), "{text}");
    assert!(text.contains("DOCKER_HOST"), "{text}");

    let mut engine = Engine::private(Options { live_restore: false });
    engine.stop();
    let bench = Bench::on(engine.host(), |settings| settings);
    let spec = script_run("exit 0");
    let (launched, engine) = tokio::join!(
        bench.launch(&spec),
        tokio::task::spawn_blocking(move || {
            engine.start();
            engine
        })
    );
    let handle = launched.unwrap();
    bench.plugin.kill(&handle, KillIntent::Force, Duration::ZERO).await.unwrap();
    bench.plugin.cleanup(&handle).await.unwrap();
    drop(bench);
    drop(engine);
}

/// The end that a watch tells, `None` if it breaks off before.
async fn last_word(mut events: infra_contract::EventStream) -> Option<worker_core::exit::ExitReport> {
    let told = async {
        while let Some(event) = events.next().await {
            match event {
                Ok(InfraEvent::Exited(report)) => return Some(report),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.class, ErrorClass::Transient, "{}", text_of(&error));
                    return None;
                }
            }
        }
        None
    };
    tokio::time::timeout(Duration::from_mins(1), told).await.unwrap()
}
