//! What the kinds of infrastructure need.

use std::time::Duration;

use futures::future::join_all;
use worker_core::handle::PluginKind;

use super::{Check, Found, bounded};
use crate::registry::{KINDS, Registry};

/// The longest wait of a plugin's own is shorter.
const LIMIT: Duration = Duration::from_mins(1);

/// Looks at the surroundings of each of these kinds.
pub async fn look_at_kinds(registry: &Registry, kinds: &[String]) -> Vec<Check> {
    join_all(kinds.iter().map(|kind| look_at_kind(registry, kind))).await
}

async fn look_at_kind(registry: &Registry, kind: &str) -> Check {
    let Some(registered) = registry.plugin(&PluginKind::new(kind)) else {
        let hint = format!("this build executes: {}", KINDS.join(", "));
        return Check::error(kind, format!("this worker has no kind '{kind}'"), hint);
    };
    let looking = async { registered.plugin.check().await.into_iter().map(Found::from).collect() };
    bounded(kind, LIMIT, looking).await
}
