//! Loading the settings for a command.

use std::io;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use worker_config::{ConfigErrors, LoadFrom, Loaded, Override, Settings, process_environment};

use crate::console;
use crate::run::ErrorChain;

/// Names the file of `--config` where the flag is not convenient.
const CONFIG_VARIABLE: &str = "WORKER_CONFIG";

/// What the command line says about where settings come from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) profile: Option<String>,
    pub(super) config: Option<Utf8PathBuf>,
}

impl Source {
    /// Loads the settings in force, with the flags of the command on top. Also gives the surroundings they came from.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn load(self, overrides: Vec<Override>) -> Result<(Loaded, LoadFrom), LoadError> {
        self.load_from(overrides, false)
    }

    fn load_from(self, overrides: Vec<Override>, profile_must_exist: bool) -> Result<(Loaded, LoadFrom), LoadError> {
        let mut from = LoadFrom::process(process_environment().map_err(LoadError::Surroundings)?);
        from.profile = self.profile;
        from.profile_must_exist = profile_must_exist;
        from.config_file = self.config.or_else(|| from.variables.get(CONFIG_VARIABLE).map(Utf8PathBuf::from));
        from.overrides = overrides;
        let loaded = Settings::load(&from).map_err(LoadError::Settings)?;
        Ok((loaded, from))
    }
}

impl Source {
    /// The same with a profile that has to be there, and everything that is wrong said in words.
    ///
    /// # Errors
    /// There is no such profile, or everything that is wrong with the settings.
    pub(super) fn load_with_profile(self) -> Result<(Loaded, LoadFrom), String> {
        let loaded = self.load_from(Vec::new(), true);
        loaded.map_err(|errors| errors.problems().join("; "))
    }

    /// The same, with everything that is wrong and every warning shown to the user.
    ///
    /// # Errors
    /// An empty text, because all has been said.
    pub(super) fn load_or_complain(self, overrides: Vec<Override>) -> Result<(Loaded, LoadFrom), String> {
        let (loaded, from) = self.load(overrides).map_err(|errors| {
            errors.complain();
            String::new()
        })?;
        for warning in &loaded.warnings {
            console::complaint(&format!("warning: {warning}"));
        }
        Ok((loaded, from))
    }
}

/// Shows what a command has to say, or why it failed.
pub(super) fn ended(done: Result<String, String>) -> ExitCode {
    match done {
        Ok(text) => {
            console::line(&text);
            ExitCode::SUCCESS
        }
        Err(text) => failed(&text),
    }
}

/// Shows why a command failed; an empty text has been said already.
pub(super) fn failed(text: &str) -> ExitCode {
    complain(text);
    ExitCode::FAILURE
}

/// The same, for commands whose exit codes say more.
pub(super) fn complain(text: &str) {
    if !text.is_empty() {
        console::complaint(&format!("error: {text}"));
    }
}

/// Why there are no settings.
pub(super) enum LoadError {
    /// The process's own surroundings cannot be read.
    Surroundings(io::Error),
    /// Something is wrong with them.
    Settings(ConfigErrors),
}

impl LoadError {
    /// Shows everything that is wrong, one line each.
    pub(super) fn complain(&self) {
        for problem in self.problems() {
            console::complaint(&format!("error: {problem}"));
        }
    }

    /// Everything that is wrong.
    pub(super) fn problems(&self) -> Vec<String> {
        match self {
            Self::Surroundings(error) => vec![format!("the working directory cannot be used: {error}")],
            Self::Settings(errors) => errors.problems().iter().map(|problem| ErrorChain(problem).to_string()).collect(),
        }
    }
}
