//! The keys of a `[[pool]]` table.

use super::keys::{
    BASE_JOB_TEMPLATE, CREATE_POOL, Key, KeyKind, LATE_POLICY, LATE_SECONDS, LIMIT, PICK_UP_EVENTS, POOL_SANDBOX,
    POOL_SANDBOX_ALLOW, PREFETCH, RERUN_MAX, RERUN_ON, TYPE, WORK_QUEUE, key,
};

/// The name of a `[[pool]]` table. No variable sets it.
pub(crate) const POOL_NAME: Key =
    Key { example: "\"gpu\"", doc: "Name of the pool. Required.", ..key("pool.name", "", KeyKind::Name) };
pub(crate) const POOL_WORKSPACE: Key = Key {
    example: "\"acme\"",
    doc: "Name of the `[[workspace]]` table that says at which API the pool is. Unset: the API of Prefect's own settings.",
    ..key("pool.workspace", "", KeyKind::Name)
};

pub(crate) const PRIORITY: Key = Key {
    default: Some("100"),
    doc: "Which pool takes first while not all can: 1 before 2, as with work queues. Pools of the same priority take turns.",
    ..key("pool.priority", "", KeyKind::Count)
};

/// The keys of a `[[pool]]` table besides its name; each that is also in `[start]` means what it means there.
pub const POOL_KEYS: &[Key] = &[
    POOL_WORKSPACE,
    PRIORITY,
    TYPE,
    LIMIT,
    WORK_QUEUE,
    PREFETCH,
    PICK_UP_EVENTS,
    BASE_JOB_TEMPLATE,
    CREATE_POOL,
    RERUN_ON,
    RERUN_MAX,
    LATE_POLICY,
    LATE_SECONDS,
    POOL_SANDBOX,
    POOL_SANDBOX_ALLOW,
];
