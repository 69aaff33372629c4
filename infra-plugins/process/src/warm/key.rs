//! Which zygote a run may be forked from. Pure.
//!
//! A fork has what its zygote read when it started and imported. So whatever acts then is in the key, with its value; what is left
//! out of it is read by the run itself, or was not looked at by anything that the zygote has imported, which it tells.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use infra_contract::masking;
use worker_core::policy::Pattern;

use crate::confinement::Confinement;
use crate::environment::LAUNCH_MARKER;
use crate::supervisor::LaunchSpec;

const PYTHON_PATH: &str = "PYTHONPATH";

/// What Prefect names so belongs to one run.
const OF_ONE_RUN: &str = "PREFECT__";

/// Variables that act on programs when they start, or on libraries when they are loaded, whoever has set them.
const ACT_EARLY: [&str; 34] = [
    "PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TZDIR",
    "TMPDIR",
    "TMP",
    "TEMP",
    "TERM",
    "COLUMNS",
    "NO_COLOR",
    "FORCE_COLOR",
    "XDG_*",
    "PYTHON*",
    "LD_*",
    "GLIBC_*",
    "MALLOC_*",
    "*_NUM_THREADS",
    "OMP_*",
    "MKL_*",
    "CUDA_*",
    "SSL*",
    "OPENSSL_*",
    "VIRTUAL_ENV",
    "CONDA_*",
    "OTEL_*",
    "PYDANTIC_*",
    "COVERAGE_*",
    "DO_NOT_TRACK",
    "CI",
    "PREFECT_*",
    "_PYTHON_*",
];

/// Variables by which every process of a Python is watched from its start on.
const COLD_ONLY: [&str; 10] = [
    "PYTHONPROFILEIMPORTTIME",
    "PYTHONVERBOSE",
    "PYTHONINSPECT",
    "PYTHONDEBUG",
    "PYTHONDEVMODE",
    "PYTHONDUMPREFS",
    "PYTHONDUMPREFSFILE",
    "PYTHONTRACEMALLOC",
    "PYTHONPERFSUPPORT",
    "COVERAGE_PROCESS_START",
];

/// Whoever sets this to `random` wants a seed for each process.
const HASH_SEED: &str = "PYTHONHASHSEED";

/// The engine, as arguments of a Python.
const ENGINE: [&str; 2] = ["-m", "prefect.engine"];

/// What all forks of a zygote have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) python: Utf8PathBuf,
    /// Neither what is of one run nor what looks like a secret.
    pub(super) environment: BTreeMap<String, String>,
}

impl Key {
    /// That of a run; `None` for one that cannot be forked. `inherited` is what every run gets of the worker's environment.
    pub(super) fn of(spec: &LaunchSpec, inherited: &BTreeMap<String, String>) -> Option<Self> {
        let is_the_engine = spec.arguments == ENGINE && spec.python == [spec.program.as_str()];
        // Time is limited from outside.
        let is_confined = Confinement { time_limit: None, ..spec.confinement.clone() } != Confinement::default();
        let value = |name: &str| spec.environment.get(name).filter(|value| !value.is_empty());
        let is_watched = COLD_ONLY.iter().any(|name| value(name).is_some());
        let wants_a_seed = value(HASH_SEED).is_some_and(|seed| seed == "random");
        let is_relative = |path: &String| !path.starts_with('/');
        let has_relative = entries(inherited.get(PYTHON_PATH)).iter().any(is_relative)
            || python_path_of(&spec.environment).iter().any(is_relative);
        if !is_the_engine || is_confined || spec.room.is_some() || is_watched || wants_a_seed || has_relative {
            return None;
        }
        let early: Vec<Pattern> = ACT_EARLY.iter().map(|name| Pattern::new(*name)).collect();
        let is_common = |name: &str, value: &str| {
            let is_of_one_run = name == LAUNCH_MARKER || name == PYTHON_PATH || name.starts_with(OF_ONE_RUN);
            let is_meant = inherited.get(name).is_some_and(|inherited| inherited == value)
                || early.iter().any(|pattern| pattern.matches(name));
            !is_of_one_run && is_meant && !masking::is_secret(name, value)
        };
        let mut environment: BTreeMap<String, String> = spec
            .environment
            .iter()
            .filter(|(name, value)| is_common(name, value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(path) = inherited.get(PYTHON_PATH) {
            environment.insert(PYTHON_PATH.to_owned(), path.clone());
        }
        Some(Self { python: spec.program.clone(), environment })
    }

    /// That of a run which sets nothing of its own.
    pub(super) fn of_any(python: &Utf8Path, inherited: &BTreeMap<String, String>) -> Self {
        let common = inherited.iter().filter(|(name, value)| !masking::is_secret(name, value));
        let environment = common.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { python: python.to_owned(), environment }
    }

    /// The entries of the module search path that the zygote has from a variable.
    pub(super) fn python_path(&self) -> Vec<String> {
        entries(self.environment.get(PYTHON_PATH))
    }
}

/// The entries of a run's module search path that come from a variable.
pub(super) fn python_path_of(environment: &BTreeMap<String, String>) -> Vec<String> {
    entries(environment.get(PYTHON_PATH))
}

fn entries(path: Option<&String>) -> Vec<String> {
    let path = path.map(String::as_str).filter(|path| !path.is_empty());
    path.into_iter().flat_map(|path| path.split(':')).map(str::to_owned).collect()
}

/// A variable that the zygote's imports have looked at and that the run has with another value.
pub(super) fn misread<'s>(asked: &[String], key: &Key, environment: &'s BTreeMap<String, String>) -> Option<&'s str> {
    let is_read_again = |name: &str| name == LAUNCH_MARKER || name == PYTHON_PATH || name.starts_with("PREFECT_");
    let differing = environment.iter().filter(|(name, value)| key.environment.get(*name) != Some(*value));
    let mut names = differing.map(|(name, _)| name.as_str());
    names.find(|name| !is_read_again(name) && asked.iter().any(|asked| asked == name))
}

/// An entry of a directory where the run looks for modules first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Of a directory: whether it is a package.
    pub(super) is_package: bool,
}

/// A module that a run would find among these, and that its zygote has imported from elsewhere; or one that Python imports when it
/// starts.
pub(super) fn shadow<'e>(modules: &[String], entries: &'e [Entry]) -> Option<&'e str> {
    let is_taken = |name: &str| modules.iter().any(|module| module == name);
    entries
        .iter()
        .filter_map(module_of)
        .find(|name| is_taken(name) || matches!(*name, "sitecustomize" | "usercustomize"))
}

/// The module that an entry is.
fn module_of(entry: &Entry) -> Option<&str> {
    if entry.is_package {
        return Some(&entry.name);
    }
    let (stem, rest) = entry.name.split_once('.')?;
    let extension = Utf8Path::new(rest).extension().unwrap_or(rest);
    matches!(extension, "py" | "pyc" | "so").then_some(stem)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};
    use worker_core::spec::ReportState;

    use super::*;

    fn map(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn spec(environment: &[(&str, &str)]) -> LaunchSpec {
        LaunchSpec {
            release: String::new(),
            key: LaunchKey { run: RunId(Uuid::nil()), claim: TransitionId(Uuid::nil()) },
            owner: String::new(),
            folder: "/runs/one".into(),
            asked_at: 0,
            open_files: None,
            program: "/venv/bin/python".into(),
            arguments: ENGINE.map(str::to_owned).to_vec(),
            environment: map(environment),
            working_dir: "/code".into(),
            report_state: ReportState::Engine,
            streams_output: true,
            confinement: Confinement::default(),
            room: None,
            python: vec!["/venv/bin/python".to_owned()],
            warm: None,
        }
    }

    const INHERITED: [(&str, &str); 3] = [("PATH", "/bin"), ("DATABASE", "one"), ("AWS_SECRET_ACCESS_KEY", "s")];

    fn names(environment: &[(&str, &str)]) -> Vec<String> {
        let key = Key::of(&spec(environment), &map(&INHERITED)).unwrap();
        key.environment.into_keys().collect()
    }

    #[test]
    fn what_is_of_one_run_and_what_is_secret_is_not_in_the_key() {
        let of_a_run = [
            ("PREFECT__FLOW_RUN_ID", "1"),
            ("WORKER_LAUNCH_KEY", "1"),
            ("PREFECT_API_KEY", "pnu_1"),
            ("PREFECT_API_URL", "http://api"),
            ("PREFECT_API_DATABASE_CONNECTION_URL", "postgres://u:p@h/d"),
        ];
        assert_eq!(names(&[&of_a_run[..], &INHERITED[..]].concat()), ["DATABASE", "PATH", "PREFECT_API_URL"]);
    }

    #[test]
    fn of_what_a_job_sets_only_that_is_in_the_key_which_acts_early() {
        let of_a_job =
            [("PATH", "/other"), ("DATABASE", "two"), ("LD_PRELOAD", "x.so"), ("PYTHONHASHSEED", "0"), ("A", "b")];
        assert_eq!(names(&of_a_job), ["LD_PRELOAD", "PATH", "PYTHONHASHSEED"]);
    }

    #[test]
    fn other_commands_and_confined_runs_start_cold() {
        let key = |spec: &LaunchSpec| Key::of(spec, &BTreeMap::new());
        assert!(key(&spec(&[])).is_some());
        assert!(key(&LaunchSpec { arguments: vec!["flow.py".to_owned()], ..spec(&[]) }).is_none());
        assert!(
            key(&LaunchSpec { python: ["uv", "run", "python"].map(str::to_owned).to_vec(), ..spec(&[]) }).is_none()
        );
        assert!(key(&LaunchSpec { python: Vec::new(), ..spec(&[]) }).is_none());
        let confined = |confinement| LaunchSpec { confinement, ..spec(&[]) };
        assert!(key(&confined(Confinement { no_new_privileges: true, ..Confinement::default() })).is_none());
        assert!(key(&confined(Confinement { max_memory: Some(1), ..Confinement::default() })).is_none());
        assert!(key(&confined(Confinement { time_limit: Some(1), ..Confinement::default() })).is_some());
    }

    #[test]
    fn runs_that_watch_their_python_or_look_for_modules_where_they_are_start_cold() {
        let key = |environment: &[(&str, &str)]| Key::of(&spec(environment), &BTreeMap::new());
        for (name, value) in [
            ("PYTHONTRACEMALLOC", "1"),
            ("PYTHONHASHSEED", "random"),
            ("PYTHONPATH", "/lib:lib"),
            ("PYTHONPATH", "/lib:"),
        ] {
            assert!(key(&[(name, value)]).is_none(), "{name}={value}");
        }
        assert!(key(&[("PYTHONTRACEMALLOC", ""), ("PYTHONHASHSEED", "0"), ("PYTHONPATH", "/lib")]).is_some());
    }

    #[test]
    fn a_search_path_is_that_of_the_zygote_and_more() {
        let spec = spec(&[("PYTHONPATH", "/lib:/code")]);
        let key = Key::of(&spec, &map(&[("PYTHONPATH", "/lib")])).unwrap();
        assert_eq!(key.python_path(), ["/lib"]);
        assert_eq!(python_path_of(&spec.environment), ["/lib", "/code"]);
        assert_eq!(python_path_of(&map(&[("PYTHONPATH", "")])), [""; 0]);
    }

    #[test]
    fn a_variable_that_an_import_has_looked_at_must_be_the_same() {
        let asked = ["GRIFFE_LOG_LEVEL", "DATABASE", "PREFECT_API_KEY"].map(str::to_owned);
        let misread = |environment: &[(&str, &str)]| {
            let environment = map(environment);
            let key = Key::of(&spec(&[("DATABASE", "one")]), &map(&INHERITED)).unwrap();
            misread(&asked, &key, &environment).map(str::to_owned)
        };
        assert_eq!(misread(&[("DATABASE", "one"), ("PREFECT_API_KEY", "k"), ("OTHER", "x")]), None);
        assert_eq!(misread(&[("DATABASE", "two")]).as_deref(), Some("DATABASE"));
        assert_eq!(misread(&[("DATABASE", "one"), ("GRIFFE_LOG_LEVEL", "DEBUG")]).as_deref(), Some("GRIFFE_LOG_LEVEL"));
    }

    #[test]
    fn a_module_of_the_runs_own_that_has_the_name_of_an_imported_one_is_found() {
        let modules = ["yaml", "prefect", "logging"].map(str::to_owned);
        let shadow = |name: &str, is_package| {
            let entries =
                [Entry { name: "flows.py".to_owned(), is_package: false }, Entry { name: name.to_owned(), is_package }];
            shadow(&modules, &entries).map(str::to_owned)
        };
        assert_eq!(shadow("yaml.py", false).as_deref(), Some("yaml"));
        assert_eq!(shadow("logging.cpython-311-x86_64-linux-gnu.so", false).as_deref(), Some("logging"));
        assert_eq!(shadow("prefect", true).as_deref(), Some("prefect"));
        assert_eq!(shadow("sitecustomize.py", false).as_deref(), Some("sitecustomize"));
        for (name, is_package) in [("prefect", false), ("prefect.toml", false), ("yaml.py.bak", false), ("etl", true)] {
            assert_eq!(shadow(name, is_package), None, "{name}");
        }
    }
}
