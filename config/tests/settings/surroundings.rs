//! A place to load settings from: a temporary directory with a working directory, a home and a system file.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use worker_config::{ConfigErrors, LoadFrom, Loaded, Origin, Override, OverrideValue, ProcessEnvironment, Settings};

pub(crate) struct Surroundings {
    directory: tempfile::TempDir,
    pub(crate) from: LoadFrom,
}

impl Surroundings {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Utf8Path::from_path(directory.path()).expect("a UTF-8 path").to_owned();
        let process = ProcessEnvironment {
            variables: BTreeMap::new(),
            working_directory: root.join("cwd"),
            home_directory: Some(root.join("home")),
        };
        let mut from = LoadFrom::process(process);
        from.system_file = root.join("etc/worker/worker.toml");
        let made = Self { directory, from };
        made.write("cwd/.keep", "");
        made
    }

    pub(crate) fn path(&self, relative: &str) -> Utf8PathBuf {
        let root = Utf8Path::from_path(self.directory.path()).expect("a UTF-8 path");
        root.join(relative)
    }

    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        let folder = path.parent().expect("a path below the directory");
        fs_err::create_dir_all(folder).expect("a folder");
        fs_err::write(&path, text).expect("a written file");
    }

    pub(crate) fn file(self, relative: &str, text: &str) -> Self {
        self.write(relative, text);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.from.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn flag(mut self, key: &str, value: impl Into<OverrideValue>, flag: &str) -> Self {
        self.from.overrides.push(Override::new(key, value, flag));
        self
    }

    pub(crate) fn profile(mut self, name: &str) -> Self {
        self.from.profile = Some(name.to_owned());
        self
    }

    pub(crate) fn try_load(&self) -> Result<Loaded, ConfigErrors> {
        Settings::load(&self.from)
    }

    pub(crate) fn load(&self) -> Loaded {
        self.try_load().expect("settings that can be used")
    }

    /// The single problem that loading reports.
    pub(crate) fn problem(&self) -> String {
        let errors = self.try_load().err().map(|errors| errors.to_string()).unwrap_or_default();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors
    }
}

/// Where the report says a setting was set.
pub(crate) fn origin(loaded: &Loaded, key: &str) -> Origin {
    let line = loaded.report().iter().find(|line| line.key == key);
    line.expect("a line of the report").origin.clone()
}

/// What the report shows for a setting.
pub(crate) fn shown(loaded: &Loaded, key: &str) -> Option<String> {
    let line = loaded.report().iter().find(|line| line.key == key);
    line.expect("a line of the report").value.clone()
}
