//! The example file and the reference, both made from the table of settings.

use std::fmt::Write as _;

use crate::{
    Effective, KEYS, Key, LoadFrom, POOL_KEYS, ProcessEnvironment, SANDBOX_PROFILE_KEYS, Settings, WORKSPACE_KEYS,
    prefect::known,
    worker::{pool_keys::POOL_NAME, sandbox::PROFILE_NAME, workspace::WORKSPACE_NAME},
};

/// The file that [`default_toml`] writes: every setting with its default, the others commented out.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// An example `worker.toml` with every setting at its default.
pub fn default_toml() -> String {
    let mut out = String::from(
        "# Every setting of the worker at its default; those that are unset by default are commented out.\n\
         # Made from the table of settings in src/worker/keys.rs by `cargo run -p worker-config --example reference`.\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section() == section {
            line(&mut out, "");
        } else {
            section = key.section();
            line(&mut out, &format!("\n[{section}]"));
        }
        comment(&mut out, key.doc);
        match key.default {
            Some(default) => line(&mut out, &format!("{} = {default}", key.name())),
            None => line(&mut out, &format!("# {} = {}", key.name(), key.example)),
        }
    }
    line(&mut out, "");
    comment(&mut out, POOL_TABLES);
    line(&mut out, "# [[pool]]");
    for key in std::iter::once(&POOL_NAME).chain(POOL_KEYS) {
        let value = key.default.unwrap_or(key.example);
        line(&mut out, &format!("# {} = {value}", key.name()));
    }
    line(&mut out, "");
    comment(&mut out, WORKSPACE_TABLES);
    line(&mut out, "# [[workspace]]");
    for key in std::iter::once(&WORKSPACE_NAME).chain(WORKSPACE_KEYS) {
        let value = key.default.unwrap_or(key.example);
        line(&mut out, &format!("# {} = {value}", key.name()));
    }
    line(&mut out, "");
    comment(&mut out, PROFILE_TABLES);
    line(&mut out, "# [[sandbox_profile]]");
    for key in std::iter::once(&PROFILE_NAME).chain(SANDBOX_PROFILE_KEYS) {
        let value = key.default.unwrap_or(key.example);
        line(&mut out, &format!("# {} = {value}", key.name()));
    }
    out
}

const POOL_TABLES: &str = "One table for each pool, for what differs from `[start]`. Without `start.pool` the daemon serves every \
                           pool that has a table. A flag or variable beats a table; when several files have tables, those of \
                           the last file count.";

const PROFILE_TABLES: &str = "One table for each way in which local processes can be kept apart, with the keys of `[sandbox]`. \
                              What a table leaves out is as in `[sandbox]`. Pools say which profiles their runs have \
                              (`sandbox`, `sandbox_allow`). When several files have tables, those of the last file count.";

const WORKSPACE_TABLES: &str = "One table for each API besides that of Prefect's own settings. Nothing of one connection is \
                                used for another, and nothing of the connection in Prefect's own settings for any of \
                                these. All other settings are those of the daemon. When several files have tables, \
                                those of the last file count.";

/// The reference of all settings, in Markdown.
pub fn settings_md() -> String {
    let mut out = String::from(
        "# Settings\n\n<!-- Made by `cargo run -p worker-config --example reference`; a test fails when it is out of date. -->\n\n",
    );
    line(&mut out, INTRODUCTION);
    line(&mut out, "## Settings of the worker\n");
    line(&mut out, "| Key | Variable | Flag | Value | Default |\n|---|---|---|---|---|");
    for key in KEYS {
        line(&mut out, &own_row(key));
    }
    line(&mut out, "");
    for key in KEYS {
        line(&mut out, &format!("* `{}`: {}", key.dotted, key.doc));
    }
    line(&mut out, "\n### `[[pool]]`\n");
    line(&mut out, POOL_TABLES);
    line(&mut out, "");
    for key in std::iter::once(&POOL_NAME).chain(POOL_KEYS) {
        line(&mut out, &format!("* `{}` ({}): {}", key.name(), key.kind.wanted(), key.doc));
    }
    line(&mut out, "\n### `[[workspace]]`\n");
    line(&mut out, WORKSPACE_TABLES);
    line(&mut out, "");
    for key in std::iter::once(&WORKSPACE_NAME).chain(WORKSPACE_KEYS) {
        line(&mut out, &format!("* `{}` ({}): {}", key.name(), key.kind.wanted(), key.doc));
    }
    line(&mut out, "\n### `[[sandbox_profile]]`\n");
    line(&mut out, PROFILE_TABLES);
    line(&mut out, "");
    for key in std::iter::once(&PROFILE_NAME).chain(SANDBOX_PROFILE_KEYS) {
        line(&mut out, &format!("* `{}` ({}): {}", key.name(), key.kind.wanted(), key.doc));
    }
    line(&mut out, "\n## Prefect settings that the worker honours\n");
    line(&mut out, "| Variable | Older names | Key in `prefect.toml` | Default |\n|---|---|---|---|");
    for setting in prefect_defaults() {
        line(&mut out, &prefect_row(&setting));
    }
    line(&mut out, "");
    line(&mut out, KUBERNETES_NOTES);
    out
}

const INTRODUCTION: &str = "\
Two families of settings, each read once at start.

**Prefect's settings** are found where `prefect worker start` finds them. The first of these that sets one wins: a flag, the
environment (names in any case), a credential of systemd (`$CREDENTIALS_DIRECTORY/prefect-api-key`, and so for every setting
that is secret: its variable in small letters with dashes), `.env`, `prefect.toml`, the `[tool.prefect]` tables of `pyproject.toml` (all three in the
working directory), the active profile, the default. The profiles file is `PREFECT_PROFILES_PATH`, else `profiles.toml` in
`PREFECT_HOME`, else `~/.prefect/profiles.toml`; the active profile is the one of `--profile`, else of `PREFECT_PROFILE`, else
the file's `active`. Every Prefect setting that is set, also one the worker does not use, is handed on to flow runs. Not so
the settings of integrations (`PREFECT_INTEGRATIONS_…`), of which the worker honours those of Kubernetes.

**The worker's own settings** are found in `/etc/worker/worker.toml`, `$XDG_CONFIG_HOME/worker/worker.toml`
(`~/.config/worker/worker.toml`), `worker.toml` in the working directory and the file of `--config`, where a later file beats
an earlier one; then variables beat files, and flags beat variables. Unknown keys and values of the wrong type are refused. A
relative path in a file counts from that file. A variable that holds a list separates its items by commas, or is a JSON array.
";

const KUBERNETES_NOTES: &str = "\
`PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES` is a list of namespaces, without patterns; empty is the whole cluster, or,
where the worker has no rights in the whole cluster, the namespaces with runs of its own. `…_OBSERVER_ADDITIONAL_LABEL_FILTERS` is
written `key=value,key=value`. The settings `…_WORKER_CREATE_JOB_RETRY_…` are checked and have no effect: the key
`kubernetes.create_deadline_seconds` says how long the worker goes on trying to create a Job. `…_WORKER_ADD_TCP_KEEPALIVE` and
`…_CLUSTER_UID` have no effect either. [kubernetes.md](kubernetes.md) says what the others do.";

fn own_row(key: &Key) -> String {
    let flag = key.flag.map(|flag| format!("`{flag}`")).unwrap_or_default();
    let default = key.default.map(|default| format!("`{default}`")).unwrap_or_default();
    let wanted = key.kind.wanted();
    format!("| `{}` | `{}` | {flag} | {wanted} | {default} |", key.dotted, key.variable)
}

fn prefect_row(setting: &Effective) -> String {
    let variable = setting.variable.as_deref().unwrap_or_default();
    let default = match &setting.value {
        Some(value) if !value.is_empty() => format!("`{value}`"),
        _ => String::new(),
    };
    let aliases = known::by_variable(variable).map(|setting| setting.aliases.as_slice());
    let aliases: Vec<_> = aliases.unwrap_or_default().iter().map(|name| format!("`{name}`")).collect();
    format!("| `{variable}` | {} | `{}` | {default} |", aliases.join(", "), setting.key)
}

/// What an empty environment gives, without the settings of the packaged profile.
fn prefect_defaults() -> Vec<Effective> {
    let nowhere = ProcessEnvironment {
        variables: std::collections::BTreeMap::new(),
        working_directory: "/nonexistent".into(),
        home_directory: None,
    };
    let mut from = LoadFrom::process(nowhere);
    from.system_file = "/nonexistent/worker.toml".into();
    let report = Settings::load(&from).map(|loaded| loaded.report().to_vec()).unwrap_or_default();
    let is_own = |setting: &Effective| KEYS.iter().any(|key| Some(key.variable) == setting.variable.as_deref());
    report.into_iter().filter(|setting| !setting.origin.is_set() && !is_own(setting)).collect()
}

fn comment(out: &mut String, text: &str) {
    let mut current = String::from("#");
    for word in text.split_whitespace() {
        if current.len() + word.len() > 110 {
            line(out, &current);
            current = String::from("#");
        }
        current.push(' ');
        current.push_str(word);
    }
    line(out, &current);
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    writeln!(out, "{text}").unwrap_or_default();
}
