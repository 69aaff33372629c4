//! Looking at what is there, and doing what was planned.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::plan::{Install, Present, Refusal, Step, at};

/// Where packages have their units.
const PACKAGED: [&str; 2] = ["usr/lib/systemd/system/worker.service", "lib/systemd/system/worker.service"];
/// Where units that are enabled have a link.
const WANTED: &str = "etc/systemd/system/multi-user.target.wants";
/// Is there while systemd runs the machine.
const SYSTEMD_RUNS: &str = "/run/systemd/system";

/// Why the service could not be installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// What was asked for cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not enough rights.
    #[error("services of the machine belong to root: run this with sudo, or look at what it would do with --dry-run")]
    NotRoot,
    /// Another init, or a container.
    #[error(
        "this machine is not run by systemd ({SYSTEMD_RUNS} does not exist). --root DIRECTORY writes the files below a folder, \
         --dry-run shows them"
    )]
    NoSystemd,
    /// The service's account could not start the program.
    #[error(
        "{path} cannot be executed by other accounts, because of {closed}. Install it where they can: \
         install -m 755 {path} {path}-supervisor /usr/local/bin/"
    )]
    Closed {
        /// The program.
        path: Utf8PathBuf,
        /// The folder or file without the permission.
        closed: Utf8PathBuf,
    },
    /// A file or folder.
    #[error(transparent)]
    File(io::Error),
    /// A command is not there.
    #[error("`{command}` cannot be run")]
    Command {
        /// Its words.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A command did not do it.
    #[error("`{command}` failed ({status}): {said}{}", more(advice))]
    Failed {
        /// Its words.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        said: String,
        /// What to do.
        advice: String,
    },
}

fn more(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(". {text}") }
}

/// What is there already below a root; whether this process may change it.
///
/// # Errors
/// It may not, or the program could not be started by the service. Nothing of it counts if it is only to be shown.
pub fn look_around(root: Option<&Utf8Path>, only_shown: bool) -> Result<Present, ServiceError> {
    if root.is_none() && !only_shown {
        if !Utf8Path::new(SYSTEMD_RUNS).exists() {
            return Err(ServiceError::NoSystemd);
        }
        if !rustix::process::geteuid().is_root() {
            return Err(ServiceError::NotRoot);
        }
    }
    let links = at(root, WANTED);
    let instances = match fs_err::read_dir(&links) {
        Ok(links) => {
            let names = links.filter_map(|link| link.ok()?.file_name().into_string().ok());
            let mut names: Vec<String> = names.filter(|name| name.starts_with("worker@")).collect();
            names.sort();
            names
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(ServiceError::File(error)),
    };
    Ok(Present {
        packaged_unit: PACKAGED.map(|path| at(root, path)).into_iter().find(|path| path.exists()),
        files: Install::files(root).into_iter().filter(|path| path.exists()).collect(),
        instances,
    })
}

/// Whether any account can execute a program.
///
/// # Errors
/// The first folder on the way, or the program, that is closed to others.
pub(super) fn open_to_all(executable: &Utf8Path) -> Result<(), ServiceError> {
    let parts: Vec<&Utf8Path> = executable.ancestors().collect();
    for part in parts.into_iter().rev() {
        let mode = fs_err::metadata(part).map_err(ServiceError::File)?.permissions().mode();
        if mode & 0o001 == 0 {
            return Err(ServiceError::Closed { path: executable.to_owned(), closed: part.to_owned() });
        }
    }
    Ok(())
}

impl Install {
    /// Whether the service could start the program at all. Of an account that was named nobody knows what it may, and of the image
    /// of a machine where the program will be.
    ///
    /// # Errors
    /// It could not.
    pub fn check_program(&self) -> Result<(), ServiceError> {
        if self.user.is_none() && self.root.is_none() { open_to_all(&self.executable) } else { Ok(()) }
    }
}

/// Does one step after the other, and says each before it.
///
/// # Errors
/// The first that fails; what was done before it stays.
pub fn carry_out(steps: &[Step], mut say: impl FnMut(&str)) -> Result<(), ServiceError> {
    for step in steps {
        say(&step.title());
        match step {
            Step::Write { path, text, mode } => write(path, text, *mode).map_err(ServiceError::File)?,
            Step::Remove { path } => fs_err::remove_file(path).map_err(ServiceError::File)?,
            Step::Run { command, advice } => run(command, advice)?,
        }
    }
    Ok(())
}

/// Never seen half written, and never open to others for a moment: it gets its name last.
fn write(path: &Utf8Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let beside = path.with_extension("new");
    match fs_err::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs_err::OpenOptions::new();
    fs_err::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    io::Write::write_all(&mut options.open(&beside)?, text.as_bytes())?;
    fs_err::set_permissions(&beside, Permissions::from_mode(mode))?;
    fs_err::rename(&beside, path)
}

fn run(command: &[String], advice: &str) -> Result<(), ServiceError> {
    let words = || command.join(" ");
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| ServiceError::Command { command: words(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().trim_end_matches('.').to_owned();
    let (status, advice) = (output.status.to_string(), advice.to_owned());
    Err(ServiceError::Failed { command: words(), status, said, advice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_a_closed_folder_is_refused_with_the_folder() {
        let directory = tempfile::tempdir().unwrap();
        let open = Utf8Path::from_path(directory.path()).unwrap();
        let closed = open.join("closed");
        fs_err::create_dir(&closed).unwrap();
        fs_err::write(closed.join("worker"), "").unwrap();
        fs_err::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        fs_err::set_permissions(open, Permissions::from_mode(0o755)).unwrap();
        fs_err::set_permissions(closed.join("worker"), Permissions::from_mode(0o755)).unwrap();
        let error = open_to_all(&closed.join("worker")).unwrap_err().to_string();
        assert!(error.contains(&format!("because of {closed}.")), "{error}");
        fs_err::set_permissions(&closed, Permissions::from_mode(0o711)).unwrap();
        open_to_all(&closed.join("worker")).unwrap();
    }

    #[test]
    fn a_file_is_written_with_its_permissions_and_its_folder() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("etc/worker/worker.env");
        for text in ["a", "b"] {
            write(&path, text, 0o600).unwrap();
            assert_eq!(fs_err::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_command_that_fails_says_what_it_said_and_what_to_do() {
        let command = ["sh", "-c", "echo no. >&2; exit 3"].map(str::to_owned);
        let error = run(&command, "Do this").unwrap_err().to_string();
        assert!(error.ends_with("failed (exit status: 3): no. Do this"), "{error}");
    }
}
