//! A machine that systemd runs, in a container.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::{Engine, process};

/// Made by `scripts/docker-bed`: Debian with systemd, git and what an image of the worker is put together from.
pub const MACHINE: &str = "worker-test/machine:1";

/// What systemd needs to run services in sandboxes. Not `--privileged`: machines of a CI may have fewer capabilities than all.
const CAPABILITIES: [&str; 6] = ["SYS_ADMIN", "SYS_PTRACE", "SYS_NICE", "SYS_RAWIO", "NET_ADMIN", "DAC_READ_SEARCH"];

/// Bound for a boot, on a machine with other work.
const BOOT: Duration = Duration::from_mins(5);

/// A machine; gone with this value.
#[derive(Debug)]
pub struct Machine {
    engine: Engine,
    container: String,
}

impl Machine {
    /// Boots one whose mounts are shared, as outside of containers, because credentials are mounts. It sees the API of the test,
    /// and a folder at the same place.
    pub fn boot(shared: &Path) -> Self {
        let engine = Engine::shared();
        let folder = format!("{0}:{0}", shared.display());
        let mut arguments = vec!["run", "--detach", "--network=host", "--cgroupns=private", "--env=container=docker"];
        arguments.extend(["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]);
        arguments.extend(["--tmpfs=/run:exec", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec", "--volume", &folder]);
        arguments.extend(CAPABILITIES.into_iter().flat_map(|capability| ["--cap-add", capability]));
        arguments.extend([MACHINE, "sh", "-c", "mount --make-rshared / && exec /sbin/init"]);
        let container = engine.docker_ok(&arguments);
        let machine = Self { engine, container };
        process::until(BOOT, "systemd, in a container", || {
            let (_, state) = machine.tries("systemctl is-system-running");
            ["running", "degraded"].contains(&state.trim()).then_some(())
        });
        machine
    }

    /// The program that runs another one in it, as root and with its own standard input.
    pub fn entered(&self, options: &[&str]) -> Vec<OsString> {
        let client = ["docker", "--host", self.engine.host(), "exec", "--interactive"];
        client.iter().chain(options).map(OsString::from).chain([self.container.clone().into()]).collect()
    }

    /// Runs a shell script as root; whether it ended well, and what it said.
    pub fn tries(&self, script: &str) -> (bool, String) {
        let done = self.engine.docker(&["exec", &self.container, "sh", "-c", script]);
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }

    /// The same for one that has to end well; what it said.
    pub fn does(&self, script: &str) -> String {
        let (is_well, said) = self.tries(script);
        assert!(is_well, "{script}: {said}\n{}", self.journal());
        said.trim_end().to_owned()
    }

    /// Writes a file.
    pub fn writes(&self, path: &str, text: &str) {
        self.does(&format!("mkdir -p $(dirname {path}) && printf '%s' '{text}' >{path}"));
    }

    /// What the service has said.
    pub fn journal(&self) -> String {
        self.tries("journalctl --no-pager --unit 'worker*'").1
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.engine.docker(&["rm", "--force", "--volumes", &self.container]);
    }
}
