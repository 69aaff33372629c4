//! Which pools the daemon serves, and what is in force for each.
//!
//! A flag or variable beats a `[[pool]]` table, which beats `[start]` of any file.

use std::{num::NonZeroUsize, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use super::{forms, keys, types::PoolSettings};
use crate::{
    Origin,
    raw::Raw,
    reading::{Label, Reading},
    value::{self, Refusal},
};

/// A `[[pool]]` table as found; its values are of the right TOML type.
pub(crate) struct PoolTable {
    origin: Origin,
    pub(super) values: Vec<(&'static str, Raw, Origin)>,
}

impl PoolTable {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, values: Vec::new() }
    }
}

/// What `[start]`, or the flag or variable in its place, says for every pool.
pub(super) struct ForEveryPool {
    pub(super) worker_type: Given<Option<String>>,
    pub(super) limit: Given<Option<NonZeroUsize>>,
    pub(super) work_queues: Given<Vec<String>>,
    pub(super) prefetch: Given<Duration>,
    pub(super) base_job_template: Given<Option<Utf8PathBuf>>,
    pub(super) create_if_not_found: Given<bool>,
    pub(super) rerun_on: Given<Vec<String>>,
    pub(super) rerun_max: Given<NonZeroUsize>,
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
    tables: &[PoolTable],
    all: &ForEveryPool,
    reading: &mut Reading<'_>,
) -> Vec<PoolSettings> {
    let mut known: Vec<PoolSettings> = Vec::new();
    for table in tables {
        let Some(pool) = PoolReading { table, reading }.read(all) else {
            continue;
        };
        if known.iter().any(|other| other.name == pool.name) {
            reading.refuse("pool.name", table.origin.clone(), format!("is given twice: `{}`", pool.name));
        }
        known.push(pool);
    }
    if named.is_empty() {
        return known;
    }
    let of_name = |name: &String| {
        let table = known.iter().find(|pool| pool.name == *name);
        table.cloned().unwrap_or_else(|| PoolSettings {
            name: name.clone(),
            worker_type: all.worker_type.value.clone(),
            limit: all.limit.value,
            work_queues: all.work_queues.value.clone(),
            prefetch: all.prefetch.value,
            base_job_template: all.base_job_template.value.clone(),
            create_if_not_found: all.create_if_not_found.value,
            rerun_on: all.rerun_on.value.clone(),
            rerun_max: all.rerun_max.value,
        })
    };
    named.iter().map(of_name).collect()
}

struct PoolReading<'r, 't, 'a> {
    table: &'t PoolTable,
    reading: &'r mut Reading<'a>,
}

impl PoolReading<'_, '_, '_> {
    fn read(&mut self, all: &ForEveryPool) -> Option<PoolSettings> {
        let Some((_, raw, origin)) = self.found(keys::POOL_NAME.name()) else {
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
        let template = self.value(&name, &keys::BASE_JOB_TEMPLATE, value::not_empty);
        Some(PoolSettings {
            worker_type: all.worker_type.unless(self.value(&name, &keys::TYPE, value::not_empty).map(Some)),
            limit: all.limit.unless(self.value(&name, &keys::LIMIT, forms::count).map(Some)),
            work_queues: all.work_queues.unless(self.value(&name, &keys::WORK_QUEUE, forms::names)),
            prefetch: all.prefetch.unless(self.value(&name, &keys::PREFETCH, forms::whole_seconds)),
            base_job_template: all.base_job_template.unless(template.map(|path| Some(self.beside_the_file(&path)))),
            create_if_not_found: all.create_if_not_found.unless(self.value(&name, &keys::CREATE_POOL, value::boolean)),
            rerun_on: all.rerun_on.unless(self.value(&name, &keys::RERUN_ON, forms::rerun_causes)),
            rerun_max: all.rerun_max.unless(self.value(&name, &keys::RERUN_MAX, forms::count)),
            name,
        })
    }

    fn value<T>(&mut self, pool: &str, key: &keys::Key, parse: impl FnOnce(&Raw) -> Result<T, Refusal>) -> Option<T> {
        let (_, raw, origin) = self.found(key.name())?;
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

    fn found(&self, name: &str) -> Option<&(&'static str, Raw, Origin)> {
        self.table.values.iter().find(|(known, ..)| *known == name)
    }

    fn beside_the_file(&self, path: &str) -> Utf8PathBuf {
        let folder = self.table.origin.folder();
        let base = self.reading.working_directory.join(folder.unwrap_or(Utf8Path::new("")));
        base.join(crate::prefect::expand_home(path, self.reading.home_directory))
    }
}
