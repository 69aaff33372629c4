//! The only file that names the kinds of infrastructure.

use std::sync::{Arc, OnceLock};

use infra_contract::InfraPlugin;
use infra_process::ProcessPlugin;
pub use infra_process::{ProcessSettings, SUPERVISE_RUN, SupervisorProgram, raise_open_files_limit, supervise};
use worker_core::handle::PluginKind;

/// Kinds that a pool can have, in the order in which they are listed to people.
pub const KINDS: [&str; 1] = ["process"];

/// The plugin of a kind, and the class name that Prefect would give its worker: the beginning of a default name.
pub struct Registered {
    /// The plugin.
    pub plugin: Arc<dyn InfraPlugin>,
    /// `ProcessWorker` and the like.
    pub worker_class: &'static str,
}

/// One plugin per kind, made when a pool first asks for it and shared by all pools.
pub struct Registry {
    process_settings: ProcessSettings,
    process: OnceLock<Arc<dyn InfraPlugin>>,
}

impl Registry {
    /// A registry that knows how to make plugins.
    pub fn new(process_settings: ProcessSettings) -> Self {
        Self { process_settings, process: OnceLock::new() }
    }

    /// The plugin of a kind; `None` if there is none.
    pub fn plugin(&self, kind: &PluginKind) -> Option<Registered> {
        match kind.as_str() {
            "process" => {
                let settings = &self.process_settings;
                let plugin = self.process.get_or_init(|| Arc::new(ProcessPlugin::new(settings.clone())));
                Some(Registered { plugin: Arc::clone(plugin), worker_class: "ProcessWorker" })
            }
            _ => None,
        }
    }

    /// The plugins of all kinds, of which an earlier process may have left something.
    pub fn all(&self) -> Vec<Arc<dyn InfraPlugin>> {
        KINDS
            .iter()
            .filter_map(|kind| self.plugin(&PluginKind::new(*kind)))
            .map(|registered| registered.plugin)
            .collect()
    }
}
