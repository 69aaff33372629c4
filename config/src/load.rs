//! Loading: gathers the layers, merges them, reads the settings.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use secrecy::SecretString;

use crate::{
    ConfigError, ConfigErrors, Effective, PoolSettings, PrefectSettings, WorkerSettings,
    gather::gather,
    layer::{Layer, Merged, Origins},
    prefect::{self, PrefectReading},
    reading::Reading,
    worker::{
        StateDirectory, WorkerReading, WorkspaceSettings,
        workspace::{self, Workspace},
    },
};

/// Everything that loading depends on; nothing is read from the process itself.
#[derive(Clone)]
pub struct LoadFrom {
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// Where `.env`, `prefect.toml`, `pyproject.toml` and `worker.toml` are looked for.
    pub working_directory: Utf8PathBuf,
    /// What `~` means.
    pub home_directory: Option<Utf8PathBuf>,
    /// The host-wide `worker.toml`.
    pub system_file: Utf8PathBuf,
    /// Profile named on the command line.
    pub profile: Option<String>,
    /// Whether that one has to be there. Without it Prefect warns, and goes on with its default profile.
    pub profile_must_exist: bool,
    /// `worker.toml` named on the command line; it must exist.
    pub config_file: Option<Utf8PathBuf>,
    /// Settings given on the command line.
    pub overrides: Vec<Override>,
}

impl LoadFrom {
    /// Loading from a process's surroundings, with nothing given on the command line.
    pub fn process(process: crate::ProcessEnvironment) -> Self {
        Self {
            variables: process.variables,
            working_directory: process.working_directory,
            home_directory: process.home_directory,
            system_file: Utf8PathBuf::from("/etc/worker/worker.toml"),
            profile: None,
            profile_must_exist: false,
            config_file: None,
            overrides: Vec::new(),
        }
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// A setting given on the command line.
#[derive(Clone)]
pub struct Override {
    /// Dotted key of `worker.toml` or of `prefect.toml`: `start.pool`, `worker.query_seconds`.
    pub key: String,
    /// Its value.
    pub value: OverrideValue,
    /// The flag that gave it, for messages.
    pub flag: String,
}

impl Override {
    /// An override by a flag.
    pub fn new(key: impl Into<String>, value: impl Into<OverrideValue>, flag: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into(), flag: flag.into() }
    }
}

/// The value of an [`Override`].
#[derive(Clone)]
pub enum OverrideValue {
    /// The text given; read as a variable's would be.
    Text(String),
    /// A flag without a value.
    Bool(bool),
    /// A flag that was repeated.
    List(Vec<String>),
}

impl From<&str> for OverrideValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for OverrideValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for OverrideValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<String>> for OverrideValue {
    fn from(items: Vec<String>) -> Self {
        Self::List(items)
    }
}

/// The settings in force. Secrets show in no `Debug`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Those shared with the Prefect SDK.
    pub prefect: PrefectSettings,
    /// This daemon's own.
    pub worker: WorkerSettings,
    /// The work pools to serve, in the order given; empty when none is named anywhere.
    pub pools: Vec<PoolSettings>,
    /// The APIs besides that of Prefect's own settings.
    pub workspaces: Vec<WorkspaceSettings>,
    base_environment: BTreeMap<String, SecretString>,
}

/// What loading gives.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What an operator should know although it stops nothing.
    pub warnings: Vec<String>,
    report: Vec<Effective>,
}

impl Loaded {
    /// Every setting in force with its source, in the order of the reference; secrets masked.
    pub fn report(&self) -> &[Effective] {
        &self.report
    }
}

impl Settings {
    /// Loads the settings. Reads files; writes nothing.
    ///
    /// # Errors
    /// All values that cannot be used and all files that cannot be read. No API URL is not among them: see
    /// [`PrefectSettings::missing_api_url`].
    pub fn load(from: &LoadFrom) -> Result<Loaded, ConfigErrors> {
        let gathered = gather(from);
        let merged = merged(gathered.layers.clone(), &gathered.origins)?;
        let mut warnings = gathered.warnings;
        let mut problems = gathered.problems;
        let of = WorkspacesFrom { from, layers: &gathered.layers, origins: &gathered.origins };
        let (workspaces, workspace_report) = of.read(gathered.workspaces, &mut problems, &mut warnings)?;
        let mut reading = Reading {
            merged: &merged,
            home_directory: from.home_directory.as_deref(),
            working_directory: &from.working_directory,
            problems,
            report: Vec::new(),
        };
        let prefect = PrefectReading {
            reading: &mut reading,
            warnings: &mut warnings,
            ssl_cert_file: from.variable("SSL_CERT_FILE"),
        }
        .read();
        prefect::list_handed_on(&mut reading);
        let (worker, pools) = WorkerReading {
            reading: &mut reading,
            state_directory: StateDirectory {
                systemd: from.variable("STATE_DIRECTORY"),
                xdg_state_home: from.variable("XDG_STATE_HOME"),
                home_directory: from.home_directory.as_deref(),
            },
            credentials_directory: from.variable("CREDENTIALS_DIRECTORY"),
            default_prefetch: prefect.worker.prefetch,
            workspaces: &workspaces,
        }
        .read(&gathered.pool_tables, &gathered.sandbox_tables);
        reading.report.extend(workspace_report);
        let own = pools.iter().any(|pool| pool.workspace.is_none()).then_some(&prefect);
        workspace::distinct(own, &workspaces, &mut reading.problems);
        if !reading.problems.is_empty() {
            return Err(ConfigErrors::new(reading.problems));
        }
        let home_directory = from.home_directory.as_deref();
        let base_environment = prefect::base_environment(&merged, prefect.debug_mode, home_directory, &mut warnings);
        Ok(Loaded {
            report: reading.report,
            warnings,
            settings: Self { prefect, worker, pools, workspaces, base_environment },
        })
    }

    /// The base environment of flow runs: every Prefect setting that some source sets, under the variable and in the form
    /// that the Python SDK would use. Secrets among them; hand it to children only.
    pub fn base_environment(&self) -> &BTreeMap<String, SecretString> {
        &self.base_environment
    }
}

fn merged(layers: Vec<Layer>, origins: &Origins) -> Result<Merged, ConfigErrors> {
    Merged::new(layers, origins).map_err(|source| ConfigErrors::new(vec![ConfigError::Merge { source }]))
}

/// What the workspaces are read from.
struct WorkspacesFrom<'g> {
    from: &'g LoadFrom,
    layers: &'g [Layer],
    origins: &'g Origins,
}

impl WorkspacesFrom<'_> {
    fn read(
        &self,
        found: Vec<Workspace>,
        problems: &mut Vec<ConfigError>,
        warnings: &mut Vec<String>,
    ) -> Result<(Vec<WorkspaceSettings>, Vec<Effective>), ConfigErrors> {
        let (mut workspaces, mut report) = (Vec::new(), Vec::new());
        for Workspace { name, origin, layer, client_certificate, run_api_key } in found {
            let rest = self.layers.iter().cloned().map(|layer| layer.only(|it| !workspace::is_connection(it)));
            let merged = merged(rest.chain([layer]).collect(), self.origins)?;
            let mut reading = Reading {
                merged: &merged,
                home_directory: self.from.home_directory.as_deref(),
                working_directory: &self.from.working_directory,
                problems: Vec::new(),
                report: Vec::new(),
            };
            let ssl_cert_file = self.from.variable("SSL_CERT_FILE");
            let prefect = PrefectReading { reading: &mut reading, warnings: &mut *warnings, ssl_cert_file }.read();
            // What has nothing to do with the connection is complained of once, with the settings of the daemon.
            problems.extend(reading.problems.into_iter().filter(|it| it.is_of(&origin)));
            report.extend(workspace::shown(&name, reading.report));
            let home = self.from.home_directory.as_deref();
            // The same warnings as for the settings of the daemon.
            let base_environment = prefect::base_environment(&merged, prefect.debug_mode, home, &mut Vec::new());
            workspaces.push(WorkspaceSettings {
                name,
                prefect,
                client_certificate,
                run_api_key,
                base_environment,
                origin,
            });
        }
        Ok((workspaces, report))
    }
}
