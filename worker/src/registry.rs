//! The only file that names the kinds of infrastructure.

use std::collections::HashMap;
use std::sync::Arc;

use infra_contract::InfraPlugin;
use infra_process::ProcessPlugin;
pub use infra_process::ProcessSettings;
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
    made: HashMap<&'static str, Arc<dyn InfraPlugin>>,
}

impl Registry {
    /// A registry that knows how to make plugins.
    pub fn new(process_settings: ProcessSettings) -> Self {
        Self { process_settings, made: HashMap::new() }
    }

    /// The plugin of a kind; `None` if there is none.
    pub fn plugin(&mut self, kind: &PluginKind) -> Option<Registered> {
        match kind.as_str() {
            "process" => {
                let settings = &self.process_settings;
                let plugin =
                    self.made.entry("process").or_insert_with(|| Arc::new(ProcessPlugin::new(settings.clone())));
                let plugin = Arc::clone(plugin);
                Some(Registered { plugin, worker_class: "ProcessWorker" })
            }
            _ => None,
        }
    }
}
