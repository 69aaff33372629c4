//! The marks that runs leave: proof of how often each was executed.

use std::path::{Path, PathBuf};

use worker_core::ids::RunId;

/// The file that runs append to.
#[derive(Clone, Debug)]
pub(super) struct Record(PathBuf);

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) what: Moment,
    pub(super) run: RunId,
    /// The process of the run's command.
    pub(super) pid: i32,
    /// The launch key that it found in its environment.
    pub(super) key: String,
}

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// The command began.
    Start,
    /// It did all that it was to do.
    Stop,
}

impl Record {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.join("record"))
    }

    /// All marks so far, in order.
    pub(super) fn marks(&self) -> Vec<Mark> {
        // There is no file before the first mark.
        let text = fs_err::read_to_string(&self.0).unwrap_or_default();
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        whole.lines().map(|line| read(line).unwrap_or_else(|| panic!("a mark that nobody made: {line:?}"))).collect()
    }
}

fn read(line: &str) -> Option<Mark> {
    let mut words = line.split(' ');
    let what = match words.next()? {
        "start" => Moment::Start,
        "stop" => Moment::Stop,
        _ => return None,
    };
    Some(Mark {
        what,
        run: words.next()?.parse().ok()?,
        pid: words.next()?.parse().ok()?,
        key: words.next()?.to_owned(),
    })
}
