//! The steps that are run here: their names, and what is known of them before they run.

use serde_json::{Map, Value};

use super::filling::Fetched;
use super::inputs::{InputError, InputProblem, StepInputs};
use super::native::StepAction;
use super::objects::ObjectFetch;
use super::programs::{PipInstall, ShellScript};
use super::{EngineReason, GitClone, RunSite};

/// A step that is run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    SetWorkingDirectory,
    GitClone,
    RunShellScript,
    PipInstallRequirements,
    PullFromRemoteStorage,
    PullWithBlock,
    PullFromS3,
    PullFromGcs,
    PullFromAzureBlobStorage,
}

/// An input that a step's function takes.
pub(super) struct Input {
    pub(super) name: &'static str,
    /// What is put in its place in the plan if its value comes from an earlier step. None if it must not: then a value
    /// that only the SDK understands would be found when it is too late to leave the steps to it.
    pub(super) stand_in: Option<&'static str>,
    /// Whether it is a secret.
    pub(super) is_secret: bool,
}

const fn settled(name: &'static str) -> Input {
    Input { name, stand_in: None, is_secret: false }
}

const fn any_text(name: &'static str) -> Input {
    Input { name, stand_in: Some("later"), is_secret: false }
}

const fn secret(name: &'static str) -> Input {
    Input { name, stand_in: None, is_secret: true }
}

const SET_WORKING_DIRECTORY: &[Input] = &[any_text("directory")];

const GIT_CLONE: &[Input] = &[
    settled("repository"),
    any_text("branch"),
    Input { name: "commit_sha", stand_in: Some("0000000"), is_secret: false },
    settled("include_submodules"),
    Input { name: "access_token", stand_in: Some("later"), is_secret: true },
    secret("credentials"),
    any_text("directories"),
    settled("clone_directory_name"),
];

const RUN_SHELL_SCRIPT: &[Input] = &[
    any_text("script"),
    any_text("directory"),
    any_text("env"),
    settled("stream_output"),
    settled("expand_env_vars"),
    settled("shell"),
];

const PIP_INSTALL_REQUIREMENTS: &[Input] =
    &[any_text("directory"), any_text("requirements_file"), settled("stream_output")];

const PULL_FROM_REMOTE_STORAGE: &[Input] = &[settled("url")];

/// `pull_from_remote_storage` hands on every other input, and credentials have many names there.
const SETTING_OF_STORAGE: &Input = &secret("setting");

const PULL_WITH_BLOCK: &[Input] = &[settled("block_document_name"), settled("block_type_slug")];

const PULL_FROM_S3: &[Input] =
    &[settled("bucket"), any_text("folder"), secret("credentials"), secret("client_parameters")];

const PULL_FROM_GCS: &[Input] = &[settled("bucket"), any_text("folder"), secret("credentials"), settled("project")];

const PULL_FROM_AZURE_BLOB_STORAGE: &[Input] = &[settled("container"), any_text("folder"), secret("credentials")];

/// The steps of the packages for the clouds, and the packages.
const OF_CLOUDS: [(&str, StepKind, &str); 3] = [
    ("prefect_aws.deployments.steps.pull_from_s3", StepKind::PullFromS3, "prefect-aws"),
    ("prefect_gcp.deployments.steps.pull_from_gcs", StepKind::PullFromGcs, "prefect-gcp"),
    (
        "prefect_azure.deployments.steps.pull_from_azure_blob_storage",
        StepKind::PullFromAzureBlobStorage,
        "prefect-azure",
    ),
];

/// The modules that a step of the SDK itself can be named by: the one it is documented in, its name before Prefect 3, and
/// the one it is written in.
const MODULES: [&str; 2] = ["prefect.deployments.steps.", "prefect.projects.steps."];

impl StepKind {
    /// The step of an importable name.
    pub(super) fn of(qualified_name: &str) -> Option<Self> {
        if let Some((_, kind, _)) = OF_CLOUDS.iter().find(|(name, ..)| *name == qualified_name) {
            return Some(*kind);
        }
        let name = MODULES.iter().find_map(|module| qualified_name.strip_prefix(module))?;
        let kind = match name.rsplit('.').next()? {
            "set_working_directory" => Self::SetWorkingDirectory,
            "git_clone" => Self::GitClone,
            "run_shell_script" => Self::RunShellScript,
            "pip_install_requirements" => Self::PipInstallRequirements,
            "pull_from_remote_storage" => Self::PullFromRemoteStorage,
            "pull_with_block" => Self::PullWithBlock,
            _ => return None,
        };
        let module = match kind {
            Self::RunShellScript | Self::PipInstallRequirements => "utility.",
            Self::SetWorkingDirectory
            | Self::GitClone
            | Self::PullFromRemoteStorage
            | Self::PullWithBlock
            | Self::PullFromS3
            | Self::PullFromGcs
            | Self::PullFromAzureBlobStorage => "pull.",
        };
        (name.strip_prefix(module).unwrap_or(name) == kind.name()).then_some(kind)
    }

    /// The name of the step's function.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SetWorkingDirectory => "set_working_directory",
            Self::GitClone => "git_clone",
            Self::RunShellScript => "run_shell_script",
            Self::PipInstallRequirements => "pip_install_requirements",
            Self::PullFromRemoteStorage => "pull_from_remote_storage",
            Self::PullWithBlock => "pull_with_block",
            Self::PullFromS3 => "pull_from_s3",
            Self::PullFromGcs => "pull_from_gcs",
            Self::PullFromAzureBlobStorage => "pull_from_azure_blob_storage",
        }
    }

    /// The names of its outputs.
    pub(super) const fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::SetWorkingDirectory | Self::GitClone | Self::PullFromRemoteStorage | Self::PullWithBlock => {
                &["directory"]
            }
            Self::PullFromS3 | Self::PullFromGcs => &["bucket", "folder", "directory"],
            Self::PullFromAzureBlobStorage => &["container", "folder", "directory"],
            Self::RunShellScript | Self::PipInstallRequirements => &["stdout", "stderr"],
        }
    }

    const fn inputs(self) -> &'static [Input] {
        match self {
            Self::SetWorkingDirectory => SET_WORKING_DIRECTORY,
            Self::GitClone => GIT_CLONE,
            Self::RunShellScript => RUN_SHELL_SCRIPT,
            Self::PipInstallRequirements => PIP_INSTALL_REQUIREMENTS,
            Self::PullFromRemoteStorage => PULL_FROM_REMOTE_STORAGE,
            Self::PullWithBlock => PULL_WITH_BLOCK,
            Self::PullFromS3 => PULL_FROM_S3,
            Self::PullFromGcs => PULL_FROM_GCS,
            Self::PullFromAzureBlobStorage => PULL_FROM_AZURE_BLOB_STORAGE,
        }
    }

    /// The input of a name, if the step takes it.
    pub(super) fn input(self, name: &str) -> Option<&'static Input> {
        let settings = (self == Self::PullFromRemoteStorage).then_some(SETTING_OF_STORAGE);
        self.inputs().iter().find(|input| input.name == name).or(settings)
    }

    /// Whether the step has packages to be installed that are needed for nothing but the step itself.
    pub(super) fn check_requires(self, requires: Option<&Value>) -> Result<(), EngineReason> {
        let refused = || EngineReason::Requires { step: self.name().to_owned() };
        let packages = match requires {
            None | Some(Value::Null) => &[],
            Some(Value::String(package)) if package.is_empty() => &[],
            Some(Value::Array(packages)) => packages.as_slice(),
            Some(package) => std::slice::from_ref(package),
        };
        let of_cloud = OF_CLOUDS.iter().filter(|(_, kind, _)| *kind == self).map(|(.., package)| *package);
        let of_storage = ["s3fs", "gcsfs", "adlfs"].into_iter().filter(|_| self == Self::PullFromRemoteStorage);
        let own: Vec<&str> = of_cloud.chain(of_storage).chain(["prefect"]).collect();
        let is_own = |package: &Value| {
            package.as_str().is_some_and(|package| own.contains(&package_name(package).replace('_', "-").as_str()))
        };
        if packages.iter().all(is_own) { Ok(()) } else { Err(refused()) }
    }

    /// Whether the step can be run on this machine as well as where the flow runs.
    pub(super) fn check_site(self, site: &RunSite) -> Result<(), EngineReason> {
        let step = || self.name().to_owned();
        match self {
            Self::RunShellScript | Self::PipInstallRequirements if !site.has_our_rights() => {
                Err(EngineReason::Elsewhere { step: step() })
            }
            Self::PipInstallRequirements if site.python.is_none() => Err(EngineReason::NoPython { step: step() }),
            Self::RunShellScript
            | Self::PipInstallRequirements
            | Self::SetWorkingDirectory
            | Self::GitClone
            | Self::PullFromRemoteStorage
            | Self::PullWithBlock
            | Self::PullFromS3
            | Self::PullFromGcs
            | Self::PullFromAzureBlobStorage => Ok(()),
        }
    }

    /// What the step does with these inputs, which are filled in.
    pub(crate) fn action(self, given: &Map<String, Value>, fetched: &Fetched) -> Result<StepAction, InputProblem> {
        let inputs = StepInputs(given);
        Ok(match self {
            Self::SetWorkingDirectory => {
                let directory = inputs.directory("directory")?;
                let directory = directory.ok_or_else(|| InputError::new("directory", "is missing"))?;
                StepAction::SetWorkingDirectory(directory.into())
            }
            Self::GitClone => StepAction::GitClone(GitClone::parse(inputs)?),
            Self::RunShellScript => StepAction::RunShellScript(ShellScript::parse(inputs)?),
            Self::PipInstallRequirements => StepAction::PipInstall(PipInstall::parse(inputs)?),
            Self::PullFromRemoteStorage => fetch(ObjectFetch::of_url(given)?),
            Self::PullWithBlock => fetch(ObjectFetch::of_named_block(given, fetched)?),
            Self::PullFromS3 => fetch(ObjectFetch::of_s3(given)?),
            Self::PullFromGcs => fetch(ObjectFetch::of_gcs(given)?),
            Self::PullFromAzureBlobStorage => fetch(ObjectFetch::of_azure(given)?),
        })
    }
}

fn fetch(fetch: ObjectFetch) -> StepAction {
    StepAction::Fetch(Box::new(fetch))
}

/// The package of a requirement such as `prefect>=3.0`, cut as the SDK cuts it.
fn package_name(requirement: &str) -> &str {
    requirement.split(['<', '>', '=', '!', '~']).next().unwrap_or_default().trim()
}
