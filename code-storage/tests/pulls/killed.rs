//! A worker that is killed in the middle of a fetch, with and without its `git`.

use std::process::Stdio;
use std::time::Duration;

use super::origin::{Site, read};
use super::server::GitServer;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the condition is met in time");
}

/// The program that measures pulls, which is built with the tests, pulling once.
fn worker(site: &Site, url: &str) -> Child {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/git_pull");
    Command::new(program)
        .args([url, site.root.as_str(), "1"])
        .envs(&site.options.env)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The files of a directory whose names begin so.
fn found(directory: &Utf8Path, beginning: &str) -> Vec<Utf8PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        let Ok(entries) = directory.read_dir_utf8() else { continue };
        for entry in entries.flatten() {
            if entry.path().is_dir() {
                open.push(entry.path().to_owned());
            } else if entry.file_name().starts_with(beginning) {
                found.push(entry.path().to_owned());
            }
        }
    }
    found
}

fn processes_in(directory: &Utf8Path) -> Vec<Pid> {
    let processes = fs_err::read_dir("/proc").unwrap().flatten();
    let inside = processes
        .filter(|process| fs_err::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory)));
    inside.filter_map(|process| process.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)).collect()
}

/// A site whose cache is the killed worker's, the server it fetches from, and the worker stopped in the middle.
async fn interrupted() -> (Site, GitServer, Child, Utf8PathBuf) {
    let mut site = Site::new();
    let server = GitServer::without_tls(&site, "").await;
    let origin = site.repository("code");
    let noise: Vec<u8> =
        (0..200_000_u64).flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    fs_err::write(origin.path.join("noise.txt"), noise).unwrap();
    origin.commit("more.txt", "with it");
    server.stall(true);
    let worker = worker(&site, &server.url("open/code/.git"));
    let cache = site.root.join("round-0/cache");
    until(|| !found(&cache, "tmp_pack").is_empty()).await;
    site.options.cache = Some(code_storage::Cache::open(&cache, code_storage::CacheLimits::default()).unwrap());
    (site, server, worker, cache)
}

#[tokio::test]
async fn what_a_killed_fetch_left_is_cleared_and_fetched_anew() {
    let (site, server, mut worker, cache) = interrupted().await;
    worker.kill().await.unwrap();
    for process in processes_in(&cache) {
        // Some end by themselves when the others are gone.
        kill_process(process, Signal::KILL).unwrap_or_default();
    }
    until(|| processes_in(&cache).is_empty()).await;
    assert!(!found(&cache, "tmp_pack").is_empty(), "it was killed in the middle");
    server.stall(false);
    let run = site.run_directory("run");
    let inputs = json!({"repository": server.url("open/code/.git"), "clone_directory_name": "code"});
    site.git_clone(&run, inputs).await.unwrap();
    assert_eq!(read(&run.join("code/flow.py")), "one");
    assert_eq!(server.fetches(), 2);
    assert_eq!(found(&cache, "tmp_pack"), Vec::<Utf8PathBuf>::new());
}

#[tokio::test]
async fn a_git_that_outlives_its_worker_keeps_others_out_until_it_is_done() {
    let (site, server, mut worker, cache) = interrupted().await;
    worker.kill().await.unwrap();
    assert!(!processes_in(&cache).is_empty(), "git is still at it");
    let run = site.run_directory("run");
    let inputs = json!({"repository": server.url("open/code/.git"), "clone_directory_name": "code"});
    let lookups = server.asked().len();
    let (pulled, ()) = tokio::join!(site.git_clone(&run, inputs), async {
        until(|| server.asked().len() > lookups + 1).await;
        server.stall(false);
    });
    pulled.unwrap();
    assert_eq!(read(&run.join("code/flow.py")), "one");
    assert_eq!(server.fetches(), 1, "what the other one fetched is used");
}
