//! Whether what runs are started with answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use infra_contract::InfraPlugin;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use worker_core::handle::PluginKind;

use crate::run::ErrorChain;

/// An answer holds for so long: several probes and scrapes may ask within it.
const FRESH: Duration = Duration::from_secs(5);
/// A backend that takes longer is not one that could start runs now. Whoever probes has little time himself.
const ANSWER: Duration = Duration::from_secs(2);

/// What was found out about the backends of a daemon. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Backends(Arc<Mutex<HashMap<PluginKind, Asked>>>);

#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    trouble: Option<String>,
}

impl Backends {
    /// Why a backend cannot be reached, if it cannot. Those who ask at the same time share one question.
    pub async fn trouble(&self, plugin: &dyn InfraPlugin) -> Option<String> {
        let kind = plugin.kind();
        let mut asked = self.0.lock().await;
        if let Some(asked) = asked.get(&kind).filter(|asked| asked.at.elapsed() < FRESH) {
            return asked.trouble.clone();
        }
        let trouble = match timeout(ANSWER, plugin.reachable()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(ErrorChain(&error).to_string()),
            Err(_) => Some(format!("no answer within {ANSWER:?}")),
        };
        asked.insert(kind, Asked { at: Instant::now(), trouble: trouble.clone() });
        trouble
    }
}
