//! Places at which a test has the daemon killed, to prove that it can die there.
//!
//! In a build for release there are none, and nothing is left of them. In a debug build the variable
//! `WORKER_FAILPOINT`, `<name>` or `<name>:<n>`, has the process kill itself with SIGKILL when it reaches the point of that
//! name for the nth time. `WORKER_STALL`, the beginning of a loop's name, has that loop hang from its first turn on, and take
//! itself for one that turns every second, so that nobody waits long for the discovery.

use std::collections::BTreeMap;

const VARIABLE: &str = "WORKER_FAILPOINT";
const STALL_VARIABLE: &str = "WORKER_STALL";

/// Every place, in the order in which a run comes by.
pub const NAMES: [&str; 14] = [
    "claim.before-persist",
    "claim.persisted",
    "claim.accepted",
    "claimed.persisted",
    "prepared",
    "announced",
    "launch.persisted",
    "launch.done",
    "launched.persisted",
    "report.persisted",
    "report.accepted",
    "cleanup.persisted",
    "cleaned-up",
    "forgotten",
];

/// Arms the place that the environment names, if it names one.
pub fn arm(variables: &BTreeMap<String, String>) {
    #[cfg(debug_assertions)]
    if let Some(text) = variables.get(VARIABLE) {
        armed::arm(text);
    }
    #[cfg(debug_assertions)]
    if let Some(name) = variables.get(STALL_VARIABLE) {
        armed::stall(name);
    }
    #[cfg(not(debug_assertions))]
    let _nothing_to_arm = (variables, VARIABLE, STALL_VARIABLE);
}

/// The process reaches a place.
#[cfg(not(debug_assertions))]
pub(crate) const fn reach(_name: &str) {}

/// Whether the loop of this name is to hang.
#[cfg(not(debug_assertions))]
pub(crate) const fn stalls(_name: &str) -> bool {
    false
}

/// Whether the loop of this name is to hang.
#[cfg(debug_assertions)]
pub(crate) fn stalls(name: &str) -> bool {
    armed::stalls(name)
}

/// The process reaches a place.
#[cfg(debug_assertions)]
pub(crate) fn reach(name: &str) {
    armed::reach(name);
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    struct Armed {
        name: String,
        left: AtomicU32,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();
    static STALLED: OnceLock<String> = OnceLock::new();

    pub(super) fn stall(name: &str) {
        STALLED.get_or_init(|| name.to_owned());
    }

    pub(super) fn stalls(name: &str) -> bool {
        STALLED.get().is_some_and(|stalled| name.starts_with(stalled.as_str()))
    }

    pub(super) fn arm(text: &str) {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        ARMED.get_or_init(|| Armed { name: name.to_owned(), left: AtomicU32::new(nth.parse().unwrap_or(1)) });
    }

    pub(super) fn reach(name: &str) {
        debug_assert!(super::NAMES.contains(&name), "{name} is not a listed failpoint");
        if let Some(armed) = ARMED.get()
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // Nothing can go on after this, so that it cannot be sent is of no interest.
            let _sent = kill_process(getpid(), Signal::KILL);
        }
    }
}
