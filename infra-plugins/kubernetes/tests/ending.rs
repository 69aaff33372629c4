//! How Jobs end on a real cluster, and what is told of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use infra_contract::InfraPlugin as _;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PropagationPolicy};
use kubernetes_bed::until;
use serde_json::{Value, json};
use worker_core::exit::{Exit, ExitReport};
use worker_core::spec::RunSpec;

use support::{Bench, SOON, Seen, job_name, runs, secret_name, with_env, with_fields, with_manifest, with_pod};

fn detail(report: &ExitReport) -> &str {
    report.detail.as_deref().unwrap_or_default()
}

type Change = fn(&mut Value);

/// A run that is given up, and what is told of it.
async fn given_up(bench: &Bench, spec: &RunSpec) -> (Seen, String) {
    let handle = bench.launch(spec).await.unwrap();
    let seen = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert_eq!(seen.report().exit, Exit::NeverStarted, "{seen:#?}");
    assert!(!seen.is_started);
    assert!(!seen.waiting.is_empty(), "{seen:#?}");
    bench.gone(&handle).await;
    let told = detail(seen.report()).to_owned();
    (seen, told)
}

#[tokio::test]
async fn c114_exit_codes_are_those_of_the_flow() {
    let bench = Bench::new().await;
    let codes = [0, 3, 137].map(|code| bench.script(&format!("exit {code}")));
    let [well, three, killed] = &codes;
    let (well, three, killed) = tokio::join!(bench.run(well), bench.run(three), bench.run(killed));
    assert_eq!(well.report(), &ExitReport::bare(Exit::Code(0)));
    assert_eq!(three.report().exit, Exit::Code(3));
    assert_eq!(killed.report().exit, Exit::Code(137), "nobody says that memory ran out");
}

#[tokio::test]
async fn c114_too_much_memory_is_told_with_the_limit() {
    let bench = Bench::new().await;
    let spec = with_pod(bench.script("x=0123456789abcdef; while :; do x=$x$x; done"), |pod| {
        pod["containers"][0]["resources"]["limits"]["memory"] = "48Mi".into();
    });
    let seen = bench.run(&spec).await;
    assert_eq!(seen.report().exit, Exit::OutOfMemory, "{seen:#?}");
    assert!(detail(seen.report()).starts_with("it used more memory than its limit of 48Mi"), "{seen:#?}");
    assert!(seen.diagnoses.iter().any(|text| text.contains("Raise `memory_limit`")), "{seen:#?}");
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_given_up_with_its_name() {
    let bench = Bench::new().await;
    let spec = with_pod(bench.script("exit 0"), |pod| pod["containers"][0]["image"] = "k8s-test/none:9".into());
    let (seen, told) = given_up(&bench, &with_fields(spec, &json!({"image_pull_deadline_seconds": 3}))).await;
    assert!(told.starts_with("image `k8s-test/none:9` could not be pulled for "), "{told}");
    assert!(seen.diagnoses.iter().any(|text| text.contains("`k8s-test/none:9`")), "{seen:#?}");
}

#[tokio::test]
async fn a_pod_that_cannot_be_made_or_placed_is_given_up_with_the_cause() {
    let bench = Bench::new().await;
    let changes: [(Change, &str, &str); 3] = [
        (
            |pod| {
                pod["containers"][0]["env"] = json!([
                    {"name": "X", "valueFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "k"}}},
                ]);
            },
            "secret \"no-such-secret\" not found",
            "Create the secret",
        ),
        (
            |pod| pod["nodeSelector"] = json!({"no-such": "label"}),
            "no node took the pod for ",
            "Correct the node selector",
        ),
        (
            |pod| pod["containers"][0]["resources"]["requests"] = json!({"cpu": "900"}),
            "Insufficient cpu",
            "Lower the requests for CPU",
        ),
    ];
    let runs = changes.map(|(change, said, fix)| {
        let bench = &bench;
        async move {
            let spec = with_fields(with_pod(bench.script("exit 0"), change), &json!({"start_deadline_seconds": 4}));
            let (seen, told) = given_up(bench, &spec).await;
            assert!(told.contains(said), "{told}");
            assert!(seen.diagnoses.iter().any(|text| text.contains(fix)), "{seen:#?}");
        }
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn a_command_that_the_image_does_not_have_is_told() {
    let bench = Bench::new().await;
    let spec = RunSpec { command: Some("no-such-program --flag".to_owned()), ..bench.script("") };
    let seen = bench.run(&spec).await;
    assert!(matches!(seen.report().exit, Exit::Code(127 | 128)), "{seen:#?}");
    assert!(detail(seen.report()).contains("could not be started"), "{seen:#?}");
    assert!(detail(seen.report()).contains("no-such-program"), "{seen:#?}");
    assert!(seen.diagnoses.iter().any(|text| text.contains("does not have the command")), "{seen:#?}");
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_or_evicts_is_told_or_replaced() {
    let bench = Bench::new().await;
    let script = "trap 'exit 143' TERM; echo up; [ -e /shared/again ] && exit 0; touch /shared/again; while :; do sleep 0.05; done";
    for evicted in [false, true] {
        let spec = bench.sharing(bench.script(script));
        let handle = bench.launch(&spec).await.unwrap();
        let pod = bench.pod_once(&handle, runs).await;
        let name = pod.metadata.name.unwrap();
        if evicted {
            let path = format!("/api/v1/namespaces/{}/pods/{name}/eviction", bench.namespace.name());
            let eviction = json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name}});
            let request = http::Request::post(path).header("content-type", "application/json");
            let request = request.body(eviction.to_string().into_bytes()).unwrap();
            bench.client.request::<Value>(request).await.unwrap();
        } else {
            bench.pods().delete(&name, &DeleteParams::default()).await.unwrap();
        }
        let report = bench.end_of(&handle).await;
        // Servers before 1.26 may forget a pod that was deleted, and make another.
        if !report.exit.is_success() {
            assert_eq!(report.exit, Exit::Code(143));
            assert_eq!(detail(&report), "the pod was deleted from outside while the run was not over");
        }
        fs_err::remove_file(bench.folder().join("again")).unwrap();
    }
}

#[tokio::test]
async fn a_job_that_somebody_deletes_is_told() {
    let bench = Bench::new().await;
    let spec = bench.script("trap 'exit 143' TERM; while :; do sleep 0.05; done");
    for propagation in [PropagationPolicy::Background, PropagationPolicy::Foreground] {
        let spec = RunSpec { key: bench.script("").key, ..spec.clone() };
        let handle = bench.launch(&spec).await.unwrap();
        let deleting = async {
            bench.pod_once(&handle, runs).await;
            let params = DeleteParams { propagation_policy: Some(propagation.clone()), ..DeleteParams::default() };
            bench.jobs().delete(job_name(&handle), &params).await.unwrap();
        };
        let (report, ()) = tokio::join!(bench.end_of(&handle), deleting);
        assert!(matches!(report.exit, Exit::Code(143) | Exit::Vanished), "{report:?}");
        assert_eq!(detail(&report), "Kubernetes job was deleted");
    }
}

#[tokio::test]
async fn a_job_that_takes_longer_than_it_may_says_so() {
    let bench = Bench::new().await;
    let spec = bench.script("trap 'exit 143' TERM; while :; do sleep 0.05; done");
    let by_cluster = with_manifest(spec, |manifest| manifest["spec"]["activeDeadlineSeconds"] = 3.into());
    let spec = bench.script("trap 'exit 143' TERM; while :; do sleep 0.05; done");
    let by_worker = with_fields(spec, &json!({"job_watch_timeout_seconds": 3}));
    let (by_cluster, by_worker) = tokio::join!(bench.run(&by_cluster), bench.run(&by_worker));
    assert_eq!(detail(by_cluster.report()), "it ran longer than the Job's activeDeadlineSeconds allows");
    assert!(!by_cluster.report().exit.is_success());
    assert_eq!(by_worker.report().exit, Exit::Code(-1));
    assert!(detail(by_worker.report()).contains("job_watch_timeout_seconds of 3"), "{by_worker:#?}");
}

#[tokio::test]
async fn a_job_that_tries_again_is_watched_to_its_last_end_and_read_once() {
    let bench = Bench::new().await;
    let script = "if [ -e /shared/again ]; then echo second; exit 0; fi; touch /shared/again; echo first; exit 7";
    let spec =
        with_manifest(bench.sharing(bench.script(script)), |manifest| manifest["spec"]["backoffLimit"] = 2.into());
    let seen = bench.run(&spec).await;
    assert_eq!((seen.report().exit, seen.output.as_str()), (Exit::Code(0), "first\nsecond\n"));
}

#[tokio::test]
async fn containers_beside_the_flow_are_told_from_it() {
    let bench = Bench::new().await;
    let beside = |script: &str, code: u8| {
        with_pod(bench.script(script), |pod| {
            let container = json!({
                "name": "metrics", "image": kubernetes_bed::BUSYBOX, "command": ["sh", "-c", format!("echo beside; exit {code}")],
            });
            pod["containers"].as_array_mut().unwrap().push(container);
        })
    };
    let init = with_pod(bench.script("echo flow"), |pod| {
        pod["initContainers"] = json!([
            {"name": "fetch", "image": kubernetes_bed::BUSYBOX, "command": ["sh", "-c", "echo no route; exit 2"]},
        ]);
    });
    let (failing, ending) = (beside("echo flow", 9), beside("echo flow; exit 3", 0));
    let (failing, ending, init) = tokio::join!(bench.run(&failing), bench.run(&ending), bench.run(&init));
    assert_eq!((failing.report().exit, failing.output.as_str()), (Exit::Code(0), "flow\n"));
    assert_eq!(detail(failing.report()), "the flow ended well, container `metrics` beside it failed with exit code 9");
    assert_eq!((ending.report().exit, ending.output.as_str()), (Exit::Code(3), "flow\n"));
    assert_eq!(init.report().exit, Exit::Code(2));
    assert!(detail(init.report()).starts_with("init container `fetch` failed with exit code 2"), "{init:#?}");
}

#[tokio::test]
async fn c116_the_last_words_of_a_crashed_pod_are_kept_without_its_secrets() {
    let bench = Bench::new().await;
    let script = r#"echo noise >&2; echo "no login as $DB_PASSWORD" >&2; exit 5"#;
    let handle = bench.launch(&with_env(bench.script(script), &[("DB_PASSWORD", "hunter2-long")])).await.unwrap();
    let report = bench.end_of(&handle).await;
    assert_eq!(report.exit, Exit::Code(5));
    assert!(detail(&report).contains("no login as ***"), "{report:?}");
    let lines = bench.plugin.last_output(&handle).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["noise", "no login as ***"]);
}

#[tokio::test]
async fn output_goes_where_it_is_wanted_and_comes_while_the_pod_runs() {
    let bench = Bench::new().await;
    let script = "echo one; echo two >&2; printf three";
    let streamed = bench.script(script);
    let shipped = with_fields(bench.script(script), &json!({"ship_output": true, "stream_output": false}));
    let neither = with_fields(bench.script(script), &json!({"stream_output": false}));
    let (streamed, shipped, neither) = tokio::join!(bench.run(&streamed), bench.run(&shipped), bench.run(&neither));
    let mut lines: Vec<&str> = streamed.output.lines().collect();
    lines.sort_unstable();
    assert_eq!((lines, streamed.log_lines.len()), (vec!["one", "three", "two"], 0));
    let mut lines = shipped.log_lines.clone();
    lines.sort();
    assert_eq!((lines, shipped.output.as_str()), (["one", "three", "two"].map(str::to_owned).to_vec(), ""));
    assert_eq!((neither.log_lines.len(), neither.output.as_str()), (0, ""));

    let spec = bench.sharing(bench.script("echo before; while [ ! -e /shared/go ]; do sleep 0.05; done; echo after"));
    let handle = bench.launch(&spec).await.unwrap();
    let events = bench.plugin.watch(&handle).await.unwrap();
    let early = Seen::until(events, |seen| seen.output.contains("before") && seen.is_started).await;
    assert_eq!(early.end, None);
    fs_err::write(bench.folder().join("go"), "").unwrap();
    let rest = Seen::all(bench.plugin.watch(&handle).await.unwrap()).await;
    assert_eq!(rest.report().exit, Exit::Code(0));
    assert!(rest.output.ends_with("after\n"), "{}", rest.output);
}

#[tokio::test]
async fn c112_events_have_prefects_ids_and_order_for_every_observer() {
    let bench = Bench::new().await;
    let spec = bench.sharing(bench.script("while [ ! -e /shared/go ]; do sleep 0.05; done"));
    let handle = bench.launch(&spec).await.unwrap();
    let other = bench.restarted();
    let (one, two) = (bench.plugin.watch(&handle).await.unwrap(), other.watch(&handle).await.unwrap());
    let ending = async {
        bench.pod_once(&handle, runs).await;
        fs_err::write(bench.folder().join("go"), "").unwrap();
    };
    let (one, two, ()) = tokio::join!(Seen::all(one), Seen::all(two), ending);
    let states = ["pending", "running", "succeeded"].map(|state| format!("prefect.kubernetes.pod.{state}"));
    assert_eq!(one.events(), states);
    let ids = |seen: &Seen| seen.occurrences.iter().map(|occurrence| occurrence.id).collect::<Vec<_>>();
    assert_eq!(ids(&one), ids(&two));
    for pair in one.occurrences.windows(2) {
        assert_eq!(pair[1].follows, Some(pair[0].id));
    }
    let run = format!("prefect.flow-run.{}", handle.key.run);
    for occurrence in &one.occurrences {
        assert_eq!(occurrence.related[0]["prefect.resource.id"], run);
        assert_eq!(occurrence.resource["kubernetes.namespace"], bench.namespace.name());
    }
    let later = Seen::all(bench.restarted().watch(&handle).await.unwrap()).await;
    assert_eq!(later.events(), states[2..], "what happened while nobody watched is told later");
    assert_eq!(ids(&later), ids(&one)[2..]);
}

#[tokio::test]
async fn cleanup_does_with_the_job_what_it_is_told_and_leaves_no_secret() {
    let bench = Bench::new().await;
    let spec = |word: &str| {
        let spec = with_fields(bench.script("exit 0"), &json!({"cleanup": word}));
        with_env(spec, &[("DB_PASSWORD", "hunter2-long")])
    };
    let ttl = with_manifest(spec("keep"), |manifest| manifest["spec"]["ttlSecondsAfterFinished"] = 2.into());
    let (keep, remove) = (spec("keep"), spec("remove"));
    let secrets =
        kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(bench.client.clone(), bench.namespace.name());
    let ended = async |spec: &RunSpec| {
        let handle = bench.launch(spec).await.unwrap();
        let secret = secret_name(&handle);
        assert!(secrets.get_opt(&secret).await.unwrap().is_some());
        assert_eq!(bench.end_of(&handle).await.exit, Exit::Code(0));
        handle
    };
    let no_secret = async |handle: &worker_core::handle::Handle| {
        let secret = secret_name(handle);
        until(SOON, "a secret to be gone", async || secrets.get_opt(&secret).await.unwrap().is_none().then_some(()))
            .await;
    };
    let kept = async {
        let handle = ended(&keep).await;
        bench.plugin.cleanup(&handle).await.unwrap();
        no_secret(&handle).await;
        let job: Job = bench.jobs().get(job_name(&handle)).await.unwrap();
        assert_eq!(job.metadata.deletion_timestamp, None);
        bench.plugin.cleanup(&handle).await.unwrap();
    };
    let removed = async {
        let handle = ended(&remove).await;
        bench.plugin.cleanup(&handle).await.unwrap();
        bench.gone(&handle).await;
        no_secret(&handle).await;
        bench.plugin.cleanup(&handle).await.unwrap();
    };
    let timed = async {
        let handle = ended(&ttl).await;
        bench.gone(&handle).await;
        no_secret(&handle).await;
    };
    tokio::join!(kept, removed, timed);
}
