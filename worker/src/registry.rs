//! The only file that names the kinds of infrastructure.

use std::sync::{Arc, OnceLock};

use camino::Utf8Path;
use central_api_wire::CLIENT_VERSION;
use infra_contract::{InfraPlugin, Owner};
use infra_docker::DockerPlugin;
pub use infra_docker::{Cleanup, DockerSettings, Secrets};
use infra_kubernetes::KubernetesPlugin;
use infra_process::ProcessPlugin;
pub use infra_process::{
    Confinement, Inheritance, ProcessSettings, RunAs, SUPERVISE_RUN, SupervisorProgram, Warm, raise_open_files_limit,
    supervise,
};
use worker_core::handle::PluginKind;

use crate::slots_held::SlotsHeld;

/// What of the Kubernetes kind is set and can be had without a cluster.
pub mod kubernetes {
    pub use infra_kubernetes::{
        Cleanup, Grant, KubernetesSettings, SecretKeyRef, Secrets, is_account_name, is_namespace_name,
    };
}

/// Kinds that a pool can have, in the order in which they are listed to people.
pub const KINDS: [&str; 3] = ["process", "docker", "kubernetes"];

/// The Python of Prefect's own image, which runs flows in containers where no image is configured.
const DEFAULT_IMAGE_PYTHON: &str = "3.12";

/// The plugin of a kind, with what the worker has to know of the kind besides.
pub struct Registered {
    /// The plugin.
    pub plugin: Arc<dyn InfraPlugin>,
    /// `ProcessWorker` and the like.
    pub worker_class: &'static str,
    /// How long its runs hold their slots.
    pub slots_held: SlotsHeld,
}

/// What the plugins are told. Holds credentials, so there is no `Debug`.
#[derive(Clone)]
pub struct PluginSettings {
    /// Of the process kind.
    pub process: ProcessSettings,
    /// Of the Docker kind.
    pub docker: DockerSettings,
    /// Of the Kubernetes kind.
    pub kubernetes: kubernetes::KubernetesSettings,
    /// How long runs of the Kubernetes kind hold their slots.
    pub kubernetes_slots: SlotsHeld,
}

impl PluginSettings {
    /// The same, for a daemon whose mark this is and that has this folder to itself.
    #[must_use]
    pub fn of_daemon(self, owner: &Owner, folder: &Utf8Path) -> Self {
        Self {
            process: ProcessSettings { owner: owner.clone(), ..self.process },
            docker: DockerSettings { owner: owner.clone(), state_directory: folder.join("docker"), ..self.docker },
            kubernetes: kubernetes::KubernetesSettings {
                owner: owner.clone(),
                state_directory: folder.join("kubernetes"),
                ..self.kubernetes
            },
            kubernetes_slots: self.kubernetes_slots,
        }
    }
}

/// One plugin per kind and API, made when a pool first asks for it and shared by all pools.
pub struct Registry {
    settings: PluginSettings,
    process: OnceLock<Arc<dyn InfraPlugin>>,
    docker: OnceLock<Arc<dyn InfraPlugin>>,
    kubernetes: OnceLock<Arc<dyn InfraPlugin>>,
}

impl Registry {
    /// A registry that knows how to make plugins.
    pub const fn new(settings: PluginSettings) -> Self {
        Self { settings, process: OnceLock::new(), docker: OnceLock::new(), kubernetes: OnceLock::new() }
    }

    /// The plugin of a kind; `None` if there is none.
    pub fn plugin(&self, kind: &PluginKind) -> Option<Registered> {
        let (plugin, worker_class, slots_held) = match kind.as_str() {
            "process" => {
                let settings = &self.settings.process;
                (
                    self.process.get_or_init(|| Arc::new(ProcessPlugin::new(settings.clone()))),
                    "ProcessWorker",
                    SlotsHeld::UntilEnd,
                )
            }
            "docker" => {
                let settings = &self.settings.docker;
                (
                    self.docker.get_or_init(|| Arc::new(DockerPlugin::new(settings.clone(), default_image()))),
                    "DockerWorker",
                    SlotsHeld::UntilEnd,
                )
            }
            "kubernetes" => {
                let make = || -> Arc<dyn InfraPlugin> {
                    Arc::new(KubernetesPlugin::new(self.settings.kubernetes.clone(), default_image(), CLIENT_VERSION))
                };
                (self.kubernetes.get_or_init(make), "KubernetesWorker", self.settings.kubernetes_slots)
            }
            _ => return None,
        };
        Some(Registered { plugin: Arc::clone(plugin), worker_class, slots_held })
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

fn default_image() -> String {
    format!("prefecthq/prefect:{CLIENT_VERSION}-python{DEFAULT_IMAGE_PYTHON}")
}
