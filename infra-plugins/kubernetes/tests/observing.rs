//! Watching Jobs of other workers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use futures::StreamExt as _;
use infra_contract::{InfraPlugin as _, Observation, Observed};
use infra_kubernetes::KubernetesSettings;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::sync::Notify;
use worker_core::handle::Handle;

use support::{Bench, SOON, job_name, runs, with_fields, with_manifest};

/// A bench that observes the namespace of another one.
async fn observing(other: &Bench) -> Bench {
    let namespace = other.namespace.name().to_owned();
    Bench::with(|settings| KubernetesSettings { namespaces: vec![namespace], ..settings }).await
}

/// What is observed of a Job until its end; `first` hears of the first.
async fn observed(bench: &Bench, handle: &Handle, first: &Notify) -> Vec<Observation> {
    let mut observations = bench.plugin.observer().unwrap().observations();
    let mut seen = Vec::new();
    let told = async {
        while let Some(Observed { run, observation }) = observations.next().await {
            if run == handle.key.run {
                let is_end = matches!(observation, Observation::Ended { .. });
                seen.push(observation);
                first.notify_one();
                if is_end {
                    break;
                }
            }
        }
    };
    assert!(tokio::time::timeout(SOON, told).await.is_ok(), "{seen:#?}");
    seen
}

fn events(observations: &[Observation]) -> Vec<(String, uuid::Uuid)> {
    let told = observations.iter().filter_map(|observation| {
        let Observation::Occurred { occurrence, .. } = observation else { return None };
        Some((occurrence.event.clone(), occurrence.id))
    });
    told.collect()
}

#[tokio::test]
async fn c112_c113_c114_c116_a_job_of_another_worker_is_observed_to_its_end() {
    let other = Bench::new().await;
    let (first, second) = (observing(&other).await, observing(&other).await);
    let spec = other.sharing(other.script("while [ ! -e /shared/go ]; do sleep 0.05; done; echo last words; exit 3"));
    let handle = other.launch(&spec).await.unwrap();
    let ending = async {
        other.pod_once(&handle, runs).await;
        fs_err::write(other.folder().join("go"), "").unwrap();
    };
    let unheard = Notify::new();
    let (one, two, ()) =
        tokio::join!(observed(&first, &handle, &unheard), observed(&second, &handle, &unheard), ending);
    let Some(Observation::Ended { infrastructure, message, .. }) = one.last() else { panic!("{one:#?}") };
    assert_eq!(*infrastructure, format!("{}:{}", other.namespace.name(), job_name(&handle)));
    assert_eq!(message, "No active or succeeded pods found for any job");
    assert!(events(&one).iter().any(|(event, _)| event == "prefect.kubernetes.pod.running"), "{one:#?}");
    let common: Vec<_> = events(&two).into_iter().filter(|told| events(&one).contains(told)).collect();
    assert!(!common.is_empty(), "{one:#?} {two:#?}");
    let observer = first.plugin.observer().unwrap();
    let lines = observer.last_output(infrastructure).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["last words"]);
    assert!(!observer.has_other(handle.key.run).await.unwrap());

    let late = observed(&observing(&other).await, &handle, &unheard).await;
    let told = late.iter().filter_map(|observation| {
        let Observation::Occurred { occurrence, is_old } = observation else { return None };
        Some((occurrence.id, *is_old))
    });
    for (id, is_old) in told {
        assert!(is_old && events(&one).iter().any(|(_, known)| *known == id), "{late:#?}");
    }
}

#[tokio::test]
async fn c114_a_job_of_another_worker_that_is_deleted_is_told_and_a_replacement_is_found() {
    let other = Bench::new().await;
    let bench = observing(&other).await;
    let spec = other.script("trap 'exit 143' TERM; while :; do sleep 0.05; done");
    let handle = other.launch(&spec).await.unwrap();
    let observer = bench.plugin.observer().unwrap();
    let first = Notify::new();
    let deleting = async {
        other.pod_once(&handle, runs).await;
        assert!(observer.has_other(handle.key.run).await.unwrap());
        first.notified().await;
        other.jobs().delete(job_name(&handle), &DeleteParams::background()).await.unwrap();
    };
    let (seen, ()) = tokio::join!(observed(&bench, &handle, &first), deleting);
    let Some(Observation::Ended { message, .. }) = seen.last() else { panic!("{seen:#?}") };
    assert!(
        ["Kubernetes job was deleted", "No active or succeeded pods found for any job"].contains(&message.as_str())
    );
    other.gone(&handle).await;
    assert!(!observer.has_other(handle.key.run).await.unwrap());
}

#[tokio::test]
async fn own_jobs_and_those_without_the_labels_that_are_asked_for_are_not_observed() {
    let other = Bench::new().await;
    let namespace = other.namespace.name().to_owned();
    let bench = Bench::with(|settings| KubernetesSettings {
        namespaces: vec![namespace.clone()],
        label_filters: [("team".to_owned(), "a".to_owned())].into(),
        ..settings
    })
    .await;
    let there = |spec| with_fields(spec, &json!({"namespace": namespace}));
    let own = with_manifest(there(bench.script("exit 3")), |manifest| {
        manifest["metadata"]["namespace"] = namespace.clone().into();
        manifest["metadata"]["labels"]["team"] = "a".into();
    });
    let own = bench.launch(&own).await.unwrap();
    let unlabelled = other.launch(&other.script("exit 3")).await.unwrap();
    let mut labelled = other.script("exit 3");
    labelled.labels.insert("team".to_owned(), "a".to_owned());
    let labelled = other.launch(&labelled).await.unwrap();
    for handle in [&own, &unlabelled, &labelled] {
        other.job_once(handle, support::has_ended).await;
    }
    let mut observations = bench.plugin.observer().unwrap().observations();
    let told = async {
        while let Some(Observed { run, observation }) = observations.next().await {
            // Its end is told to whom it may concern, and there is time for the one who executes it to tell it himself.
            if run == own.key.run {
                assert!(
                    matches!(&observation, Observation::Ended { patience, .. } if !patience.is_zero()),
                    "{observation:?}"
                );
                continue;
            }
            assert_eq!(run, labelled.key.run, "{observation:?}");
            if let Observation::Ended { .. } = observation {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, told).await.unwrap();
}
