//! Why code did not arrive, in the words of the flow's author.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;

use worker_core::policy::Objection;

use crate::StepError;
use crate::objects::ObjectError;

/// Why a pull failed. `Display` names the repository or directory and the cause; [`CodeError::hint`] says what to do.
///
/// `detail` is what `git` said at the end, with logins masked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// A directory the pull is to work in does not exist or cannot be entered.
    #[error("the directory {directory} cannot be used")]
    Directory {
        /// The directory.
        directory: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The code is there, but not the file that the entrypoint names.
    #[error("the entrypoint's file {file} does not exist")]
    EntrypointMissing {
        /// The file.
        file: Utf8PathBuf,
    },
    /// There is no `git` program.
    #[error("repository {repository} cannot be pulled because `git` is not installed on the worker")]
    GitMissing {
        /// The repository.
        repository: String,
    },
    /// The `git` program could not be run.
    #[error("repository {repository} cannot be pulled because `git` could not be run")]
    GitStart {
        /// The repository.
        repository: String,
        /// What the system said.
        source: io::Error,
    },
    /// No such repository.
    #[error("repository {repository} was not found: {detail}")]
    NotFound {
        /// The repository.
        repository: String,
        /// What `git` said.
        detail: String,
    },
    /// The repository wants a login, or refuses this one.
    #[error("access to repository {repository} was refused: {detail}")]
    Refused {
        /// The repository.
        repository: String,
        /// What `git` said.
        detail: String,
    },
    /// The login that the step gives is none that can be sent.
    #[error("the login for repository {repository} {problem}")]
    Login {
        /// The repository.
        repository: String,
        /// What is so about it.
        problem: &'static str,
    },
    /// The SSH server's key is unknown, or another than the known one.
    #[error("the SSH server of repository {repository} could not be verified: {detail}")]
    HostKey {
        /// The repository.
        repository: String,
        /// What `ssh` said.
        detail: String,
    },
    /// The SSH server takes none of the worker's keys.
    #[error("the SSH server of repository {repository} refused the worker's keys: {detail}")]
    SshRefused {
        /// The repository.
        repository: String,
        /// What `ssh` said.
        detail: String,
    },
    /// The server's certificate is expired, for another host, or signed by nobody known.
    #[error("the certificate of the server of repository {repository} is not trusted: {detail}")]
    Certificate {
        /// The repository.
        repository: String,
        /// What `git` said.
        detail: String,
    },
    /// The repository has no such branch or commit.
    #[error("repository {repository} does not have {revision}: {detail}")]
    RevisionMissing {
        /// The repository.
        repository: String,
        /// The branch or commit.
        revision: String,
        /// What `git` said.
        detail: String,
    },
    /// The network or the server failed, in every attempt.
    #[error("repository {repository} could not be reached: {detail}")]
    Unreachable {
        /// The repository.
        repository: String,
        /// What `git` said.
        detail: String,
    },
    /// The repository arrived, and its submodules did not.
    #[error("submodules of repository {repository} could not be pulled: {detail}")]
    Submodules {
        /// The repository.
        repository: String,
        /// What `git` said.
        detail: String,
    },
    /// The repository arrived, and the large files that it has elsewhere did not.
    #[error("files of repository {repository} in Git LFS could not be pulled: {detail}")]
    Lfs {
        /// The repository.
        repository: String,
        /// What `git lfs` said.
        detail: String,
    },
    /// The disk is full.
    #[error("repository {repository} could not be pulled because the disk of {directory} is full")]
    DiskFull {
        /// The repository.
        repository: String,
        /// Where it was to go.
        directory: Utf8PathBuf,
    },
    /// `git` failed in a way that has no name here.
    #[error("repository {repository} could not be pulled: {detail}")]
    Git {
        /// The repository.
        repository: String,
        /// What `git` said.
        detail: String,
    },
    /// The clone's directory holds something that is not a clone.
    #[error("repository {repository} cannot be pulled to {directory}, which holds other files")]
    Occupied {
        /// The repository.
        repository: String,
        /// The directory.
        directory: Utf8PathBuf,
    },
    /// The clone's directory is a clone of something else.
    #[error("repository {repository} cannot be pulled to {directory}, which is a clone of {origin}")]
    OtherOrigin {
        /// The repository.
        repository: String,
        /// The directory.
        directory: Utf8PathBuf,
        /// Its origin, or that there is none to read.
        origin: String,
    },
    /// Files could not be moved, removed or locked.
    #[error("repository {repository} could not be put in place at {path}")]
    Files {
        /// The repository.
        repository: String,
        /// The path that was worked on.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The time limit passed.
    #[error("repository {repository} was not pulled within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The repository.
        repository: String,
        /// The limit.
        limit: Duration,
    },
    /// Code did not come from an object store or a directory.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// A step failed that is not about a repository.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A rule wants the code signed, and it is not.
    #[error("{}", .0.for_people())]
    Unsigned(Box<Objection>),
    /// The caller asked to stop.
    #[error("the pull of repository {repository} was cancelled")]
    Cancelled {
        /// The repository.
        repository: String,
    },
}

impl CodeError {
    /// What the flow's author or the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Directory { .. } => {
                "check the `directory` of the set_working_directory step and the `working_dir` of the run, and that the worker's user may enter it"
            }
            Self::EntrypointMissing { .. } => {
                "check the deployment's entrypoint, and that the file is in the branch that is pulled"
            }
            Self::GitMissing { .. } => "install git on the worker's machine, or put it on the PATH of the worker",
            Self::GitStart { .. } => "check the limits on processes and files of the worker's user",
            Self::NotFound { .. } => "check the `repository` of the git_clone step",
            Self::Refused { .. } => {
                "check the `repository` of the git_clone step; if it is private, give the step `credentials` or an `access_token` that has not expired and may read it"
            }
            Self::Login { .. } => {
                "check the `access_token` or `credentials` of the git_clone step and the block that they are taken from"
            }
            Self::HostKey { .. } => {
                "put the server's key into the known_hosts of the worker's user (`ssh-keyscan HOST`, and compare it with what the host publishes); if it has changed, find out why first"
            }
            Self::SshRefused { .. } => {
                "give the worker's user an SSH key without a passphrase that the server knows, or use an `https` URL with an `access_token`"
            }
            Self::Certificate { .. } => {
                "check the clock of the worker's machine and the certificate; if it is signed by an authority of your own, name its file in GIT_SSL_CAINFO"
            }
            Self::RevisionMissing { .. } => {
                "check the `branch` or `commit_sha` of the git_clone step, and that it was pushed"
            }
            Self::Unreachable { .. } => "check the network and proxy of the worker's machine, then run the flow again",
            Self::Submodules { .. } => {
                "check the URLs in the repository's .gitmodules; those on the repository's own host are read with its login, others without"
            }
            Self::Lfs { .. } => "check that the files are on the LFS server, and that the login may read them",
            Self::DiskFull { .. } => "free space on the worker's disk, then run the flow again",
            Self::Git { .. } => "run the same `git clone` on the worker's machine as the worker's user",
            Self::Occupied { .. } => "remove that directory, or give the git_clone step another `clone_directory_name`",
            Self::OtherOrigin { .. } => {
                "remove that directory if nothing else needs it, or give the git_clone step another `clone_directory_name`"
            }
            Self::Files { .. } => "check the permissions of that path for the worker's user",
            Self::TimedOut { .. } => {
                "check the network, pull fewer files with `directories`, or raise the worker's limit for pulls"
            }
            Self::Objects(error) => error.hint(),
            Self::Step(error) => error.hint(),
            Self::Unsigned(_) => "sign the commit, or pull one that is signed",
            Self::Cancelled { .. } => "run the flow again if this was not intended",
        }
    }

    /// Whether trying again soon may help.
    pub(crate) fn is_transient(&self) -> bool {
        // What `git` said and nobody here understood is tried again, as the SDK does.
        matches!(self, Self::Unreachable { .. } | Self::Git { .. })
    }
}
