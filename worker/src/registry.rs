//! The only file that names the kinds of infrastructure.

use std::sync::{Arc, OnceLock};

use camino::Utf8Path;
use central_api_wire::CLIENT_VERSION;
use infra_contract::{InfraPlugin, Owner};
use infra_docker::DockerPlugin;
pub use infra_docker::{Cleanup, DockerSettings, Secrets};
use infra_process::ProcessPlugin;
pub use infra_process::{ProcessSettings, SUPERVISE_RUN, SupervisorProgram, raise_open_files_limit, supervise};
use worker_core::handle::PluginKind;

/// Kinds that a pool can have, in the order in which they are listed to people.
pub const KINDS: [&str; 2] = ["process", "docker"];

/// The Python of Prefect's own image, which runs flows in containers where no image is configured.
const DEFAULT_IMAGE_PYTHON: &str = "3.12";

/// The plugin of a kind, and the class name that Prefect would give its worker: the beginning of a default name.
pub struct Registered {
    /// The plugin.
    pub plugin: Arc<dyn InfraPlugin>,
    /// `ProcessWorker` and the like.
    pub worker_class: &'static str,
}

/// What the plugins are told. Holds credentials, so there is no `Debug`.
#[derive(Clone)]
pub struct PluginSettings {
    /// Of the process kind.
    pub process: ProcessSettings,
    /// Of the Docker kind.
    pub docker: DockerSettings,
}

impl PluginSettings {
    /// The same, for a daemon whose mark this is and that has this folder to itself.
    #[must_use]
    pub fn of_daemon(self, owner: &Owner, folder: &Utf8Path) -> Self {
        let state_directory = folder.join("docker");
        Self {
            process: ProcessSettings { owner: owner.clone(), ..self.process },
            docker: DockerSettings { owner: owner.clone(), state_directory, ..self.docker },
        }
    }
}

/// One plugin per kind, made when a pool first asks for it and shared by all pools.
pub struct Registry {
    settings: PluginSettings,
    process: OnceLock<Arc<dyn InfraPlugin>>,
    docker: OnceLock<Arc<dyn InfraPlugin>>,
}

impl Registry {
    /// A registry that knows how to make plugins.
    pub const fn new(settings: PluginSettings) -> Self {
        Self { settings, process: OnceLock::new(), docker: OnceLock::new() }
    }

    /// The plugin of a kind; `None` if there is none.
    pub fn plugin(&self, kind: &PluginKind) -> Option<Registered> {
        let (plugin, worker_class) = match kind.as_str() {
            "process" => {
                let settings = &self.settings.process;
                (self.process.get_or_init(|| Arc::new(ProcessPlugin::new(settings.clone()))), "ProcessWorker")
            }
            "docker" => {
                let settings = &self.settings.docker;
                let image = format!("prefecthq/prefect:{CLIENT_VERSION}-python{DEFAULT_IMAGE_PYTHON}");
                (self.docker.get_or_init(|| Arc::new(DockerPlugin::new(settings.clone(), image))), "DockerWorker")
            }
            _ => return None,
        };
        Some(Registered { plugin: Arc::clone(plugin), worker_class })
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
