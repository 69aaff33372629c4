//! An engine that a test may stop and kill.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::process::{Program, tail, until};
use crate::{BUSYBOX, Engine, remains};

/// Bound for a start or a stop. Without live restore a stop ends the containers first, and each has ten seconds.
const SOON: Duration = Duration::from_mins(1);
const PING: Duration = Duration::from_secs(2);

/// How a private engine is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Containers go on while the engine is away.
    pub live_restore: bool,
}

/// A `dockerd` with its own containerd and data, with [`BUSYBOX`] in it.
///
/// It has no bridge: containers use the networks `none` and `host`. What is left of it ends with this value.
#[derive(Debug)]
pub struct PrivateEngine {
    engine: Engine,
    options: Options,
    daemon: Option<Program>,
    folder: TempDir,
}

impl Deref for PrivateEngine {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl PrivateEngine {
    pub(crate) fn new(options: Options) -> Self {
        assert!(geteuid().is_root(), "a Docker Engine of its own needs root");
        let shared = Engine::shared();
        // Not below TMPDIR: the path of a socket may have 107 characters, and containerd's is some way down.
        let folder = tempfile::Builder::new().prefix("bed-").tempdir_in("/tmp").expect("a temporary directory");
        let engine = Engine::at(format!("unix://{}", folder.path().join("docker.sock").display()));
        let mut private = Self { engine, options, daemon: None, folder };
        // Without a file of its own it reads the machine's, which may contradict the arguments.
        std::fs::write(private.file("daemon.json"), "{}").expect("the folder was just made");
        private.start();
        let image = private.file("image.tar").display().to_string();
        shared.docker_ok(&["save", "--output", &image, BUSYBOX]);
        private.docker_ok(&["load", "--input", &image]);
        private
    }

    /// Stops the daemon as an upgrade does, and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "the engine runs already");
        for left in ["docker.pid", "exec/containerd/containerd.pid"] {
            // After a kill they are there, and the processes of these numbers may be zombies that nobody waits for yet.
            std::fs::remove_file(self.file(left)).unwrap_or_default();
        }
        // An engine without a bridge removes `docker0` where it finds it: without a network of its own, that of the shared
        // engine.
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "dockerd"]).args(self.arguments());
        // Nothing of the test's environment: a proxy, the socket of a service manager.
        command
            .env_clear()
            .env("PATH", path_with_system_programs())
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.folder.path());
        command.current_dir("/");
        let (log, socket) = (self.file("dockerd.log"), self.file("docker.sock"));
        let mut daemon = Program::start(command, &log);
        until(SOON, format_args!("dockerd in {} to answer", self.folder.path().display()), || {
            let ended = daemon.status();
            assert!(ended.is_none(), "dockerd ended at its start: {ended:?}\n{}", tail(&log));
            answers(&socket).then_some(())
        });
        self.daemon = Some(daemon);
    }

    /// Stops the daemon and waits for its end. Containers end before it, unless they are to be restored.
    pub fn stop(&mut self) {
        let mut daemon = self.daemon.take().expect("the engine runs");
        daemon.terminate();
        until(SOON, format_args!("dockerd in {} to end", self.folder.path().display()), || daemon.status());
    }

    /// Kills the daemon and its containerd. Containers go on; without live restore the next start ends them.
    pub fn kill(&mut self) {
        drop(self.daemon.take().expect("the engine runs"));
        // The kernel kills it together with dockerd, but not before this.
        assert!(remains::kill_containerd(self.name()), "containerd survives its dockerd");
    }

    fn arguments(&self) -> Vec<OsString> {
        let paths = [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "docker.pid"),
        ];
        let mut all: Vec<OsString> = paths
            .into_iter()
            .flat_map(|(option, name)| [OsString::from(option), self.file(name).into_os_string()])
            .collect();
        all.extend(["--host", self.host()].map(Into::into));
        // What ends up outside of the folder has a name that the end of all this is found by. The namespaces count where
        // the machine has a containerd of its own: dockerd uses that one then.
        let name = self.name();
        all.extend(
            ["--cgroup-parent", &format!("/{name}"), "--exec-opt", "native.cgroupdriver=cgroupfs"].map(Into::into),
        );
        all.extend(["--containerd-namespace", name].map(Into::into));
        all.extend(["--containerd-plugins-namespace", &format!("{name}-plugins")].map(Into::into));
        // Copies instead of layers work on any file system, and the image is small.
        all.extend(["--storage-driver", "vfs"].map(Into::into));
        all.extend(["--bridge=none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"].map(Into::into));
        all.extend(self.options.live_restore.then(|| "--live-restore".into()));
        all
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder's name, which no other engine has.
    fn name(&self) -> &str {
        self.folder.path().file_name().and_then(OsStr::to_str).expect("a name that was made from letters")
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        self.daemon = None;
        remains::clear(self.folder.path(), self.name());
    }
}

/// The search path with the folders that only the one of root has.
fn path_with_system_programs() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

fn answers(socket: &Path) -> bool {
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PING))?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut status = [0; "HTTP/1.x 200".len()];
        stream.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
