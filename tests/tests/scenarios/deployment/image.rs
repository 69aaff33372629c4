//! The image: that the Dockerfile builds, and that what it builds works with as little as clusters allow.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use central_api_wire::state::StateType;
use docker_bed::{Engine, MACHINE};
use rustix::process::Signal;
use worker_tests::harness::{SOON, until, worker_binary, workspace_root};

use crate::in_memory::InMemory;
use crate::marks::Marks;

/// An image; gone with this value.
struct Image {
    engine: Engine,
    name: String,
    /// What of it are the programs under test.
    programs: u64,
}

/// What the image may have at most besides the worker, in bytes. Compressed it is less than half, as is a worker of a release of
/// some 25 MB, and both together are to stay below 40 MB.
const SYSTEM: u64 = 48_000_000;

impl Image {
    /// Builds it of the programs under test.
    fn build() -> Self {
        let context = tempfile::tempdir().unwrap();
        let from = workspace_root();
        let copy = |source: &Path, to: &str| {
            let to = context.path().join(to);
            fs_err::create_dir_all(to.parent().unwrap()).unwrap();
            fs_err::copy(source, to).unwrap();
        };
        copy(&from.join("LICENSE"), "LICENSE");
        copy(&from.join("deploy/image/assemble"), "deploy/image/assemble");
        copy(&worker_binary(), "dist/amd64/worker");
        copy(&worker_binary().with_file_name("worker-supervisor"), "dist/amd64/worker-supervisor");
        fs_err::write(context.path().join("dist/worker.cdx.json"), "{}").unwrap();
        let stripped = Command::new("strip").arg(context.path().join("dist/amd64/worker")).status().unwrap();
        assert!(stripped.success());
        let size = |name: &str| fs_err::metadata(context.path().join("dist/amd64").join(name)).unwrap().len();
        let programs = size("worker") + size("worker-supervisor");

        let engine = Engine::shared();
        let name = format!("worker-test/image:{}", uuid::Uuid::new_v4().simple());
        let dockerfile = from.join("deploy/image/Dockerfile");
        let base = format!("DEBIAN={MACHINE}");
        let mut arguments = vec!["build", "--quiet", "--network=host", "--target=prebuilt", "--build-arg", &base];
        arguments.extend(["--tag", &name, "--file", dockerfile.to_str().unwrap(), context.path().to_str().unwrap()]);
        engine.docker_ok(&arguments);
        Self { engine, name, programs }
    }

    /// Builds the one with Python on top of it. Python is Debian's, and `pip` is asked for what it has already: the tests can neither
    /// pull the base nor rely on a registry of Python packages.
    fn with_python(&self) -> Self {
        let engine = Engine::shared();
        let context = tempfile::tempdir().unwrap();
        let folder = context.path().to_str().unwrap();
        let install = "apt-get update && apt-get install --yes --no-install-recommends python3-venv";
        fs_err::write(context.path().join("Dockerfile"), format!("FROM {MACHINE}\nRUN {install}\n")).unwrap();
        let id = uuid::Uuid::new_v4().simple();
        let base = Self { engine, name: format!("worker-test/python:{id}"), programs: 0 };
        base.engine.docker_ok(&["build", "--quiet", "--network=host", "--tag", &base.name, folder]);

        let dockerfile = workspace_root().join("deploy/image/Dockerfile.python");
        let name = format!("worker-test/image-python:{id}");
        let (python, worker) = (format!("PYTHON={}", base.name), format!("WORKER={}", self.name));
        let mut arguments = vec!["build", "--quiet", "--network=host", "--tag", &name];
        arguments.extend(["--build-arg", &python, "--build-arg", &worker, "--build-arg", "PREFECT=pip"]);
        arguments.extend(["--file", dockerfile.to_str().unwrap(), folder]);
        base.engine.docker_ok(&arguments);
        Self { engine: Engine::shared(), name, programs: self.programs }
    }

    /// How it is run if nobody says otherwise.
    fn defaults(&self) -> String {
        let shown =
            "{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.WorkingDir}} {{.Config.Volumes}}";
        self.engine.docker_ok(&["image", "inspect", "--format", shown, &self.name])
    }

    /// Runs a container as strangers would: no root, no capabilities, nothing to write to but what is named.
    fn hardened<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments =
            vec!["run", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host"];
        arguments.extend(more);
        arguments.push(&self.name);
        arguments
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.engine.docker(&["image", "rm", "--force", &self.name]);
    }
}

// The API goes on while the test waits for a command of Docker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_works_without_root_and_with_a_file_system_that_is_read_only() {
    let image = Image::build();
    let says = |more: &[&str], command: &[&str]| image.engine.docker_ok(&[&image.hardened(more)[..], command].concat());
    let once = ["--rm", "--user=12345:12345", "--tmpfs=/tmp"];
    assert!(says(&once, &["version"]).starts_with("worker "));
    let size: u64 = image.engine.docker_ok(&["image", "inspect", "--format={{.Size}}", &image.name]).parse().unwrap();
    assert!(size - image.programs < SYSTEM, "{size} bytes, {} of them the worker", image.programs);

    // As the init container of a Job: `worker pull` and git, over https, with submodules and LFS.
    let shell = ["--rm", "--user=12345:12345", "--tmpfs=/tmp", "--entrypoint=sh"];
    let script = "cd /tmp && git init -q a && git init -q b && cd a && git -c user.name=n -c user.email=e commit -q --allow-empty -m m && \
                  cd ../b && git -c protocol.file.allow=always submodule add -q /tmp/a sub && git submodule status && git lfs version && \
                  test -x /usr/lib/git-core/git-remote-https && test -s /etc/ssl/certs/ca-certificates.crt && worker pull --help";
    let said = says(&shell, &["-c", script]);
    assert!(said.contains(" sub (heads/master)") && said.contains("git-lfs/"), "{said}");
    let recorded = says(&shell, &["-c", "ls /var/lib/dpkg/status.d /usr/share/doc"]);
    for package in ["git", "libcurl3-gnutls", "libssl3", "openssh-client", "ca-certificates"] {
        assert_eq!(recorded.lines().filter(|line| *line == package).count(), 2, "{package}: {recorded}");
    }

    executes(&image, "echo ran", "ran").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_with_python_is_run_like_the_other_and_has_a_python_for_flows() {
    let image = Image::build();
    let python = image.with_python();
    assert_eq!(python.defaults(), image.defaults());
    let says = |command: &[&str]| {
        python.engine.docker_ok(&[&python.hardened(&["--rm", "--tmpfs=/tmp"])[..], command].concat())
    };
    let settings = says(&["config", "show", "--set"]);
    assert!(settings.contains("/opt/flows/bin/python") && settings.contains("/var/lib/worker"), "{settings}");
    executes(&python, "python -c 'import sys; print(sys.prefix)'", "/opt/flows").await;
}

/// Starts a daemon in a container of an image, for one run that prints something; and stops it.
async fn executes(image: &Image, command: &str, printed: &str) {
    let says = |more: &[&str], command: &[&str]| image.engine.docker_ok(&[&image.hardened(more)[..], command].concat());
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    fs_err::set_permissions(marks.folder(), Permissions::from_mode(0o777)).unwrap();
    let run = pool.run(pool.command(&marks.shell(&format!("{command} >> marks"))).await).await;
    let (api, shared) =
        (format!("--env=PREFECT_API_URL={}", it.lab.api.api_url()), format!("{0}:{0}", marks.folder().display()));
    let container = says(&["--detach", "--tmpfs=/tmp", &api, "--volume", &shared], &["start", "--pool", &pool.name]);
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(marks.made(), [printed]);
    let signal = format!("--signal={}", Signal::TERM.as_raw());
    image.engine.docker_ok(&["kill", &signal, &container]);
    let ended = until(SOON, "the end of the daemon", async || {
        let state = image.engine.docker_ok(&["inspect", "--format={{.State.Status}} {{.State.ExitCode}}", &container]);
        state.starts_with("exited").then_some(state)
    });
    assert_eq!(ended.await, "exited 0");
    image.engine.docker_ok(&["rm", "--volumes", &container]);
}
