//! Repositories to pull from, made with `git` in a directory of the test's own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use code_storage::{
    Cache, CacheLimits, CodeError, DeploymentCode, PullDraft, PullLog, PullOptions, Pulled, RunSite, plan, pull,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const ENTRYPOINT: &str = "flow.py:hello";

/// A directory of the test, with an environment in which `git` reads nothing of the host.
pub(crate) struct Site {
    _directory: TempDir,
    pub(crate) root: Utf8PathBuf,
    pub(crate) options: PullOptions,
    /// Whether the flow is a process of this machine.
    pub(crate) is_here: bool,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(directory.path().canonicalize().unwrap()).unwrap();
        let options =
            PullOptions { env: git_environment(), first_back_off: Duration::from_millis(1), ..PullOptions::default() };
        Self { _directory: directory, root, options, is_here: true }
    }

    /// A site whose pulls share a cache.
    pub(crate) fn with_cache() -> Self {
        let mut site = Self::new();
        site.options.cache = Some(site.open_cache());
        site
    }

    /// The same place with other options.
    pub(crate) fn with_options(&self, options: PullOptions) -> Self {
        Self { _directory: tempfile::tempdir().unwrap(), root: self.root.clone(), options, is_here: self.is_here }
    }

    /// Another handle to the cache, as another worker would have it.
    pub(crate) fn open_cache(&self) -> Cache {
        Cache::open(&self.cache_directory(), CacheLimits::default()).unwrap()
    }

    pub(crate) fn cache_directory(&self) -> Utf8PathBuf {
        self.root.join("cache")
    }

    /// An empty directory for a run.
    pub(crate) fn run_directory(&self, name: &str) -> Utf8PathBuf {
        let path = self.root.join(name);
        fs_err::create_dir(&path).unwrap();
        path
    }

    /// A repository with one commit, which has a `flow.py` that says "one".
    pub(crate) fn repository(&self, name: &str) -> Origin {
        let origin = Origin { path: self.root.join(name) };
        fs_err::create_dir(&origin.path).unwrap();
        origin.git(&["init", "--quiet", "--initial-branch", "trunk"]);
        origin.commit("flow.py", "one");
        origin
    }

    /// Runs the one `git_clone` step with these inputs.
    pub(crate) async fn git_clone(&self, into: &Utf8Path, inputs: Value) -> Result<Pulled, CodeError> {
        self.pull(into, &json!([{"prefect.deployments.steps.git_clone": inputs}])).await
    }

    /// Plans and runs these steps.
    pub(crate) async fn pull(&self, into: &Utf8Path, steps: &Value) -> Result<Pulled, CodeError> {
        self.pull_until(into, steps, &CancellationToken::new()).await
    }

    pub(crate) async fn pull_until(
        &self,
        into: &Utf8Path,
        steps: &Value,
        cancel: &CancellationToken,
    ) -> Result<Pulled, CodeError> {
        let site = RunSite { shares_file_system: true, is_here: self.is_here, ..RunSite::default() };
        let code = DeploymentCode {
            pull_steps: Some(steps),
            entrypoint: Some(ENTRYPOINT),
            path: None,
            storage_block: None,
            site: &site,
        };
        let native = plan(&code).and_then(PullDraft::finish).unwrap();
        pull(&native, into, &self.options, &NoPrograms, cancel).await.map_err(|failure| failure.error)
    }

    /// Puts a shell script in the place of `git`; `$GIT` in it is the real one, and `$SITE` this directory.
    pub(crate) fn replace_git(&mut self, script: &str) {
        let programs = self.run_directory("programs");
        let git = programs.join("git");
        fs_err::write(
            &git,
            format!("#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin\nSITE='{}'\nGIT=git\n{script}\n", self.root),
        )
        .unwrap();
        fs_err::set_permissions(&git, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.options.env.insert("PATH".to_owned(), programs.into_string());
    }

    /// How often the replaced `git` has written a line to the file `calls`.
    pub(crate) fn calls(&self) -> usize {
        fs_err::read_to_string(self.root.join("calls")).unwrap_or_default().lines().count()
    }
}

/// The log of pulls that run no programs but `git`, which has nothing to say to it.
struct NoPrograms;

impl PullLog for NoPrograms {
    fn output(&self, line: String) {
        panic!("a line of output: {line}");
    }
}

/// A repository with a work tree, to commit to.
pub(crate) struct Origin {
    pub(crate) path: Utf8PathBuf,
}

impl Origin {
    /// Writes a file and commits it; gives the commit's id.
    pub(crate) fn commit(&self, file: &str, text: &str) -> String {
        let path = self.path.join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", text]);
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// The repository as the URL that goes through the transport of a remote one.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path)
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.path, arguments)
    }
}

pub(crate) fn git_in(directory: &Utf8Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.test", "-c", "commit.gpgsign=false"])
        .args(["-c", "protocol.file.allow=always", "-C", directory.as_str()])
        .args(arguments)
        .envs(git_environment())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn git_environment() -> BTreeMap<String, String> {
    [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// The names in a directory, sorted, without the lock that a pull leaves beside a clone.
pub(crate) fn names(directory: &Utf8Path) -> Vec<String> {
    let mut names: Vec<String> = directory
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .filter(|name| Utf8Path::new(name).extension() != Some("lock"))
        .collect();
    names.sort();
    names
}

pub(crate) fn read(path: &Utf8Path) -> String {
    fs_err::read_to_string(path).unwrap()
}
