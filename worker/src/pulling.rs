//! Bringing a deployment's code on this machine: for runs that share its files, and for `worker pull`.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use central_api_wire::block::BlockDocument;
use central_api_wire::deployment::Deployment;
use code_storage::plan::{Entrypoint, StepAction};
use code_storage::{
    CodeError, DeploymentCode, EngineReason, Found, NativePull, PullFailure, PullLog, PullOptions, Pulled, RunSite,
};
use infra_contract::InfraPlugin;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use worker_core::spec::RunSpec;
use worker_core::template::Reference;

/// Who brings the code of a deployment. What its steps or its storage mention is asked of `fetch`.
///
/// # Errors
/// What `fetch` could not say.
pub(crate) async fn plan<E, F>(
    deployment: &Deployment,
    site: &RunSite,
    mut fetch: impl FnMut(Reference) -> F,
) -> Result<Result<NativePull, EngineReason>, E>
where
    F: Future<Output = Result<Option<Found>, E>>,
{
    let code = DeploymentCode {
        pull_steps: deployment.pull_steps.as_ref(),
        entrypoint: deployment.entrypoint.as_deref(),
        path: deployment.path.as_deref(),
        storage_block: deployment.storage_document_id,
        site,
    };
    let mut draft = match code_storage::plan(&code) {
        Ok(draft) => draft,
        Err(reason) => return Ok(Err(reason)),
    };
    while let Some(reference) = draft.pending().first().cloned() {
        let found = fetch(reference.clone()).await?;
        if let Err(reason) = draft.provide(&reference, found) {
            return Ok(Err(reason));
        }
    }
    Ok(draft.finish())
}

/// A block with its type.
pub(crate) fn found(block: BlockDocument) -> Found {
    Found { value: Value::Object(block.data), block_type: block.block_type.map(|of| of.slug) }
}

/// A command of the user's own may be anything, and a working directory of the user's own is where its pull steps
/// happen: both are left as Prefect's worker has them.
pub(crate) fn starts_the_engine(spec: &RunSpec) -> bool {
    spec.command.is_none() && spec.fields.get("working_dir").is_none_or(Value::is_null)
}

/// Where the flow's process of a run will run.
pub(crate) fn site(plugin: &dyn InfraPlugin, worker_environment: &BTreeMap<String, String>, spec: &RunSpec) -> RunSite {
    let shares_file_system = plugin.takes_code(&spec.fields);
    if let Some(process) = plugin.local_process(spec) {
        let python = process.python.map(Utf8PathBuf::from);
        let is_of_another_user = process.is_of_another_user;
        return RunSite {
            shares_file_system,
            is_here: true,
            is_of_another_user,
            python,
            environment: process.environment,
        };
    }
    let mut environment = worker_environment.clone();
    environment.extend(proxies(&spec.env));
    RunSite { shares_file_system, ..elsewhere(environment) }
}

/// The variables that say the way to the network.
pub(crate) fn proxies(env: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
    let is_proxy = move |name: &str| names.iter().any(|proxy| name.eq_ignore_ascii_case(proxy));
    env.iter().filter(move |(name, _)| is_proxy(name)).map(|(name, value)| (name.clone(), value.clone()))
}

/// The site of a container or pod that the code is brought to, of which nothing else is known here.
pub(crate) fn elsewhere(environment: BTreeMap<String, String>) -> RunSite {
    RunSite { shares_file_system: true, environment, ..RunSite::default() }
}

/// The entrypoint, if `worker pull` can bring the code to another machine by these steps. A directory of this one is not
/// there.
pub(crate) fn entrypoint_elsewhere(pull: &NativePull) -> Option<String> {
    let stays = |action: &StepAction| match action {
        StepAction::SetWorkingDirectory(directory) => directory.is_relative(),
        StepAction::GitClone(_) | StepAction::Fetch(_) => true,
        StepAction::RunShellScript(_) | StepAction::PipInstall(_) => false,
    };
    match pull.entrypoint() {
        Entrypoint::File { file, object } if file.is_relative() => {
            pull.steps().iter().all(|step| stays(&step.planned)).then(|| format!("{file}:{object}"))
        }
        Entrypoint::File { .. } | Entrypoint::Module(_) => None,
    }
}

/// Runs pull steps or fetches from storage, starting in a directory, which is made if it is not there. It is not cleaned up after a failure.
///
/// # Errors
/// As for [`code_storage::pull`].
pub(crate) async fn into(
    directory: &Utf8Path,
    pull: &NativePull,
    options: &PullOptions,
    log: &dyn PullLog,
    cancel: &CancellationToken,
) -> Result<Pulled, PullFailure> {
    fs_err::tokio::create_dir_all(directory).await.map_err(|source| PullFailure {
        error: CodeError::Directory { directory: directory.to_owned(), source },
        executed: Vec::new(),
        failed: None,
    })?;
    code_storage::pull(pull, directory, options, log, cancel).await
}

/// What was done, for people.
pub(crate) fn summary(pull: &NativePull, pulled: &Pulled) -> String {
    let sources: Vec<_> = provenance(pulled).iter().map(|source| format!(": {source}")).collect();
    let done = match pull.storage() {
        Some(_) => "fetched the deployment's code from its storage".to_owned(),
        None => format!("ran the deployment's {} pull steps", pull.steps().len()),
    };
    format!("The worker {done}; the code is in place{}", sources.concat())
}

/// What came from where.
pub(crate) fn provenance(pulled: &Pulled) -> Vec<String> {
    let source = |checkout: &code_storage::Checkout| {
        let stale = if checkout.stale { " (as last seen)" } else { "" };
        format!("{} at {}{stale}", checkout.source, checkout.revision)
    };
    pulled.checkouts.iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn code_for_elsewhere_comes_by_steps_that_bring_all_of_it() {
        for (steps, expected) in [
            (json!([{"git_clone": {"repository": "https://h.test/r"}}]), Some("flows/a.py:main")),
            (
                json!([
                    {"git_clone": {"repository": "https://h.test/r"}}, {"set_working_directory": {"directory": "r/x"}}
                ]),
                Some("flows/a.py:main"),
            ),
            (json!([{"set_working_directory": {"directory": "/srv"}}]), None),
            (json!([{"run_shell_script": {"script": "true"}}]), None),
            (json!([]), None),
        ] {
            let steps = steps.to_string().replace("git_clone", "prefect.deployments.steps.git_clone");
            let steps = steps.replace("set_working", "prefect.deployments.steps.set_working");
            let deployment: Deployment = serde_json::from_value(json!({
                "id": Uuid::nil(), "name": "d", "flow_id": Uuid::nil(), "entrypoint": "flows/a.py:main",
                "pull_steps": serde_json::from_str::<Value>(&steps).unwrap(),
            }))
            .unwrap();
            let nothing = |_| std::future::ready(Ok::<_, std::convert::Infallible>(None));
            let Ok(planned) = plan(&deployment, &elsewhere(BTreeMap::new()), nothing).await;
            let entrypoint = planned.ok().and_then(|pull| entrypoint_elsewhere(&pull));
            assert_eq!(entrypoint.as_deref(), expected, "{steps}");
        }
    }

    struct Silent;

    impl PullLog for Silent {
        fn output(&self, line: String) {
            panic!("{line}");
        }
    }

    #[tokio::test]
    async fn the_code_of_a_storage_block_is_brought_from_where_the_block_says() {
        let root = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(root.path()).unwrap();
        fs_err::create_dir_all(root.join("stored/flows")).unwrap();
        fs_err::write(root.join("stored/flows/a.py"), "code").unwrap();
        let deployment: Deployment = serde_json::from_value(json!({
            "id": Uuid::nil(), "name": "d", "flow_id": Uuid::nil(), "entrypoint": "a.py:main", "pull_steps": null,
            "path": "flows", "storage_document_id": Uuid::nil(),
        }))
        .unwrap();
        let block: BlockDocument = serde_json::from_value(json!({
            "id": Uuid::nil(), "name": "b", "data": {"basepath": root.join("stored")},
            "block_type": {"slug": "local-file-system", "name": "Local File System"},
        }))
        .unwrap();
        let api = |reference| {
            assert!(matches!(reference, Reference::BlockById(_)), "{reference:?}");
            std::future::ready(Ok::<_, std::convert::Infallible>(Some(found(block.clone()))))
        };
        let site = RunSite { shares_file_system: true, is_here: true, ..RunSite::default() };
        let Ok(planned) = plan(&deployment, &site, api).await;
        let pull = planned.unwrap();
        let run = root.join("run");
        let [looked] = code_storage::look(&pull, &PullOptions::default()).await.try_into().unwrap();
        assert_eq!((looked.step.as_str(), looked.found.is_ok_and(|what| what.is_some())), ("storage", true));
        let pulled = into(&run, &pull, &PullOptions::default(), &Silent, &CancellationToken::new()).await.unwrap();
        assert_eq!(pulled.code.entrypoint.as_deref(), Some(run.join("a.py:main").as_str()));
        assert_eq!(pull.expected(&run).entrypoint, pulled.code.entrypoint);
        let [told] = provenance(&pulled).try_into().unwrap();
        assert!(told.starts_with(&format!("{} at ", root.join("stored/flows"))), "{told}");
        let said = summary(&pull, &pulled);
        assert_eq!(
            said,
            format!("The worker fetched the deployment's code from its storage; the code is in place: {told}")
        );
        let Ok(elsewhere) = plan(&deployment, &elsewhere(BTreeMap::new()), api).await;
        assert_eq!(elsewhere.unwrap_err(), EngineReason::StorageElsewhere);
    }
}
