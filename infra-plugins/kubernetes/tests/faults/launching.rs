//! Making a Job while the API server fails.

use std::time::Duration;

use infra_contract::{ErrorClass, InfraPlugin as _};
use kubernetes_api::{Failure, Verb};
use serde_json::json;

use crate::support::clock::FastClock;
use crate::support::scripted::{Scripted, plain, secretive};
use crate::support::{job_name, secret_name, with_fields};

fn busy(code: u16) -> Failure {
    Failure::new(code, "ServiceUnavailable", "try later")
}

fn owner_of(bench: &Scripted, secret: &str) -> serde_json::Value {
    bench.api.get("secrets", secret).unwrap()["metadata"]["ownerReferences"][0]["uid"].clone()
}

#[tokio::test]
async fn c108_a_lost_reply_makes_one_job() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.faults().lose_replies(Verb::Create, "jobs", 1);
    let handle = bench.launch(&plain()).await.unwrap();
    assert_eq!(bench.api.list("jobs").len(), 1);
    assert_eq!(bench.api.count(Verb::Create, "jobs"), 2);
    assert_eq!(bench.plugin.find(&handle.key).await.unwrap().unwrap(), handle);
}

#[tokio::test]
async fn a_job_of_somebody_else_under_the_name_is_an_error_that_says_so() {
    let bench = Scripted::new().await;
    let spec = secretive();
    let plan = bench.plugin.prepare(&spec).await.unwrap();
    let (namespace, name) = plan.infra_name.split_once(':').unwrap();
    bench.api.job_controller(false);
    bench.api.put("jobs", namespace, name, json!({"spec": {}}));
    let error = bench.plugin.launch(&plan, &bench.log).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::BadSpec);
    assert!(error.context.contains(name) && error.context.contains("somebody else"), "{error}");
    assert!(error.hint.unwrap().contains("Delete that Job"));
    assert!(bench.api.list("secrets").is_empty(), "its Secret is not left behind");
}

#[tokio::test]
async fn c108_failures_that_pass_are_tried_again() {
    let _clock = FastClock::start();
    for code in [429, 500, 503, 504] {
        let bench = Scripted::new().await;
        bench.api.faults().fail_next(Verb::Create, "secrets", 2, busy(code));
        bench.api.faults().fail_next(Verb::Create, "jobs", 2, busy(code));
        bench.launch(&secretive()).await.unwrap();
        assert_eq!(bench.api.list("jobs").len(), 1, "{code}");
        assert_eq!(bench.log.waits().len(), 1, "said once: {}", bench.log.text());
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_asked_again() {
    let _clock = FastClock::start();
    let bench = Scripted::with(|settings| infra_kubernetes::KubernetesSettings {
        create_deadline: Duration::from_mins(5),
        ..settings
    })
    .await;
    bench.api.faults().hang(Verb::Create, "jobs", 1);
    bench.launch(&plain()).await.unwrap();
    bench.api.faults().release();
    assert_eq!(bench.api.list("jobs").len(), 1);
    assert!(bench.log.waits()[0].contains("no answer"), "{}", bench.log.text());
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let _clock = FastClock::start();
    let bench = Scripted::with(|settings| infra_kubernetes::KubernetesSettings {
        create_deadline: Duration::from_mins(5),
        ..settings
    })
    .await;
    bench.api.faults().fail_next(Verb::Create, "jobs", 1, busy(429).retry_after(Duration::from_secs(45)));
    let began = tokio::time::Instant::now();
    bench.launch(&plain()).await.unwrap();
    let taken = began.elapsed();
    assert!(taken >= Duration::from_secs(45) && taken < Duration::from_mins(1), "{taken:?}");
}

#[tokio::test]
async fn after_the_deadline_a_refusal_is_final_and_says_for_how_long() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.faults().fail_next(Verb::Create, "jobs", 1000, busy(429));
    let spec = secretive();
    let error = bench.launch(&spec).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Denied, "{error}");
    let (before, rest) = error.context.split_once(" for ").unwrap();
    assert_eq!(before, "Unable to create Kubernetes job");
    let (seconds, rest) = rest.split_once(" s: ").unwrap();
    assert!((30..60).contains(&seconds.parse::<u32>().unwrap()), "{error}");
    assert!(rest.starts_with("ServiceUnavailable: try later. Hint: "), "{error}");
    assert_eq!(bench.plugin.find(&spec.key).await.unwrap(), None);
    assert!(bench.api.list("secrets").is_empty());
    assert_eq!(bench.log.waits().len(), 1);
}

#[tokio::test]
async fn after_an_unclear_try_nothing_is_said_to_be_absent_before_it_can_no_longer_take_effect() {
    let _clock = FastClock::start();
    // Whatever the last answer is.
    for last in [None, Some(busy(429)), Some(Failure::new(403, "Forbidden", "exceeded quota: q"))] {
        let bench = Scripted::new().await;
        let spec = secretive();
        bench.api.faults().hang(Verb::Create, "jobs", if last.is_some() { 1 } else { 1000 });
        if let Some(last) = last.clone() {
            bench.api.faults().fail_next(Verb::Create, "jobs", 1000, last);
        }
        let error = bench.launch(&spec).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{last:?}: {error}");
        assert_eq!(bench.api.list("secrets").len(), 1, "a Job that may still be made needs it");
        assert_eq!(bench.plugin.find(&spec.key).await.unwrap_err().class, ErrorClass::Transient, "{last:?}");
        let began = tokio::time::Instant::now();
        while bench.plugin.find(&spec.key).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(100));
            tokio::task::yield_now().await;
        }
        assert!(began.elapsed() > Duration::from_secs(25), "{:?}", began.elapsed());
        bench.api.faults().heal();
    }
}

#[tokio::test]
async fn a_refusal_after_a_lost_reply_does_not_lose_the_job() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.faults().lose_replies(Verb::Create, "jobs", 1);
    // The Job itself has used up the quota.
    let full = Failure::new(403, "Forbidden", "jobs.batch \"x\" is forbidden: exceeded quota: q");
    bench.api.faults().fail_next(Verb::Create, "jobs", 1, full);
    let spec = secretive();
    let plan = bench.plugin.prepare(&spec).await.unwrap();
    let found = match bench.plugin.launch(&plan, &bench.log).await {
        Ok(handle) => handle,
        Err(error) => {
            assert_eq!(error.class, ErrorClass::Transient, "{error}");
            bench.plugin.find(&spec.key).await.unwrap().unwrap()
        }
    };
    let job = bench.api.get("jobs", job_name(&found)).unwrap();
    assert_eq!(owner_of(&bench, &secret_name(&found)), job["metadata"]["uid"]);
}

#[tokio::test]
async fn c108_refusals_are_told_with_reason_message_and_hint() {
    for (code, reason, message, class, hint) in [
        (
            403,
            "Forbidden",
            "jobs.batch \"x\" is forbidden: exceeded quota: q, used: 5",
            ErrorClass::Denied,
            "ResourceQuota",
        ),
        (
            403,
            "Forbidden",
            "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\"",
            ErrorClass::Denied,
            "worker kubernetes rbac",
        ),
        (404, "NotFound", "namespaces \"default\" not found", ErrorClass::BadSpec, "Create the namespace"),
        (
            400,
            "BadRequest",
            "admission webhook \"v.k.io\" denied the request: no latest tag",
            ErrorClass::BadSpec,
            "policy of the cluster",
        ),
    ] {
        let bench = Scripted::new().await;
        bench.api.faults().fail_next(Verb::Create, "jobs", 1, Failure::new(code, reason, message));
        let error = bench.launch(&secretive()).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        let start = format!("Unable to create Kubernetes job: {reason}: {message}. Hint: ");
        assert!(error.context.starts_with(&start) && error.context.contains(hint), "{error}");
        assert!(bench.api.list("secrets").is_empty(), "the Secret goes when its Job is refused");
        assert_eq!(bench.api.count(Verb::Create, "jobs"), 1);
    }
}

#[tokio::test]
async fn c108_the_servers_own_refusals_are_told() {
    let bench = Scripted::new().await;
    bench.api.unknown_field("spec.podFailurePolicy");
    let mut spec = plain();
    spec.fields["job_manifest"]["spec"]["podFailurePolicy"] = json!({"rules": []});
    let error = bench.launch(&spec).await.unwrap_err();
    assert!(error.context.contains("BadRequest: ") && error.context.contains("podFailurePolicy"), "{error}");
    assert!(error.context.contains("Hint: Correct the field"), "{error}");

    let bench = Scripted::new().await;
    bench.api.missing_namespace("default");
    for spec in [plain(), secretive()] {
        let error = bench.launch(&spec).await.unwrap_err();
        assert!(error.context.contains("NotFound: namespaces \"default\" not found. Hint: Create"), "{error}");
    }

    let bench = Scripted::new().await;
    bench.api.forbid(Verb::Create, "jobs");
    let error = bench.launch(&plain()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Denied);
    assert!(error.context.contains("worker kubernetes rbac"), "{error}");
}

#[tokio::test]
async fn c107_the_secret_comes_first_and_then_belongs_to_the_job() {
    let bench = Scripted::new().await;
    let handle = bench.launch(&secretive()).await.unwrap();
    let made: Vec<String> = bench
        .api
        .requests()
        .iter()
        .filter(|request| request.verb == Verb::Create)
        .map(|made| made.resource.clone())
        .collect();
    assert_eq!(made, ["secrets", "jobs"]);
    let job = bench.api.get("jobs", job_name(&handle)).unwrap();
    assert_eq!(owner_of(&bench, &secret_name(&handle)), job["metadata"]["uid"]);
    bench.plugin.cleanup(&handle).await.unwrap();
    bench
        .api
        .until("all is gone", |api| (api.list("jobs").is_empty() && api.list("secrets").is_empty()).then_some(()))
        .await;
}

#[tokio::test]
async fn a_lost_reply_of_the_secret_is_no_trouble() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.faults().lose_replies(Verb::Create, "secrets", 1);
    bench.api.faults().lose_replies(Verb::Patch, "secrets", 1);
    let handle = bench.launch(&secretive()).await.unwrap();
    let job = bench.api.get("jobs", job_name(&handle)).unwrap();
    assert_eq!(owner_of(&bench, &secret_name(&handle)), job["metadata"]["uid"]);
    assert_eq!(bench.api.list("secrets").len(), 1);
}

#[tokio::test]
async fn a_secret_that_cannot_be_handed_over_holds_nothing_up_and_is_told_to_nobody() {
    let _clock = FastClock::start();
    let bench = Scripted::with(|settings| infra_kubernetes::KubernetesSettings {
        create_deadline: Duration::from_mins(5),
        ..settings
    })
    .await;
    bench.api.faults().fail_next(Verb::Patch, "secrets", 1000, busy(503));
    let began = tokio::time::Instant::now();
    let handle = bench.launch(&secretive()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(40), "a pod runs by now, and nobody watches it");
    assert!(bench.log.waits().is_empty(), "the Job is there: {}", bench.log.text());
    // Nothing is left in the end all the same.
    bench.plugin.cleanup(&handle).await.unwrap();
    bench
        .api
        .until("all is gone", |api| (api.list("jobs").is_empty() && api.list("secrets").is_empty()).then_some(()))
        .await;
}

/// A later process launches the same plan, whatever the earlier one has made of it.
#[tokio::test]
async fn a_launch_that_was_interrupted_anywhere_is_finished_by_the_next_process() {
    for stage in 0..3 {
        let bench = Scripted::new().await;
        let spec = secretive();
        let plan = bench.plugin.prepare(&spec).await.unwrap();
        let (verb, resource) = [(Verb::Create, "secrets"), (Verb::Create, "jobs"), (Verb::Patch, "secrets")][stage];
        bench.api.faults().lose_replies(verb, resource, 1);
        {
            let launch = bench.plugin.launch(&plan, &bench.log);
            let killed = bench.api.until_requests(verb, resource, 1);
            tokio::select! {
                biased;
                () = killed => {}
                handle = launch => panic!("it was to be killed: {handle:?}"),
            }
        }
        bench.api.faults().heal();
        let later = bench.restarted();
        let handle = later.launch(&plan, &bench.log).await.unwrap();
        let job = bench.api.get("jobs", job_name(&handle)).unwrap();
        assert_eq!(bench.api.list("jobs").len(), 1, "stage {stage}");
        assert_eq!(owner_of(&bench, &secret_name(&handle)), job["metadata"]["uid"], "stage {stage}");
        assert_eq!(bench.api.list("secrets").len(), 1);
    }
}

#[tokio::test]
async fn a_job_that_a_later_process_finds_owns_its_secret() {
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    bench.api.faults().fail_next(Verb::Patch, "secrets", 1000, busy(503));
    let spec = secretive();
    let handle = bench.launch(&spec).await.unwrap();
    bench.api.faults().heal();
    let found = bench.restarted().find(&spec.key).await.unwrap().unwrap();
    assert_eq!(found, handle);
    let job = bench.api.get("jobs", job_name(&handle)).unwrap();
    assert_eq!(owner_of(&bench, &secret_name(&handle)), job["metadata"]["uid"]);
}

#[tokio::test]
async fn many_launches_with_lost_replies_and_refusals_make_one_job_each() {
    let _clock = FastClock::start();
    let bench = Scripted::with(|settings| infra_kubernetes::KubernetesSettings {
        create_deadline: Duration::from_mins(5),
        ..settings
    })
    .await;
    bench.api.job_controller(false);
    for _ in 0..40 {
        bench.api.faults().lose_replies(Verb::Create, "jobs", 1);
        bench.api.faults().fail_next(Verb::Create, "jobs", 1, busy(500));
    }
    let specs: Vec<_> = (0..60).map(|_| with_fields(plain(), &json!({}))).collect();
    let launched = futures::future::join_all(specs.iter().map(|spec| bench.launch(spec))).await;
    let mut names: Vec<String> = launched.into_iter().map(|handle| job_name(&handle.unwrap()).to_owned()).collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), bench.api.list("jobs").len()), (60, 60));
}
