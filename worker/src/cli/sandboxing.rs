//! How local processes are kept apart, from the settings; and what of the settings commands need that only look.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use worker_config::{PoolSettings, SandboxChoice, SandboxProfile, SandboxSettings, Settings};
use worker_core::policy::Policy;

use crate::registry::{Confinement, RunAs};
use crate::run::ErrorChain;
use crate::{console, policy};

/// What the section `[sandbox]` says.
///
/// # Errors
/// There is no such user.
pub(super) fn of_section(sandbox: &SandboxSettings) -> Result<Confinement, String> {
    confinement(sandbox, "`sandbox.user` (WORKER_SANDBOX_USER)")
}

/// What the `[[sandbox_profile]]` tables say, by their names.
///
/// # Errors
/// There is no such user.
pub(super) fn of_profiles(profiles: &[SandboxProfile]) -> Result<BTreeMap<String, Confinement>, String> {
    let one = |SandboxProfile { name, sandbox }: &SandboxProfile| {
        Ok((name.clone(), confinement(sandbox, &format!("`sandbox_profile.{name}.user`"))?))
    };
    profiles.iter().map(one).collect()
}

fn confinement(sandbox: &SandboxSettings, key: &str) -> Result<Confinement, String> {
    let number = |most: Option<NonZeroUsize>| most.and_then(|most| u64::try_from(most.get()).ok());
    let run_as = sandbox.user.as_deref().map(RunAs::find).transpose();
    Ok(Confinement {
        run_as: run_as.map_err(|error| format!("{key}: {}", ErrorChain(&error)))?,
        max_memory: sandbox.max_memory,
        max_cpu_percent: number(sandbox.max_cpu_percent),
        max_processes: number(sandbox.max_processes),
        max_open_files: number(sandbox.max_open_files),
        time_limit: number(sandbox.time_limit),
        private_tmp: sandbox.private_tmp,
        no_new_privileges: sandbox.no_new_privileges,
    })
}

/// The pool of this name, if the settings have it.
pub(super) fn pool_named<'s>(settings: &'s Settings, workspace: Option<&str>, name: &str) -> Option<&'s PoolSettings> {
    settings.pools.iter().find(|pool| pool.workspace.as_deref() == workspace && pool.name == name)
}

/// How local processes of a pool are kept apart; of one that the settings do not have, as they say for every pool.
pub(super) fn sandbox_of<'s>(settings: &'s Settings, pool: Option<&'s PoolSettings>) -> &'s SandboxChoice {
    pool.map_or(&settings.worker.start.sandbox, |pool| &pool.sandbox)
}

/// The rules in force, for somebody who only looks: what is wrong with them is said, and nothing is judged.
pub(super) fn policy_looked_at(settings: &Settings) -> Option<Policy> {
    policy::looked_at(settings.worker.policy_file.as_deref()).unwrap_or_else(|errors| {
        console::complaint(&format!("warning: what the policy says is left out: {errors}"));
        None
    })
}
