//! `[sandbox]` and the `[[sandbox_profile]]` tables: how local processes are kept apart, and by what name.

use super::{
    file::NamedTable,
    forms,
    keys::{
        Key, KeyKind, SANDBOX_CPU, SANDBOX_FILES, SANDBOX_MEMORY, SANDBOX_PRIVILEGES, SANDBOX_PROCESSES, SANDBOX_TIME,
        SANDBOX_TMP, SANDBOX_USER, key,
    },
    types::{SandboxProfile, SandboxSettings},
};
use crate::{
    raw::Raw,
    reading::{Label, Reading},
    value::{self, Refusal},
};

/// The name that stands for the section `[sandbox]` itself.
pub const DEFAULT_SANDBOX: &str = "default";

/// The name of a `[[sandbox_profile]]` table. No variable sets it.
pub(crate) const PROFILE_NAME: Key = Key {
    example: "\"small\"",
    doc: "Name by which `sandbox` and `sandbox_allow` of a pool, the job variable `sandbox` and the policy mean the profile. \
          Required; `default` is the section `[sandbox]` itself.",
    ..key("sandbox_profile.name", "", KeyKind::Name)
};

/// The keys of a `[[sandbox_profile]]` table besides its name: those of `[sandbox]`.
pub const SANDBOX_PROFILE_KEYS: &[Key] = &[
    SANDBOX_USER,
    SANDBOX_MEMORY,
    SANDBOX_CPU,
    SANDBOX_PROCESSES,
    SANDBOX_FILES,
    SANDBOX_TIME,
    SANDBOX_TMP,
    SANDBOX_PRIVILEGES,
];

/// The profiles. What one does not say is as in `[sandbox]`: what is left out lifts nothing.
pub(super) fn profiles(
    tables: &[NamedTable],
    of_all: &SandboxSettings,
    reading: &mut Reading<'_>,
) -> Vec<SandboxProfile> {
    let mut profiles: Vec<SandboxProfile> = Vec::new();
    for table in tables {
        let Some(profile) = (ProfileReading { table, reading }).read(of_all) else { continue };
        if profiles.iter().any(|other| other.name == profile.name) {
            reading.refuse(PROFILE_NAME.dotted, table.origin.clone(), format!("is given twice: `{}`", profile.name));
        }
        profiles.push(profile);
    }
    profiles
}

struct ProfileReading<'r, 't, 'a> {
    table: &'t NamedTable,
    reading: &'r mut Reading<'a>,
}

impl ProfileReading<'_, '_, '_> {
    fn read(&mut self, of_all: &SandboxSettings) -> Option<SandboxProfile> {
        let name = match self.table.found(&PROFILE_NAME).map(|(raw, _)| forms::name(raw)) {
            Some(Ok(name)) if name == DEFAULT_SANDBOX => {
                Err(format!("must not be `{DEFAULT_SANDBOX}`, which is the section `[sandbox]` itself"))
            }
            Some(name) => name,
            None => Err("must be given in every `[[sandbox_profile]]` table".to_owned()),
        };
        let name = match name {
            Ok(name) => name,
            Err(reason) => {
                self.reading.refuse(PROFILE_NAME.dotted, self.table.origin.clone(), reason);
                return None;
            }
        };
        let sandbox = SandboxSettings {
            user: self.value(&name, &SANDBOX_USER, value::not_empty).or_else(|| of_all.user.clone()),
            max_memory: self.value(&name, &SANDBOX_MEMORY, forms::memory).or(of_all.max_memory),
            max_cpu_percent: self.value(&name, &SANDBOX_CPU, forms::count).or(of_all.max_cpu_percent),
            max_processes: self.value(&name, &SANDBOX_PROCESSES, forms::count).or(of_all.max_processes),
            max_open_files: self.value(&name, &SANDBOX_FILES, forms::count).or(of_all.max_open_files),
            time_limit: self.value(&name, &SANDBOX_TIME, forms::count).or(of_all.time_limit),
            private_tmp: self.value(&name, &SANDBOX_TMP, value::boolean).unwrap_or(of_all.private_tmp),
            no_new_privileges: self
                .value(&name, &SANDBOX_PRIVILEGES, value::boolean)
                .unwrap_or(of_all.no_new_privileges),
        };
        Some(SandboxProfile { name, sandbox })
    }

    fn value<T>(&mut self, profile: &str, key: &Key, parse: impl FnOnce(&Raw) -> Result<T, Refusal>) -> Option<T> {
        let (raw, origin) = self.table.found(key)?;
        let dotted = format!("sandbox_profile.{profile}.{}", key.name());
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
}

/// Whether there is a profile of this name.
pub(super) fn is_known(name: &str, profiles: &[SandboxProfile]) -> Result<(), Refusal> {
    if name == DEFAULT_SANDBOX || profiles.iter().any(|profile| profile.name == name) {
        return Ok(());
    }
    Err(format!("names a profile that has no `[[sandbox_profile]]` table: `{name}`"))
}
