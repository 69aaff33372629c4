//! The quick start's own calls of the API: patient with a server that does not answer, and none of them done twice.

use http::Method;
use tokio::process::Command;
use worker_tests::faults::{Answer, Fault, Rule};
use worker_tests::harness::{DeploymentSpec, python_program, workspace_root};

use crate::faults::Between;
use crate::in_memory::InMemory;

/// What a call of `PatientApi` printed, or its last words.
async fn called(between: &Between, call: &str) -> Result<String, String> {
    let url = between.proxy.url();
    let program = format!(
        "from patient_api import ApiError, PatientApi\n\
         api = PatientApi('{url}', answer_seconds=1)\n\
         try:\n    print(api.{call})\n\
         except ApiError as error:\n    raise SystemExit(f'gave up: {{error}}')"
    );
    let ended = Command::new(python_program("python"))
        .args(["-c", &program])
        .env("PYTHONPATH", workspace_root().join("scripts"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if ended.status.success() { Ok(text(ended.stdout)) } else { Err(text(ended.stderr)) }
}

#[tokio::test]
async fn a_run_is_created_once_whatever_the_server_answers_meanwhile() {
    let it = InMemory::start().await;
    let (pool, between) = (it.lab.pool().await, Between::new(&it.lab).await);
    let flow = it.lab.api.create_flow("hello").await;
    let spec = DeploymentSpec { name: "quickstart".to_owned(), pool: pool.name.clone(), ..DeploymentSpec::default() };
    it.lab.api.create_deployment(flow, spec).await;

    let cut_off = Fault::Answer(Answer { body: r#"{"id": "#.to_owned(), ..answer_of(Fault::html()) });
    let by_name = "/api/deployments/name/**";
    let create = "/api/deployments/*/create_flow_run";
    let faults = [
        Rule::on(by_name, Fault::Reset).times(1),
        Rule::on(by_name, Fault::BlackHole).times(1),
        Rule::on(by_name, Fault::html()).times(1),
        Rule::on(create, Fault::LoseReply).times(1),
        Rule::on(create, Fault::status(500)).times(1),
        Rule::on(create, Fault::status(503)).times(1),
        Rule::on(create, cut_off).times(1),
    ];
    let rules = faults.map(|rule| between.add(rule));
    let run = called(&between, "create_run('hello/quickstart', 60)").await.unwrap();

    for rule in rules {
        assert_eq!(between.proxy.counts().of(rule), 1);
    }
    let runs = it.store().read(|tables| tables.runs().map(|run| run.id.to_string()).collect::<Vec<_>>());
    assert_eq!(runs, [run], "the answer that was lost made a second run");
}

fn answer_of(fault: Fault) -> Answer {
    let Fault::Answer(answer) = fault else { unreachable!("the proxy answers") };
    answer
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_with_what_it_did_last() {
    let it = InMemory::start().await;
    let between = Between::new(&it.lab).await;
    between.add(Rule::on("/api/health", Fault::BlackHole));
    let said = called(&between, "call('/health', seconds=3)").await.unwrap_err();
    assert!(said.starts_with("gave up: no answer to /health within 3 s and "), "{said}");
    assert!(said.contains("timed out"), "{said}");
}

#[tokio::test]
async fn what_is_refused_is_not_asked_for_again() {
    let it = InMemory::start().await;
    let between = Between::new(&it.lab).await;
    let rule = between.add(Rule::on("/api/health", Fault::status(404)).method(Method::GET));
    let said = called(&between, "call('/health', seconds=60)").await.unwrap_err();
    assert!(said.contains("the server refused /health") && said.contains("404"), "{said}");
    assert_eq!(between.proxy.counts().of(rule), 1);
}
