//! Gathering: reads every source and makes one layer of each.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use toml::de::DeTable;

use crate::{
    ConfigError, LoadFrom, Origin, Override, OverrideValue,
    credentials::{self, Credentials},
    dotenv::{self, DotEnv},
    layer::{Layer, Origins},
    prefect::{
        self, known,
        profile::{self, PACKAGED_PROFILE, PACKAGED_SETTINGS, Profile, ProfilesPath},
        toml_files::TomlSettings,
    },
    raw::Raw,
    toml_document::{self, Document, subtable},
    worker::{
        self,
        file::{NamedTable, WorkerFile, WorkerFileReading, standard_files},
        keys::KEYS,
        workspace::{Workspace, WorkspaceReading},
    },
};

/// What the sources hold.
#[derive(Default)]
pub(crate) struct Gathered {
    /// Lowest first.
    pub(crate) layers: Vec<Layer>,
    pub(crate) origins: Origins,
    pub(crate) pool_tables: Vec<NamedTable>,
    workspace_tables: Vec<NamedTable>,
    pub(crate) sandbox_tables: Vec<NamedTable>,
    pub(crate) workspaces: Vec<Workspace>,
    pub(crate) warnings: Vec<String>,
    pub(crate) problems: Vec<ConfigError>,
}

pub(crate) fn gather(from: &LoadFrom) -> Gathered {
    let mut gathered = Gathered::default();
    let (standard, environment) = gathered.environment(&from.variables);
    let dot_env = gathered.dot_env(from);
    let prefect_toml = gathered.prefect_file(&from.working_directory.join("prefect.toml"), &[]);
    let pyproject = gathered.prefect_file(&from.working_directory.join("pyproject.toml"), &["tool", "prefect"]);
    let profiles = ProfilesPath {
        named: [&environment, &dot_env, &prefect_toml, &pyproject].map(|layer| layer.text("PREFECT_PROFILES_PATH")),
        prefect_home: environment.text("PREFECT_HOME").filter(|home| !home.is_empty()),
        home_directory: from.home_directory.as_deref(),
        working_directory: &from.working_directory,
    }
    .find();
    let profile = gathered.profile(profiles.clone(), from);
    let credentials = gathered.credentials(from);
    let worker_files = gathered.worker_files(from);
    gathered.workspaces(profiles.as_deref(), from);
    let flags = gathered.overrides(&from.overrides);
    gathered.layers = vec![standard, profile, pyproject, prefect_toml];
    gathered.layers.extend(worker_files);
    gathered.layers.extend([dot_env, credentials, environment, flags]);
    gathered
}

impl Gathered {
    /// Names count in any case; the exact one is best. What variables of a general standard say is by itself, below everything
    /// that was written for this worker.
    fn environment(&mut self, variables: &BTreeMap<String, String>) -> (Layer, Layer) {
        let mut by_name: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for (name, value) in variables {
            let entry = (name.as_str(), value.as_str());
            let upper = name.to_ascii_uppercase();
            if upper == *name {
                by_name.insert(upper, entry);
            } else {
                by_name.entry(upper).or_insert(entry);
            }
        }
        let find = |name: &str| {
            let (variable, value) = by_name.get(name)?;
            let origin = Origin::Environment { variable: (*variable).to_owned() };
            Some((Raw::Text((*value).to_owned()), origin))
        };
        for name in by_name.keys() {
            let origin = Origin::Environment { variable: name.clone() };
            self.warnings.extend(prefect::variables::misspelt(name, &origin));
            self.warnings.extend(worker::variables::misspelt(name, &origin));
        }
        let mut layer = prefect::variables::layer(&mut self.origins, find);
        let standard = worker::otlp::standard_variables(&mut self.origins, &mut self.warnings, find);
        layer.add(worker::otlp::switch(&mut self.origins, find));
        // After what they would be set by otherwise.
        layer.add(worker::variables::layer(&mut self.origins, find));
        (standard, layer)
    }

    fn dot_env(&mut self, from: &LoadFrom) -> Layer {
        let path = from.working_directory.join(".env");
        let file = match self.text(&path) {
            Some(text) => dotenv::parse(&text, &from.variables),
            None => DotEnv::default(),
        };
        for line in file.bad_lines {
            self.warnings.push(format!("{path}:{line}: not understood and skipped"));
        }
        let mut by_name = BTreeMap::new();
        for binding in file.bindings {
            let origin = Origin::DotEnv { path: path.clone(), line: binding.line };
            let name = binding.name.to_ascii_uppercase();
            self.warnings.extend(prefect::variables::misspelt(&name, &origin));
            by_name.insert(name, (Raw::Text(binding.value), origin));
        }
        prefect::variables::layer(&mut self.origins, |name| by_name.get(name).cloned())
    }

    fn credentials(&mut self, from: &LoadFrom) -> Layer {
        let Some(directory) = from.variable(credentials::DIRECTORY).filter(|path| !path.is_empty()) else {
            return Layer::default();
        };
        Credentials { origins: &mut self.origins, warnings: &mut self.warnings, problems: &mut self.problems }
            .layer(Utf8Path::new(directory))
    }

    /// A file of the SDK, or the part of it below a path of tables.
    fn prefect_file(&mut self, path: &Utf8Path, below: &[&str]) -> Layer {
        let Some(text) = self.text(path) else {
            return Layer::default();
        };
        let document = Document::new(path, &text);
        let Some(root) = self.parsed(document) else {
            return Layer::default();
        };
        let Some(settings) = below.iter().try_fold(&root, |table, key| subtable(table, key)) else {
            return Layer::default();
        };
        TomlSettings {
            document,
            origins: &mut self.origins,
            warnings: &mut self.warnings,
            problems: &mut self.problems,
        }
        .layer(settings)
    }

    fn profile(&mut self, path: Option<Utf8PathBuf>, from: &LoadFrom) -> Layer {
        let asked_for = from.profile.as_deref().or(from.variable("PREFECT_PROFILE"));
        let asked_for = asked_for.filter(|name| !name.is_empty());
        if from.profile_must_exist
            && let Some(name) = &from.profile
            && let Err(reason) = self.existing_profile(path.as_deref(), name)
        {
            let flag = "--profile".to_owned();
            self.problems.push(ConfigError::Invalid { key: flag.clone(), origin: Origin::Flag { flag }, reason });
            return Layer::default();
        }
        let Some(path) = path else {
            return self.packaged_profile();
        };
        let text = match toml_document::read(&path) {
            Ok(Some(text)) => text,
            Ok(None) => {
                let missing = asked_for.filter(|name| *name != PACKAGED_PROFILE);
                self.warnings.extend(missing.map(|name| profile::missing(name, &path)));
                return self.packaged_profile();
            }
            Err(error) => {
                self.warnings.push(profile::unusable(error));
                return Layer::default();
            }
        };
        let document = Document::new(&path, &text);
        let root = match document.parse() {
            Ok(root) => root,
            Err(error) => {
                self.warnings.push(profile::unusable(error));
                return Layer::default();
            }
        };
        match profile::choose(document, &root, asked_for, &mut self.warnings) {
            Profile::Packaged => self.packaged_profile(),
            Profile::Named { name, settings } => self.named_profile(document, &name, settings),
        }
    }

    /// The connections of the `[[workspace]]` tables.
    fn workspaces(&mut self, profiles: Option<&Utf8Path>, from: &LoadFrom) {
        for table in std::mem::take(&mut self.workspace_tables) {
            let profile = WorkspaceReading::profile(&table).map(|(name, origin)| {
                self.existing_profile(profiles, &name).unwrap_or_else(|reason| {
                    self.problems.push(ConfigError::Invalid { key: "workspace.profile".to_owned(), origin, reason });
                    Layer::default()
                })
            });
            let mut reading = WorkspaceReading {
                origins: &mut self.origins,
                problems: &mut self.problems,
                working_directory: &from.working_directory,
                home_directory: from.home_directory.as_deref(),
            };
            self.workspaces.extend(reading.read(&table, profile));
        }
    }

    /// Unlike the active profile, one that a workspace names has to be there: else its runs would go to another API.
    fn existing_profile(&mut self, path: Option<&Utf8Path>, name: &str) -> Result<Layer, String> {
        let missing = || format!("names no profile: there is no '{name}'");
        let path = path.ok_or_else(missing)?;
        let in_words = |error: ConfigError| crate::ConfigErrors::new(vec![error]).to_string();
        let text = toml_document::read(path).map_err(in_words)?.ok_or_else(missing)?;
        let document = Document::new(path, &text);
        let root = document.parse().map_err(in_words)?;
        let settings = subtable(&root, "profiles").and_then(|all| subtable(all, name));
        let settings = settings.ok_or_else(|| format!("{} in {path}", missing()))?;
        Ok(self.named_profile(document, name, settings))
    }

    fn named_profile(&mut self, document: Document<'_>, profile: &str, settings: &DeTable<'_>) -> Layer {
        let mut by_name = BTreeMap::new();
        for (name, value) in settings {
            let origin = Origin::Profile {
                profile: profile.to_owned(),
                file: Some((document.path(), document.line(name.span().start))),
            };
            let name = name.get_ref().to_string();
            self.warnings.extend(prefect::variables::misspelt(&name, &origin));
            by_name.insert(name, (toml_document::raw(value.get_ref()), origin));
        }
        prefect::variables::layer(&mut self.origins, |name| by_name.get(name).cloned())
    }

    fn packaged_profile(&mut self) -> Layer {
        let origin = Origin::Profile { profile: PACKAGED_PROFILE.to_owned(), file: None };
        let mut layer = Layer::default();
        for (variable, value) in PACKAGED_SETTINGS {
            layer.set(&mut self.origins, variable, Raw::Text(value.to_owned()), origin.clone());
        }
        layer
    }

    /// The `worker.toml` files, lowest first. The tables of the last file that has pools are the ones in force.
    fn worker_files(&mut self, from: &LoadFrom) -> Vec<Layer> {
        let home = from.home_directory.as_deref();
        let xdg = from.variable("XDG_CONFIG_HOME");
        let standard = standard_files(&from.system_file, xdg, home, &from.working_directory);
        let mut layers: Vec<Layer> = standard.iter().filter_map(|path| self.worker_file(path, false)).collect();
        if let Some(named) = &from.config_file {
            layers.extend(self.worker_file(&from.working_directory.join(named), true));
        }
        layers
    }

    fn worker_file(&mut self, path: &Utf8Path, must_exist: bool) -> Option<Layer> {
        let text = if must_exist {
            match fs_err::read_to_string(path) {
                Ok(text) => text,
                Err(source) => {
                    self.problems.push(ConfigError::Read { source });
                    return None;
                }
            }
        } else {
            self.text(path)?
        };
        let document = Document::new(path, &text);
        let root = self.parsed(document)?;
        let WorkerFile { layer, pools, workspaces, sandboxes } =
            WorkerFileReading { document, origins: &mut self.origins, problems: &mut self.problems }.read(&root);
        if let Some(pools) = pools {
            self.pool_tables = pools;
        }
        if let Some(workspaces) = workspaces {
            self.workspace_tables = workspaces;
        }
        if let Some(sandboxes) = sandboxes {
            self.sandbox_tables = sandboxes;
        }
        Some(layer)
    }

    fn overrides(&mut self, overrides: &[Override]) -> Layer {
        let mut layer = Layer::default();
        for Override { key, value, flag } in overrides {
            let own = KEYS.iter().find(|known| known.dotted == key).map(|known| known.variable);
            let Some(variable) = own.or_else(|| known::by_key(key).map(|setting| setting.variable)) else {
                self.problems.push(ConfigError::UnknownOverride { flag: flag.clone(), key: key.clone() });
                continue;
            };
            let raw = match value {
                OverrideValue::Text(text) => Raw::Text(text.clone()),
                OverrideValue::Bool(value) => Raw::Bool(*value),
                OverrideValue::List(items) => Raw::List(items.iter().cloned().map(Raw::Text).collect()),
            };
            layer.set(&mut self.origins, variable, raw, Origin::Flag { flag: flag.clone() });
        }
        layer
    }

    fn text(&mut self, path: &Utf8Path) -> Option<String> {
        match toml_document::read(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(error);
                None
            }
        }
    }

    fn parsed<'t>(&mut self, document: Document<'t>) -> Option<DeTable<'t>> {
        match document.parse() {
            Ok(root) => Some(root),
            Err(error) => {
                self.problems.push(error);
                None
            }
        }
    }
}
