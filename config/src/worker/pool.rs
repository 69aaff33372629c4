//! Which pools the daemon serves, and what is in force for each.
//!
//! A flag or variable beats a `[[pool]]` table, which beats `[start]` of any file.

use std::{num::NonZeroUsize, time::Duration};

use camino::Utf8PathBuf;

use super::{
    file::NamedTable,
    forms, keys,
    pool_keys::{POOL_NAME, POOL_WORKSPACE, PRIORITY},
    types::{LatePolicy, PoolSettings, SandboxChoice, SandboxProfile},
    workspace::WorkspaceSettings,
};
use crate::{
    Origin,
    raw::Raw,
    reading::{Label, Reading},
    value::{self, Refusal},
};

/// In the middle, so that others can come before and after.
const DEFAULT_PRIORITY: NonZeroUsize = const { NonZeroUsize::new(100).unwrap() };

/// What `[start]`, or the flag or variable in its place, says for every pool.
pub(super) struct ForEveryPool<'p> {
    pub(super) profiles: &'p [SandboxProfile],
    pub(super) sandbox: Given<Option<String>>,
    pub(super) sandbox_allow: Given<Vec<String>>,
    pub(super) worker_type: Given<Option<String>>,
    pub(super) limit: Given<Option<NonZeroUsize>>,
    pub(super) work_queues: Given<Vec<String>>,
    pub(super) prefetch: Given<Duration>,
    pub(super) pick_up_events: Given<bool>,
    pub(super) base_job_template: Given<Option<Utf8PathBuf>>,
    pub(super) create_if_not_found: Given<bool>,
    pub(super) rerun_on: Given<Vec<String>>,
    pub(super) rerun_max: Given<NonZeroUsize>,
    pub(super) late_policy: Given<String>,
    pub(super) late_seconds: Given<Option<Duration>>,
}

/// A value, and whether a `[[pool]]` table may say otherwise.
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) is_above_files: bool,
}

impl<T: Clone> Given<T> {
    fn unless(&self, table: Option<T>) -> T {
        table.filter(|_| !self.is_above_files).unwrap_or_else(|| self.value.clone())
    }
}

/// The pools named by `start.pool`, else all that have a table.
pub(super) fn pools(
    named: &[String],
    tables: &[NamedTable],
    all: &ForEveryPool<'_>,
    workspaces: &[WorkspaceSettings],
    reading: &mut Reading<'_>,
) -> Vec<PoolSettings> {
    let mut known: Vec<PoolSettings> = Vec::new();
    for table in tables {
        let Some(pool) = (PoolReading { table, reading }).read(all, workspaces) else {
            continue;
        };
        if known.iter().any(|other| other.place() == pool.place()) {
            reading.refuse("pool.name", table.origin.clone(), format!("is given twice: `{}`", pool.place()));
        }
        known.push(pool);
    }
    if named.is_empty() {
        return known;
    }
    let mut wanted = Vec::new();
    for name in named {
        match of_name(name, &known, all, workspaces) {
            Ok(pool) => wanted.push(pool),
            Err(reason) => {
                let origin = reading.origin(keys::POOL.variable).cloned().unwrap_or(Origin::Default);
                reading.refuse(keys::POOL.dotted, origin, reason);
            }
        }
    }
    wanted
}

/// The pool of a name such as `gpu` or `acme/gpu`: what its table says, or what is said for every pool.
fn of_name(
    name: &str,
    known: &[PoolSettings],
    all: &ForEveryPool<'_>,
    workspaces: &[WorkspaceSettings],
) -> Result<PoolSettings, Refusal> {
    let whole = name;
    let (workspace, name) = match whole.split_once('/') {
        Some((workspace, name)) => (Some(workspace.to_owned()), name),
        None => (None, whole),
    };
    is_known(workspace.as_deref(), workspaces).map_err(|reason| {
        format!("{reason}. In `{whole}` the slash stands after a workspace: names of pools have none")
    })?;
    let mut tables = known.iter().filter(|pool| pool.name == *name);
    if let Some(table) = tables.clone().find(|pool| pool.workspace == workspace) {
        return Ok(table.clone());
    }
    // A name that has a table means what the table says, wherever that is.
    if workspace.is_none()
        && let Some(table) = tables.next()
    {
        return match tables.next() {
            None => Ok(table.clone()),
            Some(_) => Err(format!("`{name}` is in several workspaces: write WORKSPACE/{name}")),
        };
    }
    Ok(PoolSettings {
        name: name.to_owned(),
        workspace,
        priority: DEFAULT_PRIORITY,
        worker_type: all.worker_type.value.clone(),
        limit: all.limit.value,
        work_queues: all.work_queues.value.clone(),
        prefetch: all.prefetch.value,
        pick_up_events: all.pick_up_events.value,
        base_job_template: all.base_job_template.value.clone(),
        create_if_not_found: all.create_if_not_found.value,
        rerun_on: all.rerun_on.value.clone(),
        rerun_max: all.rerun_max.value,
        late: forms::late(&all.late_policy.value, all.late_seconds.value)?,
        sandbox: SandboxChoice { default: all.sandbox.value.clone(), allow: all.sandbox_allow.value.clone() },
    })
}

fn is_known(workspace: Option<&str>, workspaces: &[WorkspaceSettings]) -> Result<(), Refusal> {
    match workspace {
        Some(name) if !workspaces.iter().any(|known| known.name == name) => {
            Err(format!("names a workspace that has no `[[workspace]]` table: `{name}`"))
        }
        _ => Ok(()),
    }
}

struct PoolReading<'r, 't, 'a> {
    table: &'t NamedTable,
    reading: &'r mut Reading<'a>,
}

impl PoolReading<'_, '_, '_> {
    fn read(&mut self, all: &ForEveryPool<'_>, workspaces: &[WorkspaceSettings]) -> Option<PoolSettings> {
        let Some((raw, origin)) = self.table.found(&POOL_NAME) else {
            let reason = "must be given in every `[[pool]]` table".to_owned();
            self.reading.refuse("pool.name", self.table.origin.clone(), reason);
            return None;
        };
        let name = match forms::name(raw) {
            Ok(name) => name,
            Err(reason) => {
                self.reading.refuse("pool.name", origin.clone(), reason);
                return None;
            }
        };
        let in_file = |raw: &Raw| {
            let workspace = forms::name(raw)?;
            is_known(Some(&workspace), workspaces).map(|()| workspace)
        };
        // Not listed: it is part of the name under which the rest is.
        let workspace = match self.table.found(&POOL_WORKSPACE).map(|(raw, origin)| (in_file(raw), origin)) {
            Some((Ok(workspace), _)) => Some(workspace),
            Some((Err(reason), origin)) => {
                self.reading.refuse(POOL_WORKSPACE.dotted, origin.clone(), reason);
                None
            }
            None => None,
        };
        let place = place(workspace.as_deref(), &name);
        let pool = place.as_str();
        let policy = all.late_policy.unless(self.value(pool, &keys::LATE_POLICY, forms::late_policy));
        let bound = all.late_seconds.unless(self.value(pool, &keys::LATE_SECONDS, forms::whole_seconds).map(Some));
        let late = forms::late(&policy, bound).unwrap_or_else(|reason| {
            self.reading.refuse(&format!("pool.{pool}.late_policy"), self.table.origin.clone(), reason);
            LatePolicy::All
        });
        let one = self.value(pool, &keys::POOL_SANDBOX, |raw| forms::sandbox(raw, all.profiles)).map(Some);
        let allow = self.value(pool, &keys::POOL_SANDBOX_ALLOW, |raw| forms::sandboxes(raw, all.profiles));
        let template = self.value(pool, &keys::BASE_JOB_TEMPLATE, value::not_empty);
        Some(PoolSettings {
            late,
            sandbox: SandboxChoice { default: all.sandbox.unless(one), allow: all.sandbox_allow.unless(allow) },
            priority: self.value(pool, &PRIORITY, forms::count).unwrap_or(DEFAULT_PRIORITY),
            worker_type: all.worker_type.unless(self.value(pool, &keys::TYPE, value::not_empty).map(Some)),
            limit: all.limit.unless(self.value(pool, &keys::LIMIT, forms::count).map(Some)),
            work_queues: all.work_queues.unless(self.value(pool, &keys::WORK_QUEUE, forms::names)),
            prefetch: all.prefetch.unless(self.value(pool, &keys::PREFETCH, forms::whole_seconds)),
            pick_up_events: all.pick_up_events.unless(self.value(pool, &keys::PICK_UP_EVENTS, value::boolean)),
            base_job_template: all.base_job_template.unless(template.map(|path| Some(self.beside_the_file(&path)))),
            create_if_not_found: all.create_if_not_found.unless(self.value(pool, &keys::CREATE_POOL, value::boolean)),
            rerun_on: all.rerun_on.unless(self.value(pool, &keys::RERUN_ON, forms::rerun_causes)),
            rerun_max: all.rerun_max.unless(self.value(pool, &keys::RERUN_MAX, forms::count)),
            workspace,
            name,
        })
    }

    fn value<T>(&mut self, pool: &str, key: &keys::Key, parse: impl FnOnce(&Raw) -> Result<T, Refusal>) -> Option<T> {
        let (raw, origin) = self.table.found(key)?;
        let dotted = format!("pool.{pool}.{}", key.name());
        match parse(raw) {
            Ok(parsed) => {
                let label = Label { key: &dotted, variable: "" };
                self.reading.list(label, Some(raw.clone().into_text()), origin.clone());
                Some(parsed)
            }
            Err(reason) => {
                self.reading.refuse(&dotted, origin.clone(), reason);
                None
            }
        }
    }

    fn beside_the_file(&self, path: &str) -> Utf8PathBuf {
        self.table.path(path, self.reading.working_directory, self.reading.home_directory)
    }
}

impl PoolSettings {
    /// Its name, with that of its workspace if it is in one: `gpu`, `acme/gpu`.
    pub fn place(&self) -> String {
        place(self.workspace.as_deref(), &self.name)
    }
}

/// A pool's name, with that of its workspace if it is in one that has a name: `gpu`, `acme/gpu`.
pub fn place(workspace: Option<&str>, name: &str) -> String {
    workspace.map_or_else(|| name.to_owned(), |workspace| format!("{workspace}/{name}"))
}
