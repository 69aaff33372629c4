//! Whom the kernel takes first where memory is short.
//!
//! A service manager may have this process taken last (systemd's `OOMScoreAdjust=`). Its children inherit that, and a script that
//! needs all the memory must not be passed over for that.

use std::fs;

use tokio::process::Child;

const OWN: &str = "/proc/self/oom_score_adj";

/// Takes the protection, if there is any, from a program that was just started.
pub(crate) fn unprotect(child: &Child) {
    let is_protected = fs::read_to_string(OWN).is_ok_and(|score| score.trim_start().starts_with('-'));
    if let (true, Some(pid)) = (is_protected, child.id()) {
        // A program that is over by now needs no score.
        drop(fs::write(format!("/proc/{pid}/oom_score_adj"), "0"));
    }
}
