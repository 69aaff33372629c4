//! Secrets are in Secrets and nowhere else.

use std::io::Write;
use std::sync::{Arc, Mutex};

use infra_contract::InfraPlugin as _;
use kubernetes_api::{Failure, PodState, Verb};
use tracing_subscriber::fmt::MakeWriter;
use worker_core::spec::RunSpec;

use crate::support::clock::FastClock;
use crate::support::scripted::{FLOW, Scripted, plain};
use crate::support::{Seen, with_env};

const CANARIES: [&str; 5] =
    ["canary-api-key-1", "canary-auth-string-2", "canary-header-3", "canary-block-text-4", "canary-variable-5"];

fn run_with_canaries() -> RunSpec {
    let [key, auth, header, block, variable] = CANARIES;
    let headers = format!("{{\"X-Proxy\": \"{header}\"}}");
    let url = format!("postgres://me:{block}@db/flows");
    let mut spec = with_env(
        plain(),
        &[
            ("PREFECT_API_KEY", key),
            ("PREFECT_API_AUTH_STRING", auth),
            ("PREFECT_CLIENT_CUSTOM_HEADERS", &headers),
            ("DATABASE", &url),
            ("MY_PASSWORD", variable),
        ],
    );
    spec.block_texts = [block.to_owned()].into();
    spec
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn assert_clean(what: &str, text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} in {what}: {text}");
    }
}

#[tokio::test]
async fn c107_canaries_are_found_in_secrets_only() {
    let logged = Logged::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(logged.clone()).finish();
    // The test's runtime has one thread, so this is all that is logged in it.
    let _logging = tracing::subscriber::set_default(subscriber);
    let _clock = FastClock::start();
    let bench = Scripted::new().await;
    let spec = run_with_canaries();
    let mut told: Vec<String> = Vec::new();

    // Refused, and not answered.
    bench.api.faults().fail_next(Verb::Create, "secrets", 1, Failure::new(503, "ServiceUnavailable", "away"));
    bench.api.faults().lose_replies(Verb::Create, "secrets", 1);
    bench.api.faults().fail_next(Verb::Create, "jobs", 1, Failure::new(422, "Invalid", "spec: Invalid value"));
    told.push(format!("{:?}", bench.launch(&spec).await.unwrap_err()));

    let plan = bench.plugin.prepare(&spec).await.unwrap();
    told.push(plan.shown.to_string());
    let (mut watched, pod) = bench.start_running(&spec).await;
    told.push(format!("{:?}", watched.handle));
    bench.api.append_log(&pod, FLOW, &format!("Traceback: {}\n", CANARIES.join(" ")));
    bench.api.set_pod(&pod, &PodState::failed(1));
    let report = watched.end().await;
    told.push(format!("{report:?}"));
    told.push(format!("{:?}", bench.plugin.last_output(&watched.handle).await.unwrap()));
    // What a run itself writes is its own affair where it is streamed.
    let seen = Seen { output: String::new(), ..watched.seen() };
    told.push(format!("{seen:?}"));
    told.push(bench.log.text());
    bench.plugin.cleanup(&watched.handle).await.unwrap();

    for text in &told {
        assert_clean("what is told", text);
    }
    let log = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("infra_kubernetes"), "the log is taken");
    assert_clean("the log", &log);
    for request in bench.api.requests().iter().filter(|request| request.resource != "secrets") {
        assert_clean("a request", &format!("{request} {}", request.body));
    }
    for resource in ["jobs", "pods", "events"] {
        assert_clean(resource, &format!("{:?}", bench.api.list(resource)));
    }
    let sent: String = bench
        .api
        .requests()
        .iter()
        .filter(|request| request.resource == "secrets")
        .map(|request| request.body.clone())
        .collect();
    for canary in CANARIES {
        assert!(sent.contains(canary), "{canary} reaches its run");
    }
}
