//! The code of a deployment: could it be brought?

use std::collections::BTreeMap;
use std::time::Duration;

use central_api_client::Client;
use central_api_wire::deployment::Deployment;
use code_storage::{EngineReason, Looked, PullOptions, RunSite};

use super::{Check, Found, bounded};
use crate::run::ErrorChain;
use crate::{pulling, references};

/// A server that is asked for its branches may be slow; one that is asked for nothing else may not be slower.
const LIMIT: Duration = Duration::from_secs(45);

/// A deployment whose code is looked at.
pub struct CodeUnderLook<'a> {
    /// What to call it.
    pub name: String,
    /// The deployment, or why it could not be read.
    pub deployment: Result<Deployment, String>,
    /// Whether its runs are processes of this machine.
    pub is_here: bool,
    /// The worker's own environment.
    pub environment: &'a BTreeMap<String, String>,
    /// How code is brought.
    pub options: PullOptions,
}

/// Looks at what the pull steps would bring.
pub(super) async fn look_at_code(client: &Client, code: &CodeUnderLook<'_>) -> Check {
    bounded(&format!("code of {}", code.name), LIMIT, findings(client, code)).await
}

async fn findings(client: &Client, code: &CodeUnderLook<'_>) -> Vec<Found> {
    let deployment = match &code.deployment {
        Ok(deployment) => deployment,
        Err(text) => return vec![Found::error(text.clone(), "`prefect deployment ls` lists them")],
    };
    let site = if code.is_here {
        let environment = code.environment.clone();
        RunSite { shares_file_system: true, is_here: true, environment, ..RunSite::default() }
    } else {
        pulling::elsewhere(code.environment.clone())
    };
    let fetch = |reference| async move { references::fetch(client, &reference).await };
    match pulling::plan(deployment, &site, fetch).await {
        Err(text) => vec![Found::error(text, "the pull steps mention it; the answer says why")],
        Ok(Err(EngineReason::LocalPath)) => {
            vec![Found::ok("it has no pull steps; its runs find their code where the deployment says")]
        }
        Ok(Err(reason)) => {
            vec![Found::ok(format!("the flow's own process brings it, so it is not looked at: {reason}"))]
        }
        Ok(Ok(pull)) => {
            let options =
                PullOptions { attempts: 1, time_limit: code.options.time_limit.min(LIMIT), ..code.options.clone() };
            code_storage::look(&pull, &options).await.into_iter().map(found).collect()
        }
    }
}

fn found(looked: Looked) -> Found {
    let step = &looked.step;
    match looked.found {
        Ok(Some(what)) => Found::ok(format!("{step}: {what}")),
        Ok(None) => Found::ok(format!("{step}: known only when it runs")),
        Err(error) => Found::error(format!("{step}: {}", ErrorChain(&error)), error.hint()),
    }
}
