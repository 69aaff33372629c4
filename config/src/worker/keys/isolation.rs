//! Settings about what runs may do and what they get of the worker.

use super::{Key, KeyKind, key};

/// Words of `process.environment`.
pub(crate) const ENVIRONMENTS: &[&str] = &["clean", "inherit"];

pub(crate) const ENVIRONMENT: Key = Key {
    default: Some("\"clean\""),
    doc: "What local processes get of the worker's own environment. `clean`: what programs need of their surroundings (PATH, HOME, \
          locale, proxies, certificates, Python, PREFECT_*) and what `environment_allow` names. `inherit`: all of it, as with \
          Prefect's own worker. WORKER_* and what systemd says to the worker are never handed on.",
    ..key("process.environment", "WORKER_PROCESS_ENVIRONMENT", KeyKind::Choice(ENVIRONMENTS))
};
pub(crate) const ENVIRONMENT_ALLOW: Key = Key {
    example: "[\"AWS_*\", \"DATABASE_URL\"]",
    doc: "Variables of the worker's environment that local processes get besides, where `environment` is `clean`; `*` stands for \
          any characters.",
    ..key("process.environment_allow", "WORKER_PROCESS_ENVIRONMENT_ALLOW", KeyKind::Names)
};
/// Words of `process.warm`.
pub(crate) const WARM_STARTS: &[&str] = &["off", "auto"];

pub(crate) const WARM: Key = Key {
    default: Some("\"off\""),
    doc: "Whether runs of the default command are forked from a Python that has imported Prefect already, and so start without the \
          second or two that this takes. `off`: none. `auto`: those that can; such a Python is kept while it is needed. A number: \
          the same, with at most so many of them, which are kept. What can not start warm starts as always. See docs/warm-starts.md.",
    ..key("process.warm", "WORKER_PROCESS_WARM", KeyKind::ChoiceOrCount(WARM_STARTS))
};
pub(crate) const SANDBOX_USER: Key = Key {
    example: "\"flows\"",
    doc: "User of this machine, by name or number, that local processes are executed as; the worker has to be root. They see of the \
          worker's state directory only what is their own. Unset: the worker's own.",
    ..key("sandbox.user", "WORKER_SANDBOX_USER", KeyKind::Text)
};
pub(crate) const SANDBOX_MEMORY: Key = Key {
    example: "\"4GiB\"",
    doc: "The most memory that the processes of a run have together; needs a cgroup. Unset: no limit.",
    ..key("sandbox.max_memory", "WORKER_SANDBOX_MAX_MEMORY", KeyKind::Text)
};
pub(crate) const SANDBOX_CPU: Key = Key {
    example: "200",
    doc: "The most of the processors that the processes of a run have together, in per cent of one; needs a cgroup. Unset: no limit.",
    ..key("sandbox.max_cpu_percent", "WORKER_SANDBOX_MAX_CPU_PERCENT", KeyKind::Count)
};
pub(crate) const SANDBOX_PROCESSES: Key = Key {
    example: "500",
    doc: "The most processes and threads of a run; needs a cgroup. Unset: no limit.",
    ..key("sandbox.max_processes", "WORKER_SANDBOX_MAX_PROCESSES", KeyKind::Count)
};
pub(crate) const SANDBOX_FILES: Key = Key {
    example: "1024",
    doc: "The most files that a process of a run has open. Unset: as many as the worker may.",
    ..key("sandbox.max_open_files", "WORKER_SANDBOX_MAX_OPEN_FILES", KeyKind::Count)
};
pub(crate) const SANDBOX_TIME: Key = Key {
    example: "86400",
    doc: "How long a local process may take. Then it is sent SIGTERM, and killed 10 seconds later. Unset: no limit.",
    ..key("sandbox.time_limit_seconds", "WORKER_SANDBOX_TIME_LIMIT_SECONDS", KeyKind::Count)
};
pub(crate) const SANDBOX_TMP: Key = Key {
    default: Some("false"),
    doc: "Give each local process a `/tmp` and `/var/tmp` of its own, which are removed with it; the worker has to be root.",
    ..key("sandbox.private_tmp", "WORKER_SANDBOX_PRIVATE_TMP", KeyKind::Bool)
};
pub(crate) const SANDBOX_PRIVILEGES: Key = Key {
    default: Some("false"),
    doc: "No program gives a local process more rights than it has: `sudo` and files with setuid do nothing.",
    ..key("sandbox.no_new_privileges", "WORKER_SANDBOX_NO_NEW_PRIVILEGES", KeyKind::Bool)
};
pub(crate) const POLICY_FILE: Key = Key {
    example: "\"/etc/worker/policy.toml\"",
    doc: "File with the rules that runs have to satisfy (docs/security.md). Nobody but root and the daemon's own user may be able \
          to write it. Unset: `/etc/worker/policy.toml`, if there is one.",
    ..key("policy.file", "WORKER_POLICY_FILE", KeyKind::Path)
};
pub(crate) const AUDIT_FILE: Key = Key {
    example: "\"/var/log/worker/audit.jsonl\"",
    doc: "File to which a JSON line is added for each run that is claimed, refused by the policy, launched, killed or ended. \
          Unset: none.",
    ..key("audit.file", "WORKER_AUDIT_FILE", KeyKind::Path)
};
pub(crate) const AUDIT_REQUIRED: Key = Key {
    default: Some("false"),
    doc: "Launch no run whose line cannot be written to `audit.file`: it waits until that can be. Otherwise the daemon complains \
          and goes on.",
    ..key("audit.required", "WORKER_AUDIT_REQUIRED", KeyKind::Bool)
};
pub(crate) const RUN_API_KEY: Key = Key {
    example: "\"pnu_...\"",
    doc: "API key that runs get as PREFECT_API_KEY in the place of the worker's own; they get no PREFECT_API_AUTH_STRING then. \
          Unset: runs get what the worker has.",
    ..key("api.run_api_key", "WORKER_API_RUN_API_KEY", KeyKind::Secret)
};
pub(crate) const RUN_API_KEY_FILE: Key = Key {
    example: "\"/etc/worker/run-api-key\"",
    doc: "File that holds the key of runs, if `run_api_key` is not set. Unset: the systemd credential `run_api_key`, if the unit has one.",
    ..key("api.run_api_key_file", "WORKER_API_RUN_API_KEY_FILE", KeyKind::Path)
};
