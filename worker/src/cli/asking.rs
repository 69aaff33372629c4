//! Asking the person at the terminal.

use std::io::{BufRead as _, IsTerminal as _};

use crate::console;

/// Whether somebody can be asked: a script cannot.
pub(super) fn somebody_is_there() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks, and gives the answer; none if it is empty or there is none.
pub(super) fn ask(question: &str) -> Option<String> {
    console::line(question);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).ok()?;
    let answer = answer.trim();
    (!answer.is_empty()).then(|| answer.to_owned())
}
