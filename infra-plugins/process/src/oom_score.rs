//! Whom the kernel takes first where memory is short.
//!
//! A service manager may have the worker taken last (systemd's `OOMScoreAdjust=`), and children inherit that. A supervisor keeps
//! it: it is small, and without it nobody knows how a run ended. The command of a run must not: the kernel would pass over the
//! one that needs the memory and take another program of the machine.

use std::fs;

use camino::Utf8Path;

use crate::procfs::short_text;

/// The kernel's knob of this process: the lower, the later it is taken.
pub(crate) const OWN: &str = "/proc/self/oom_score_adj";

/// Does something that forks, without the protection that this process may have. It has it again afterwards: a process may
/// always go down to what a privileged one has set for it.
pub(crate) fn without_protection<T>(knob: &Utf8Path, fork: impl FnOnce() -> T) -> T {
    let score = short_text(knob.as_str()).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let Some(protected) = score.filter(|score| *score < 0) else {
        return fork();
    };
    // Where it cannot be written the run is protected as well, which is better than no run.
    let _given_up = fs::write(knob, "0");
    let forked = fork();
    let _restored = fs::write(knob, protected.to_string());
    forked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen_while_forking(score: &str) -> (String, String) {
        let directory = tempfile::tempdir().unwrap();
        let knob = Utf8Path::from_path(directory.path()).unwrap().join("oom_score_adj");
        fs::write(&knob, score).unwrap();
        let during = without_protection(&knob, || fs::read_to_string(&knob).unwrap());
        (during, fs::read_to_string(&knob).unwrap())
    }

    #[test]
    fn what_is_forked_is_not_protected_and_the_one_who_forks_is_again() {
        assert_eq!(seen_while_forking("-500\n"), ("0".to_owned(), "-500".to_owned()));
    }

    #[test]
    fn one_that_is_not_protected_stays_as_it_is() {
        assert_eq!(seen_while_forking("300\n"), ("300\n".to_owned(), "300\n".to_owned()));
    }
}
