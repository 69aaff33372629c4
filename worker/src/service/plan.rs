//! What is to be done to make the worker a service, or to end that.

use camino::{Utf8Path, Utf8PathBuf};

use super::unit::Unit;

const SETTINGS: &str = include_str!("../../../deploy/etc/worker.toml");
const VARIABLES: &str = include_str!("../../../deploy/etc/worker.env");
const ACCOUNT: &str = include_str!("../../../deploy/sysusers.d/worker.conf");

const WORKER: &str = "worker.service";
const OF_A_POOL: &str = "worker@.service";
const UNITS: &str = "etc/systemd/system";
const VARIABLES_FILE: &str = "etc/worker/worker.env";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write a file, with its folder.
    Write {
        /// Where.
        path: Utf8PathBuf,
        /// What.
        text: String,
        /// Its permissions.
        mode: u32,
    },
    /// Remove a file.
    Remove {
        /// Which.
        path: Utf8PathBuf,
    },
    /// Run a command.
    Run {
        /// The program and its arguments.
        command: Vec<String>,
        /// What to tell if it fails, besides what it says itself.
        advice: String,
    },
}

impl Step {
    /// What it does, in one line.
    pub fn title(&self) -> String {
        match self {
            Self::Write { path, .. } => format!("write {path}"),
            Self::Remove { path } => format!("remove {path}"),
            Self::Run { command, .. } => {
                let words: Vec<String> = command.iter().map(|word| shell_word(word)).collect();
                format!("run {}", words.join(" "))
            }
        }
    }

    /// The same, with all that is written.
    pub fn in_full(&self) -> String {
        match self {
            Self::Write { text, mode, .. } => format!("{} (mode {mode:o}):\n\n{text}", self.title()),
            Self::Remove { .. } | Self::Run { .. } => self.title(),
        }
    }
}

fn shell_word(word: &str) -> String {
    let is_plain = word.chars().all(|part| part.is_ascii_alphanumeric() || "/._-+=:@,".contains(part));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// What is there already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// The service that a package has installed.
    pub packaged_unit: Option<Utf8PathBuf>,
    /// Which of the files that are written are there already.
    pub files: Vec<Utf8PathBuf>,
    /// Enabled services of single pools, such as `worker@reports.service`.
    pub instances: Vec<String>,
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The package has done it.
    #[error("a package has installed the service already ({unit}); start it with `systemctl enable --now worker`")]
    Packaged {
        /// Its unit.
        unit: Utf8PathBuf,
    },
    /// The file of variables belongs to its editor.
    #[error("{path} is there already; write PREFECT_API_URL={url} into it")]
    VariablesAreThere {
        /// The file.
        path: Utf8PathBuf,
        /// The URL that was given.
        url: String,
    },
    /// Text that would break the unit file.
    #[error("`{name}` is no name of {what}")]
    Name {
        /// The text.
        name: String,
        /// What it was given for.
        what: &'static str,
    },
    /// There is nothing of ours.
    #[error("there is no {unit}: the service was not installed by `worker service install`")]
    NotInstalled {
        /// The unit.
        unit: Utf8PathBuf,
    },
}

/// The worker as a service, as it was asked for.
#[derive(Debug, Clone)]
pub struct Install {
    /// The folder that stands for `/`; `None` for this machine, as it runs.
    pub root: Option<Utf8PathBuf>,
    /// This program.
    pub executable: Utf8PathBuf,
    /// Pools to serve; those of the settings if there are none.
    pub pools: Vec<String>,
    /// An account that is there already; else `worker` is made.
    pub user: Option<String>,
    /// Where the API is.
    pub api_url: Option<String>,
    /// Whether to start it now.
    pub start: bool,
}

impl Install {
    /// The files that it would write.
    pub fn files(root: Option<&Utf8Path>) -> [Utf8PathBuf; 4] {
        [
            format!("{UNITS}/{WORKER}"),
            format!("{UNITS}/{OF_A_POOL}"),
            "etc/worker/worker.toml".to_owned(),
            VARIABLES_FILE.to_owned(),
        ]
        .map(|path| at(root, &path))
    }

    /// What to do, in order. Settings that are there stay as they are.
    ///
    /// # Errors
    /// What was asked for cannot be.
    pub fn steps(&self, present: &Present) -> Result<Vec<Step>, Refusal> {
        if let Some(unit) = &present.packaged_unit {
            return Err(Refusal::Packaged { unit: unit.clone() });
        }
        self.check_names()?;
        let root = self.root.as_deref();
        let [worker, of_a_pool, settings, variables] = Self::files(root);
        let unit = Unit { executable: self.executable.as_str(), pools: &self.pools, user: self.user.as_deref() };
        let mut steps = Vec::new();
        if self.user.is_none() {
            steps.push(make_account(root));
        }
        steps.push(Step::Write { path: worker, text: unit.worker(), mode: 0o644 });
        steps.push(Step::Write { path: of_a_pool, text: unit.of_a_pool(), mode: 0o644 });
        if !present.files.contains(&settings) {
            steps.push(Step::Write { path: settings, text: SETTINGS.to_owned(), mode: 0o644 });
        }
        match (present.files.contains(&variables), &self.api_url) {
            (false, url) => {
                let line = url.as_ref().map(|url| format!("PREFECT_API_URL={url}\n")).unwrap_or_default();
                steps.push(Step::Write { path: variables, text: format!("{VARIABLES}{line}"), mode: 0o600 });
            }
            (true, Some(url)) => return Err(Refusal::VariablesAreThere { path: variables, url: url.clone() }),
            (true, None) => {}
        }
        if root.is_none() {
            steps.push(systemctl(root, &["daemon-reload"], ""));
        }
        steps.push(systemctl(root, &["enable", WORKER], ""));
        if self.start && root.is_none() {
            // Also where it runs already: its runs go on meanwhile.
            steps.push(systemctl(root, &["restart", WORKER], NOT_STARTED));
        }
        Ok(steps)
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let broken = |text: &str| text.is_empty() || text.chars().any(char::is_control);
        let refuse = |name: &str, what| Refusal::Name { name: name.to_owned(), what };
        if let Some(pool) = self.pools.iter().find(|pool| broken(pool)) {
            return Err(refuse(pool, "a work pool"));
        }
        let is_account = |name: &str| name.chars().all(|part| part.is_ascii_alphanumeric() || "._-".contains(part));
        if let Some(user) = self.user.as_deref().filter(|user| broken(user) || !is_account(user)) {
            return Err(refuse(user, "an account"));
        }
        match self.api_url.as_deref().filter(|url| broken(url) || url.contains(char::is_whitespace)) {
            Some(url) => Err(refuse(url, "an API, which is a URL")),
            None => Ok(()),
        }
    }
}

const NOT_STARTED: &str = "The service is installed and enabled but does not run. `journalctl -u worker -n 20` says why; what is \
                           missing is often PREFECT_API_URL in /etc/worker/worker.env, or a pool in /etc/worker/worker.toml";

/// The end of the service.
#[derive(Debug, Clone)]
pub struct Uninstall {
    /// The folder that stands for `/`.
    pub root: Option<Utf8PathBuf>,
}

impl Uninstall {
    /// What to do, in order. Settings, the state directory and the account stay, and runs go on to their end.
    ///
    /// # Errors
    /// It is not there, or belongs to a package.
    pub fn steps(&self, present: &Present) -> Result<Vec<Step>, Refusal> {
        let root = self.root.as_deref();
        let [worker, of_a_pool, ..] = Install::files(root);
        let units: Vec<Utf8PathBuf> =
            [worker.clone(), of_a_pool].into_iter().filter(|unit| present.files.contains(unit)).collect();
        if units.is_empty() {
            return Err(Refusal::NotInstalled { unit: worker });
        }
        let mut steps = Vec::new();
        if root.is_none() {
            // Those that run without being enabled as well.
            steps.push(systemctl(root, &["stop", WORKER, "worker@*.service"], ""));
        }
        let mut enabled = vec!["disable", WORKER];
        enabled.extend(present.instances.iter().map(String::as_str));
        steps.push(systemctl(root, &enabled, ""));
        steps.extend(units.into_iter().map(|path| Step::Remove { path }));
        if root.is_none() {
            steps.push(systemctl(root, &["daemon-reload"], ""));
        }
        Ok(steps)
    }
}

fn make_account(root: Option<&Utf8Path>) -> Step {
    let line = ACCOUNT.lines().find(|line| line.starts_with('u')).unwrap_or_default();
    let place = root.map(|root| format!("--root={root}"));
    let command =
        ["systemd-sysusers".to_owned()].into_iter().chain(place).chain(["--inline".to_owned(), line.to_owned()]);
    let advice = "The account `worker` cannot be made; `--user NAME` takes one that is there".to_owned();
    Step::Run { command: command.collect(), advice }
}

fn systemctl(root: Option<&Utf8Path>, arguments: &[&str], advice: &str) -> Step {
    let place = root.map(|root| format!("--root={root}"));
    let arguments = arguments.iter().map(|argument| (*argument).to_owned());
    let command = ["systemctl".to_owned()].into_iter().chain(place).chain(arguments).collect();
    Step::Run { command, advice: advice.to_owned() }
}

/// A path below the folder that stands for `/`.
pub(super) fn at(root: Option<&Utf8Path>, path: &str) -> Utf8PathBuf {
    root.unwrap_or(Utf8Path::new("/")).join(path)
}

#[cfg(test)]
mod tests;
