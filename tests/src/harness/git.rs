//! Git repositories made on the spot.

use std::path::Path;
use std::process::Command;

/// Makes a repository at `path` whose branch `main` holds the files of `folder`, and returns its address.
pub fn repository_of(folder: &Path, path: &Path) -> String {
    git(path, &["init", "--quiet", "--initial-branch", "main", "."]);
    for entry in fs_err::read_dir(folder).expect("the folder exists") {
        let entry = entry.expect("the folder can be read");
        if entry.path().is_file() {
            fs_err::copy(entry.path(), path.join(entry.file_name())).expect("the file can be copied");
        }
    }
    git(path, &["add", "."]);
    let author = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
    git(path, &[author.as_slice(), &["commit", "--quiet", "--message", "flows"]].concat());
    format!("file://{}", path.display())
}

fn git(path: &Path, args: &[&str]) {
    fs_err::create_dir_all(path).expect("the harness writes into its own directory");
    let ended = Command::new("git").arg("-C").arg(path).args(args).output().expect("git is installed");
    assert!(ended.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
}
