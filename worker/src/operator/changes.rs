//! Which settings differ from those in force, and which of them can take effect without a restart.

use worker_config::Effective;

/// The variables of the settings that a running daemon can change. Those of `[[pool]]` tables have none.
const CHANGEABLE: [&str; 18] = [
    "WORKER_START_LATE_POLICY",
    "WORKER_START_LATE_SECONDS",
    "WORKER_ADMISSION_MAX_RUNS",
    "WORKER_LOG_LEVEL",
    "PREFECT_LOGGING_LEVEL",
    "PREFECT_DEBUG_MODE",
    "PREFECT_WORKER_DEBUG_MODE",
    "WORKER_SHUTDOWN_RUNS",
    "WORKER_SHUTDOWN_DRAIN_TIMEOUT_SECONDS",
    "WORKER_START_POOL",
    "WORKER_START_LIMIT",
    "WORKER_START_WORK_QUEUE",
    "WORKER_START_TYPE",
    "WORKER_START_PREFETCH_SECONDS",
    "WORKER_START_BASE_JOB_TEMPLATE",
    "WORKER_START_CREATE_POOL_IF_NOT_FOUND",
    "WORKER_START_RERUN_ON",
    "WORKER_START_RERUN_MAX",
];

/// What is different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Takes effect now: setting, value and the value before.
    pub(super) now: Vec<String>,
    /// Takes effect after a restart: the names of the settings, for a value may be secret.
    pub(super) after_a_restart: Vec<String>,
}

/// Compares the settings in force, as they are shown to people, with those that were read now.
pub(super) fn changes(in_force: &[Effective], read: &[Effective]) -> Changes {
    let mut changes = Changes::default();
    let value = |settings: &[Effective], key: &str| {
        settings.iter().find(|setting| setting.key == key).and_then(|setting| setting.value.clone())
    };
    let gone = in_force.iter().filter(|setting| !read.iter().any(|other| other.key == setting.key));
    for setting in read.iter().chain(gone) {
        let (before, now) = (value(in_force, &setting.key), value(read, &setting.key));
        if before == now {
            continue;
        }
        if is_changeable(setting) {
            let shown = |value: Option<String>| value.unwrap_or_else(|| "unset".to_owned());
            changes.now.push(format!("{} is {} (was {})", setting.key, shown(now), shown(before)));
        } else {
            changes.after_a_restart.push(setting.key.clone());
        }
    }
    changes
}

fn is_changeable(setting: &Effective) -> bool {
    match &setting.variable {
        Some(variable) => CHANGEABLE.contains(&variable.as_str()),
        None => setting.key.starts_with("pool."),
    }
}

#[cfg(test)]
mod tests {
    use worker_config::Origin;

    use super::*;

    fn setting(key: &str, variable: Option<&str>, value: &str) -> Effective {
        Effective {
            key: key.to_owned(),
            variable: variable.map(str::to_owned),
            value: Some(value.to_owned()),
            origin: Origin::Default,
        }
    }

    #[test]
    fn what_can_take_effect_is_told_from_what_needs_a_restart() {
        let state = |dir: &str, level: &str, limit: &str| {
            vec![
                setting("state.dir", Some("WORKER_STATE_DIR"), dir),
                setting("log.level", Some("WORKER_LOG_LEVEL"), level),
                setting("pool.gpu.limit", None, limit),
            ]
        };
        let found = changes(&state("/a", "info", "1"), &state("/b", "debug", "2"));
        assert_eq!(found.now, ["log.level is debug (was info)", "pool.gpu.limit is 2 (was 1)"]);
        assert_eq!(found.after_a_restart, ["state.dir"]);
        assert_eq!(changes(&state("/a", "info", "1"), &state("/a", "info", "1")), Changes::default());
    }

    #[test]
    fn a_setting_that_was_removed_is_a_change() {
        let found = changes(&[setting("pool.gpu.limit", None, "1")], &[]);
        assert_eq!(found.now, ["pool.gpu.limit is unset (was 1)"]);
    }
}
