//! Running the engine through `uv run`, which installs a project's dependencies first.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_json::{Map, Value};
use worker_core::job_configuration::lenient;

use crate::executable;

/// The setting of Prefect that asks for it.
const AUTO_INSTALL: &str = "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES";

/// The words that come before a Python module or program, if the run is to go through `uv`: the setting is on (the run's value comes before the worker's), the
/// working directory is a project that depends on Prefect, and `uv` is on the run's own `PATH`.
pub(crate) fn launcher(
    job: &BTreeMap<String, String>,
    worker: &BTreeMap<String, String>,
    path: Option<&str>,
    working_dir: Option<&Utf8Path>,
) -> Option<Vec<String>> {
    let project = working_dir.filter(|_| is_asked_for(job, worker))?;
    if !depends_on_prefect(project) || executable::on_path("uv", path).is_none() {
        return None;
    }
    let words = ["uv", "run", "--no-default-groups", "--project", project.as_str()];
    Some(words.map(str::to_owned).to_vec())
}

/// Whether the setting is on.
pub(crate) fn is_asked_for(job: &BTreeMap<String, String>, worker: &BTreeMap<String, String>) -> bool {
    job.get(AUTO_INSTALL).or_else(|| worker.get(AUTO_INSTALL)).is_some_and(|setting| is_true(setting))
}

fn is_true(setting: &str) -> bool {
    let field = Map::from_iter([(AUTO_INSTALL.to_owned(), Value::from(setting))]);
    matches!(lenient::bool(&field, AUTO_INSTALL), Ok(Some(true)))
}

fn depends_on_prefect(project: &Utf8Path) -> bool {
    let Ok(text) = fs_err::read_to_string(project.join("pyproject.toml")) else { return false };
    let Ok(document) = text.parse::<toml::Table>() else { return false };
    let dependencies = document.get("project").and_then(|project| project.get("dependencies"));
    let dependencies = dependencies.and_then(toml::Value::as_array).into_iter().flatten();
    dependencies.filter_map(toml::Value::as_str).any(names_prefect)
}

/// Whether a requirement (`prefect[aws] >= 3; python_version > "3.9"`) is for the package `prefect`.
fn names_prefect(requirement: &str) -> bool {
    let requirement = requirement.trim_start();
    let end = requirement.find(|char: char| !char.is_ascii_alphanumeric() && !matches!(char, '-' | '_' | '.'));
    requirement.get(..end.unwrap_or(requirement.len())).is_some_and(|name| name.eq_ignore_ascii_case("prefect"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Project(tempfile::TempDir);

    impl Project {
        fn depending_on(dependencies: &str) -> Self {
            let root = tempfile::tempdir().unwrap();
            let text = format!("[project]\nname = \"flows\"\ndependencies = {dependencies}\n");
            std::fs::write(root.path().join("pyproject.toml"), text).unwrap();
            std::fs::write(root.path().join("uv"), "").unwrap();
            std::fs::set_permissions(root.path().join("uv"), std::fs::Permissions::from_mode(0o755)).unwrap();
            Self(root)
        }

        fn directory(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn wraps(&self, job: Option<&str>, worker: Option<&str>) -> bool {
            let path = Some(self.directory().as_str());
            launcher(&setting(job), &setting(worker), path, Some(self.directory())).is_some()
        }
    }

    fn setting(value: Option<&str>) -> BTreeMap<String, String> {
        value.map(|value| (AUTO_INSTALL.to_owned(), value.to_owned())).into_iter().collect()
    }

    #[test]
    fn c086_uv_runs_the_engine_of_a_project_that_depends_on_prefect() {
        let project = Project::depending_on(r#"["pandas", "prefect>=3"]"#);
        let directory = project.directory();
        let words =
            launcher(&setting(Some("true")), &BTreeMap::new(), Some(directory.as_str()), Some(directory)).unwrap();
        assert_eq!(words.join(" "), format!("uv run --no-default-groups --project {directory}"));
    }

    #[test]
    fn c086_the_runs_own_setting_comes_before_the_workers() {
        let project = Project::depending_on(r#"["Prefect[aws]==3.1; python_version > '3.9'"]"#);
        assert!(project.wraps(None, Some("1")));
        assert!(!project.wraps(Some("false"), Some("true")));
        assert!(project.wraps(Some("True"), Some("false")));
        assert!(!project.wraps(None, None));
    }

    #[test]
    fn c086_other_projects_run_without_uv() {
        for dependencies in ["[]", r#"["prefect-aws"]"#, r#"["prefectx"]"#, r#"["prefect_docker>1"]"#, r#""prefect""#] {
            assert!(!Project::depending_on(dependencies).wraps(Some("true"), None), "{dependencies}");
        }
    }

    #[test]
    fn c086_without_uv_on_the_runs_path_or_a_working_directory_there_is_no_uv() {
        let project = Project::depending_on(r#"["prefect"]"#);
        let on = setting(Some("true"));
        assert!(launcher(&on, &on, Some("/nonexistent"), Some(project.directory())).is_none());
        assert!(launcher(&on, &on, Some(project.directory().as_str()), None).is_none());
    }
}
