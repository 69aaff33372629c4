//! An API server that a test may stop and kill.

use std::fs::File;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Program, tail};
use crate::server::{BED, SOON};
use crate::{Server, until};

/// A part of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The store.
    Etcd,
    /// What clients talk to.
    ApiServer,
    /// What makes pods of jobs, and removes what belongs to something that is gone.
    Manager,
}

const ALL: [Component; 3] = [Component::Etcd, Component::ApiServer, Component::Manager];

/// A control plane of its own. It has no node and no scheduler: a pod stays pending, unless it names a
/// [`FakeNode`](crate::FakeNode).
///
/// Its ports and its data stay the same whatever happens to its components. It notices a lost node after 13 seconds. All of
/// it ends with this value.
#[derive(Debug)]
pub struct PrivateControlPlane {
    server: Server,
    programs: [Option<Program>; ALL.len()],
    ports: Ports,
    folder: TempDir,
}

impl Deref for PrivateControlPlane {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl PrivateControlPlane {
    /// A new one that answers. It needs what `scripts/kubernetes-bed` leaves.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("plane-").tempdir().expect("a temporary directory");
        let ports = Ports::choose();
        for (from, to) in [("admin", "kubeconfig"), ("manager", "manager.kubeconfig")] {
            let text = std::fs::read_to_string(keys().join(format!("{from}.kubeconfig")));
            let text = text.unwrap_or_else(|error| panic!("run scripts/kubernetes-bed: {error}"));
            let text = with_port(&text, ports.api());
            std::fs::write(folder.path().join(to), text).expect("the folder was just made");
        }
        let server = Server::of(folder.path().join("kubeconfig"));
        let mut plane = Self { server, programs: [None, None, None], ports, folder };
        for component in ALL {
            plane.launch(component);
        }
        plane.wait().await;
        plane
    }

    /// Kills a component.
    pub fn kill(&mut self, component: Component) {
        drop(self.slot(component).take().expect("it runs"));
    }

    /// Starts a component that was killed, and waits until the API server answers, if all that it needs is there.
    pub async fn restart(&mut self, component: Component) {
        self.launch(component);
        if ALL.iter().all(|component| self.slot(*component).is_some()) {
            self.wait().await;
        }
    }

    /// Stops a component in its tracks: it keeps its connections, and answers nothing.
    pub fn freeze(&mut self, component: Component) {
        self.slot(component).as_ref().expect("it runs").signal(Signal::STOP);
    }

    /// Lets a component go on.
    pub fn thaw(&mut self, component: Component) {
        self.slot(component).as_ref().expect("it runs").signal(Signal::CONT);
    }

    fn slot(&mut self, component: Component) -> &mut Option<Program> {
        let [etcd, api, manager] = &mut self.programs;
        match component {
            Component::Etcd => etcd,
            Component::ApiServer => api,
            Component::Manager => manager,
        }
    }

    fn launch(&mut self, component: Component) {
        assert!(self.slot(component).is_none(), "it runs already");
        let (name, arguments) = match component {
            Component::Etcd => ("etcd", self.etcd()),
            Component::ApiServer => ("kube-apiserver", self.api_server()),
            Component::Manager => ("kube-controller-manager", self.manager()),
        };
        let mut command = Command::new(Path::new(BED).join("programs").join(name));
        command.args(arguments).env_clear().env("HOME", self.folder.path()).current_dir("/");
        *self.slot(component) = Some(Program::start(command, &self.log(component)));
    }

    /// Waits until it does all that it does for a test.
    async fn wait(&mut self) {
        let server = self.server.clone();
        until(SOON, "a private control plane to answer", async || {
            for component in ALL {
                let ended = self.slot(component).as_mut().and_then(Program::status);
                // On a busy machine it gives up before the API server answers.
                if ended.is_some() && component == Component::Manager {
                    self.kill(component);
                    self.launch(component);
                    continue;
                }
                assert!(ended.is_none(), "{component:?} ended: {ended:?}\n{}", tail(&self.log(component)));
            }
            // Only the last of what the server makes of itself at its start.
            let client = server.client().await;
            Api::<Namespace>::all(client.clone()).get_opt("kube-node-lease").await.ok()??;
            // And the first of what the manager makes.
            Api::<ServiceAccount>::namespaced(client, "default").get_opt("default").await.ok()??.secrets
        })
        .await;
    }

    fn log(&self, component: Component) -> PathBuf {
        self.folder.path().join(format!("{component:?}.log"))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn etcd(&self) -> Vec<String> {
        let (client, peer) = (local("http", self.ports.etcd()), local("http", self.ports.peer()));
        vec![
            format!("--data-dir={}", self.path("etcd")),
            "--name=bed".to_owned(),
            format!("--initial-cluster=bed={peer}"),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        let mut all = vec![
            format!("--etcd-servers={}", local("http", self.ports.etcd())),
            format!("--secure-port={}", self.ports.api()),
        ];
        let files = [
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("client-ca-file", "ca.crt"),
            ("token-auth-file", "tokens.csv"),
            ("service-account-key-file", "accounts.pub"),
            ("service-account-signing-key-file", "accounts.key"),
        ];
        all.extend(files.map(|(option, file)| format!("--{option}={}", keys().join(file).display())));
        let rest = [
            "--bind-address=127.0.0.1",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
            "--feature-gates=TTLAfterFinished=true",
        ];
        all.extend(rest.map(str::to_owned));
        all
    }

    fn manager(&self) -> Vec<String> {
        let mut all = vec![
            format!("--kubeconfig={}", self.path("manager.kubeconfig")),
            format!("--root-ca-file={}", keys().join("ca.crt").display()),
            format!("--service-account-private-key-file={}", keys().join("accounts.key").display()),
            format!("--secure-port={}", self.ports.manager()),
            format!("--cert-dir={}", self.path("manager")),
        ];
        let rest = [
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--port=0",
            "--profiling=false",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            // A third of the usual time until a lost node is known to be.
            "--node-monitor-grace-period=13s",
            "--feature-gates=TTLAfterFinished=true",
        ];
        all.extend(rest.map(str::to_owned));
        all
    }
}

impl Drop for PrivateControlPlane {
    fn drop(&mut self) {
        // Those who would complain of the absence of others first.
        for program in self.programs.iter_mut().rev() {
            *program = None;
        }
    }
}

/// The keys of the shared cluster are good for all.
fn keys() -> PathBuf {
    Path::new(BED).join("cluster/pki")
}

fn local(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

/// A kubeconfig of the shared cluster for another server of this machine.
fn with_port(kubeconfig: &str, port: u16) -> String {
    let address = "https://127.0.0.1:";
    let (before, rest) = kubeconfig.split_once(address).expect("the address of the shared cluster");
    let after = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}{address}{port}{after}")
}

/// Four ports that are kept free for one control plane, also while nothing listens.
#[derive(Debug)]
struct Ports {
    first: u16,
    /// Others do not take these ports while it is locked.
    _lock: File,
}

impl Ports {
    /// Below what the system gives to outgoing connections, so that none takes one during a restart.
    fn choose() -> Self {
        for first in (22000..24000).step_by(4) {
            let path = std::env::temp_dir().join(format!("kubernetes-bed-{first}.lock"));
            let lock = File::options().create(true).append(true).open(path).expect("a file in the temporary directory");
            let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if lock.try_lock().is_ok() && (first..first + 4).all(free) {
                return Self { first, _lock: lock };
            }
        }
        panic!("no ports are free")
    }

    fn etcd(&self) -> u16 {
        self.first
    }

    fn peer(&self) -> u16 {
        self.first + 1
    }

    fn api(&self) -> u16 {
        self.first + 2
    }

    fn manager(&self) -> u16 {
        self.first + 3
    }
}
