//! Reading of a `worker.toml`. Unlike Prefect's files it is this daemon's own, so anything not understood is refused.

use camino::{Utf8Path, Utf8PathBuf};
use toml::de::{DeTable, DeValue};

use super::{
    keys::{KEYS, Key, KeyKind},
    pool_keys::{POOL_KEYS, POOL_NAME},
    sandbox::{PROFILE_NAME, SANDBOX_PROFILE_KEYS},
    workspace::{WORKSPACE_KEYS, WORKSPACE_NAME},
};
use crate::{
    ConfigError, Origin,
    error::closest,
    layer::{Layer, Origins},
    raw::Raw,
    toml_document::{self, Document},
};

/// Where `worker.toml` files are looked for, lowest precedence first; the flag's file is not among them.
pub(crate) fn standard_files(
    system: &Utf8Path,
    xdg_config_home: Option<&str>,
    home_directory: Option<&Utf8Path>,
    working_directory: &Utf8Path,
) -> Vec<Utf8PathBuf> {
    let user = match xdg_config_home.map(Utf8Path::new).filter(|path| path.is_absolute()) {
        Some(configuration) => Some(configuration.to_owned()),
        None => home_directory.map(|home| home.join(".config")),
    };
    [
        Some(system.to_owned()),
        user.map(|configuration| configuration.join("worker/worker.toml")),
        Some(working_directory.join("worker.toml")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What one file sets.
pub(crate) struct WorkerFile {
    pub(crate) layer: Layer,
    /// Its `[[pool]]` tables; `None` when it has none.
    pub(crate) pools: Option<Vec<NamedTable>>,
    /// Its `[[workspace]]` tables; `None` when it has none.
    pub(crate) workspaces: Option<Vec<NamedTable>>,
    /// Its `[[sandbox_profile]]` tables; `None` when it has none.
    pub(crate) sandboxes: Option<Vec<NamedTable>>,
}

/// A `[[pool]]`, `[[workspace]]` or `[[sandbox_profile]]` table as found; its values are of the right TOML type. Holds secrets, hence no `Debug`.
pub(crate) struct NamedTable {
    pub(super) origin: Origin,
    pub(super) values: Vec<(&'static str, Raw, Origin)>,
}

impl NamedTable {
    pub(super) fn found(&self, key: &Key) -> Option<(&Raw, &Origin)> {
        let (_, raw, origin) = self.values.iter().find(|(name, ..)| *name == key.name())?;
        Some((raw, origin))
    }

    /// The path that a value of the table means: relative ones count from the file that has the table.
    pub(super) fn path(&self, path: &str, working_directory: &Utf8Path, home: Option<&Utf8Path>) -> Utf8PathBuf {
        let base = working_directory.join(self.origin.folder().unwrap_or(Utf8Path::new("")));
        base.join(crate::prefect::expand_home(path, home))
    }
}

/// The tables that come in numbers, by the key that names each.
const NAMED: [(&Key, &[Key]); 3] =
    [(&POOL_NAME, POOL_KEYS), (&WORKSPACE_NAME, WORKSPACE_KEYS), (&PROFILE_NAME, SANDBOX_PROFILE_KEYS)];

/// Gathers the settings of one file.
pub(crate) struct WorkerFileReading<'a> {
    pub(crate) document: Document<'a>,
    pub(crate) origins: &'a mut Origins,
    pub(crate) problems: &'a mut Vec<ConfigError>,
}

impl WorkerFileReading<'_> {
    pub(crate) fn read(&mut self, root: &DeTable<'_>) -> WorkerFile {
        let mut file = WorkerFile { layer: Layer::default(), pools: None, workspaces: None, sandboxes: None };
        for (name, value) in root {
            let section = name.get_ref().as_ref();
            let line = self.document.line(name.span().start);
            match value.get_ref() {
                DeValue::Array(tables) if section == POOL_NAME.section() => {
                    let pools = tables.iter().filter_map(|table| self.named(&POOL_NAME, POOL_KEYS, table, line));
                    file.pools = Some(pools.collect());
                }
                DeValue::Array(tables) if section == WORKSPACE_NAME.section() => {
                    let tables = tables.iter();
                    let workspaces = tables.filter_map(|it| self.named(&WORKSPACE_NAME, WORKSPACE_KEYS, it, line));
                    file.workspaces = Some(workspaces.collect());
                }
                DeValue::Array(tables) if section == PROFILE_NAME.section() => {
                    let tables = tables.iter();
                    let sandboxes = tables.filter_map(|it| self.named(&PROFILE_NAME, SANDBOX_PROFILE_KEYS, it, line));
                    file.sandboxes = Some(sandboxes.collect());
                }
                DeValue::Table(table) if KEYS.iter().any(|key| key.section() == section) => {
                    self.section(section, table, &mut file.layer);
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => self.unknown_section(section, line),
            }
        }
        file
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>, layer: &mut Layer) {
        for (name, value) in table {
            let line = self.document.line(name.span().start);
            let known = KEYS.iter().find(|key| key.section() == section && key.name() == name.get_ref());
            let Some(key) = known else {
                self.unknown(&format!("{section}.{}", name.get_ref()), line);
                continue;
            };
            if let Some(raw) = self.value(key, value.get_ref(), line) {
                let origin = self.origin(line);
                layer.set(self.origins, key.variable, raw, origin);
            }
        }
    }

    fn named(
        &mut self,
        name_key: &'static Key,
        keys: &'static [Key],
        table: &toml::Spanned<DeValue<'_>>,
        header: usize,
    ) -> Option<NamedTable> {
        let line = self.document.line(table.span().start);
        let section = name_key.section();
        let DeValue::Table(entries) = table.get_ref() else {
            self.refuse(section, header, format!("must be tables, written `[[{section}]]`"));
            return None;
        };
        let mut found = NamedTable { origin: self.origin(line), values: Vec::new() };
        for (name, value) in entries {
            let line = self.document.line(name.span().start);
            let known = std::iter::once(name_key).chain(keys).find(|key| key.name() == name.get_ref());
            let Some(key) = known else {
                self.unknown(&format!("{section}.{}", name.get_ref()), line);
                continue;
            };
            if let Some(raw) = self.value(key, value.get_ref(), line) {
                found.values.push((key.name(), raw, self.origin(line)));
            }
        }
        Some(found)
    }

    /// The value, if it is of the kind its key wants; strings are not taken for numbers here.
    fn value(&mut self, key: &Key, value: &DeValue<'_>, line: usize) -> Option<Raw> {
        let fits = match (key.kind, value) {
            (
                KeyKind::Text
                | KeyKind::Name
                | KeyKind::Path
                | KeyKind::Secret
                | KeyKind::Choice(_)
                | KeyKind::ChoiceOrCount(_),
                DeValue::String(_),
            )
            | (KeyKind::Seconds | KeyKind::Interval, DeValue::Integer(_) | DeValue::Float(_))
            | (KeyKind::WholeSeconds | KeyKind::Count | KeyKind::ChoiceOrCount(_), DeValue::Integer(_))
            | (KeyKind::Bool, DeValue::Boolean(_))
            | (KeyKind::Headers, DeValue::Table(_)) => true,
            (KeyKind::Names, DeValue::Array(items)) => {
                items.iter().all(|item| matches!(item.get_ref(), DeValue::String(_)))
            }
            _ => false,
        };
        if fits {
            return Some(toml_document::raw(value));
        }
        let reason = format!("must be {}, not {}", key.kind.wanted(), toml_document::type_name(value));
        self.refuse(key.dotted, line, reason);
        None
    }

    fn unknown_section(&mut self, section: &str, line: usize) {
        let named = NAMED.map(|(name, _)| name.section());
        let sections = KEYS.iter().map(Key::section).chain(named);
        if sections.clone().any(|known| known == section) {
            let wanted = if named.contains(&section) {
                format!("must be tables, written `[[{section}]]`")
            } else {
                "must be a table".to_owned()
            };
            self.refuse(section, line, wanted);
            return;
        }
        let suggestion = closest(section, sections).map(str::to_owned);
        self.problems.push(ConfigError::UnknownKey {
            path: self.document.path(),
            line,
            key: section.to_owned(),
            suggestion,
        });
    }

    fn unknown(&mut self, dotted: &str, line: usize) {
        let section = dotted.split_once('.').map_or(dotted, |(section, _)| section);
        let named = NAMED.iter().find(|(name, _)| name.section() == section);
        let candidates: Vec<String> = match named {
            Some((name, keys)) => {
                let keys = std::iter::once(*name).chain(*keys);
                keys.map(|key| format!("{section}.{}", key.name())).collect()
            }
            None => KEYS.iter().map(|key| key.dotted.to_owned()).collect(),
        };
        self.problems.push(ConfigError::UnknownKey {
            path: self.document.path(),
            line,
            key: dotted.to_owned(),
            suggestion: closest(dotted, candidates.iter().map(String::as_str)).map(str::to_owned),
        });
    }

    fn refuse(&mut self, key: &str, line: usize, reason: String) {
        self.problems.push(ConfigError::Invalid { key: key.to_owned(), origin: self.origin(line), reason });
    }

    fn origin(&self, line: usize) -> Origin {
        Origin::File { path: self.document.path(), line }
    }
}
