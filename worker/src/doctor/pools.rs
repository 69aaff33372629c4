//! Work pools, their queues and their templates.

use std::collections::BTreeMap;
use std::time::Duration;

use central_api_client::Client;
use central_api_wire::work_pool::{WorkPool, WorkQueue};
use serde_json::{Map, Value};
use worker_core::handle::PluginKind;
use worker_core::job_configuration::resolve;

use super::streams::look_at_channel;
use super::{Check, Found, bounded};
use crate::references;
use crate::registry::{KINDS, Registry};
use crate::run::ErrorChain;

const LIMIT: Duration = Duration::from_secs(30);
/// More names than these help nobody who looks for one.
const MOST_NAMES: usize = 20;

/// A pool that is to be served.
pub struct PoolUnderLook<'a> {
    /// Its name.
    pub name: String,
    /// The type that the settings say.
    pub kind: Option<String>,
    /// The queues that the settings say; none means all.
    pub queues: Vec<String>,
    /// Whether a worker makes it if it does not exist.
    pub is_made: bool,
    /// The kinds.
    pub registry: &'a Registry,
    /// The worker's own environment, for placeholders.
    pub worker_environment: &'a BTreeMap<String, String>,
}

/// Looks at a pool as a worker that is about to serve it.
pub(super) async fn look_at_pool(client: &Client, pool: &PoolUnderLook<'_>, version: Option<&str>) -> Vec<Check> {
    let mut is_there = false;
    let looked = bounded(&format!("pool {}", pool.name), LIMIT, async {
        match client.work_pool(&pool.name).await {
            Ok(found) => {
                is_there = true;
                findings(client, pool, &found).await
            }
            Err(error) if error.is_not_found() => vec![missing(client, pool).await],
            Err(error) => vec![Found::error(ErrorChain(&error).to_string(), "the answer says why")],
        }
    })
    .await;
    // A server closes the channel of a pool that it does not have, which would be said twice.
    let channel = if is_there { Some(look_at_channel(client, &pool.name, version).await) } else { None };
    std::iter::once(looked).chain(channel).collect()
}

async fn findings(client: &Client, wanted: &PoolUnderLook<'_>, pool: &WorkPool) -> Vec<Found> {
    let mut found = vec![of_type(pool, wanted.kind.as_deref())];
    found.extend(pause(pool));
    if pool.concurrency_limit == Some(0) {
        found.push(Found::warning(
            "its concurrency limit is 0: none of its runs are handed out",
            format!("prefect work-pool clear-concurrency-limit '{}'", pool.name),
        ));
    }
    match client.work_queues(&wanted.name, None).await {
        Ok(queues) => found.extend(of_queues(wanted, &queues)),
        Err(error) => found.push(Found::warning(
            format!("its queues could not be read: {}", ErrorChain(&error)),
            "the answer says why",
        )),
    }
    found.push(template(client, pool, wanted).await);
    found
}

async fn missing(client: &Client, wanted: &PoolUnderLook<'_>) -> Found {
    if wanted.is_made {
        let kind = wanted.kind.as_deref().unwrap_or("process");
        let message = format!("it does not exist; `worker start` makes it, with type {kind}");
        return Found::warning(message, format!("if that is not meant, check its name{}", others(client).await));
    }
    let hint = format!(
        "prefect work-pool create '{}' --type {}{}",
        wanted.name,
        wanted.kind.as_deref().unwrap_or("process"),
        others(client).await
    );
    Found::error("it does not exist", hint)
}

async fn others(client: &Client) -> String {
    match client.work_pools().await {
        Ok(pools) if !pools.is_empty() => {
            let names: Vec<String> = pools.into_iter().take(MOST_NAMES).map(|pool| pool.name).collect();
            format!("; the API has: {}", names.join(", "))
        }
        Ok(_) | Err(_) => String::new(),
    }
}

fn of_type(pool: &WorkPool, wanted: Option<&str>) -> Found {
    let kind = pool.pool_type.as_str();
    let served_as = wanted.unwrap_or(kind);
    if wanted.is_none() && (kind.ends_with(":push") || kind.ends_with(":managed")) {
        return Found::error(
            format!("it has type {kind}: its runs are started by the server, not by workers"),
            "choose another pool",
        );
    }
    if wanted.is_none() && kind == "prefect-agent" {
        return Found::error("it is for Prefect agents, which no worker can serve", "make a work pool of another type");
    }
    if !KINDS.contains(&served_as) {
        return Found::error(
            format!("it has type {served_as}, which this worker cannot execute"),
            format!("this build executes: {}", KINDS.join(", ")),
        );
    }
    if served_as == kind {
        Found::ok(format!("it exists, with type {kind}"))
    } else {
        Found::warning(
            format!("it has type {kind} and is served as {served_as}, as the settings say"),
            "take --type or `type` away to serve it as what it is",
        )
    }
}

fn pause(pool: &WorkPool) -> Option<Found> {
    let hint = format!("prefect work-pool resume '{}'", pool.name);
    pool.is_paused.then(|| Found::warning("it is paused: none of its runs are handed out", hint))
}

fn of_queues(wanted: &PoolUnderLook<'_>, queues: &[WorkQueue]) -> Vec<Found> {
    let pool = &wanted.name;
    let mut found = Vec::new();
    for name in wanted.queues.iter().filter(|name| queues.iter().all(|queue| queue.name != **name)) {
        let known: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        found.push(Found::error(
            format!("it has no queue '{name}', and a poll that names it fails; it has: {}", known.join(", ")),
            format!("prefect work-queue create '{name}' --pool '{pool}'"),
        ));
    }
    let served = |queue: &&WorkQueue| wanted.queues.is_empty() || wanted.queues.contains(&queue.name);
    for queue in queues.iter().filter(served) {
        if queue.is_paused {
            let hint = format!("prefect work-queue resume '{}' --pool '{pool}'", queue.name);
            found.push(Found::warning(format!("its queue '{}' is paused", queue.name), hint));
        } else if queue.concurrency_limit == Some(0) {
            let hint = format!("prefect work-queue clear-concurrency-limit '{}' --pool '{pool}'", queue.name);
            found.push(Found::warning(format!("the concurrency limit of its queue '{}' is 0", queue.name), hint));
        }
    }
    found
}

/// Whether a run without job variables of its own could be configured.
async fn template(client: &Client, pool: &WorkPool, wanted: &PoolUnderLook<'_>) -> Found {
    if pool.base_job_template.is_empty() {
        return Found::ok("it has no base job template yet; the first worker of its type gives it one");
    }
    let kind = PluginKind::new(wanted.kind.as_deref().unwrap_or(&pool.pool_type));
    let own = wanted.registry.plugin(&kind).map(|registered| registered.plugin.own_variables()).unwrap_or_default();
    let (nothing, template) = (Map::new(), Value::Object(pool.base_job_template.clone()));
    let refused = |what: String, hint: &str| Found::error(format!("its base job template: {what}"), hint);
    let mut draft = match resolve(&template, &nothing, &nothing, own, wanted.worker_environment) {
        Ok(draft) => draft,
        Err(error) => return refused(ErrorChain(&error).to_string(), error.hint()),
    };
    while let Some(reference) = draft.pending().first().cloned() {
        let data = match references::value(client, &reference).await {
            Ok(data) => data,
            Err(text) => return refused(text, "the answer says why"),
        };
        if let Err(error) = draft.provide(&reference, data) {
            return refused(ErrorChain(&error).to_string(), error.hint());
        }
    }
    match draft.finish() {
        Ok(_) => Found::ok("its base job template is valid"),
        Err(error) => refused(ErrorChain(&error).to_string(), error.hint()),
    }
}
