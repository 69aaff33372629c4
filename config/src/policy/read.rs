//! From the tables of the file to rules.

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use worker_core::policy::{Bounds, List, Pattern, Policy, Rule, Topic};

use super::bounds;
use crate::error::closest;
use crate::toml_document::{Document, type_name};
use crate::{ConfigError, Origin};

const RULE: &str = "rule";
const NOT_TABLES: &str = "must be tables, written `[[rule]]`";
const NAME: &str = "name";
const HELP: &str = "help";
const MODE: &str = "mode";
const SCOPE: [&str; 4] = ["kinds", "pools", "deployments", "except_deployments"];
const RESOURCES: &str = "resources";
const BOUNDS: [&str; 3] = ["max_cpu", "max_memory", "max_run_time_seconds"];
const ALLOW: &str = "allow";
const DENY: &str = "deny";
const BY_DIGEST: &str = "by_digest";
const SIGNED_BY: &str = "signed_by";

/// Reads one file.
pub(super) struct PolicyReading<'d> {
    pub(super) document: Document<'d>,
    pub(super) kinds: &'d [&'d str],
    pub(super) problems: Vec<ConfigError>,
}

type Entry<'e, 'd> = (&'e Spanned<std::borrow::Cow<'d, str>>, &'e Spanned<DeValue<'d>>);

impl PolicyReading<'_> {
    pub(super) fn read(&mut self, root: &DeTable<'_>) -> Policy {
        let mut rules: Vec<Rule> = Vec::new();
        for (name, value) in root {
            let line = self.document.line(name.span().start);
            if name.get_ref() != RULE {
                self.unknown(name.get_ref(), line, &[RULE]);
                continue;
            }
            let DeValue::Array(tables) = value.get_ref() else {
                self.refuse(RULE, line, NOT_TABLES);
                continue;
            };
            for table in tables {
                let line = self.document.line(table.span().start);
                let DeValue::Table(entries) = table.get_ref() else {
                    self.refuse(RULE, line, NOT_TABLES);
                    continue;
                };
                let rule = self.rule(entries, line);
                if !rule.name.is_empty() && rules.iter().any(|other| other.name == rule.name) {
                    self.refuse("rule.name", line, &format!("is given twice: `{}`", rule.name));
                }
                rules.push(rule);
            }
        }
        Policy { rules }
    }

    fn rule(&mut self, table: &DeTable<'_>, line: usize) -> Rule {
        let mut rule = Rule::default();
        let mut restricts = false;
        for entry in table {
            let (key, value) = entry;
            let line = self.document.line(key.span().start);
            let name: &str = key.get_ref();
            if let Some(topic) = Topic::ALL.into_iter().find(|topic| topic.key() == name) {
                restricts |= self.topic(topic, entry, &mut rule);
                continue;
            }
            match name {
                NAME => rule.name = self.text("rule.name", value.get_ref(), line),
                HELP => rule.help = Some(self.text("rule.help", value.get_ref(), line)),
                MODE => rule.only_reports = self.mode(value.get_ref(), line),
                "kinds" => rule.scope.kinds = self.kinds(value.get_ref(), line),
                "pools" => rule.scope.pools = self.scope(name, value.get_ref(), line),
                "deployments" => rule.scope.deployments = self.scope(name, value.get_ref(), line),
                "except_deployments" => rule.scope.except_deployments = self.scope(name, value.get_ref(), line),
                RESOURCES => {
                    rule.bounds = self.bounds(value.get_ref(), line);
                    restricts = true;
                }
                other => {
                    let topics = Topic::ALL.map(Topic::key);
                    let known: Vec<&str> =
                        [NAME, HELP, MODE, RESOURCES].into_iter().chain(SCOPE).chain(topics).collect();
                    self.unknown_in(RULE, other, line, &known);
                    // It was meant to restrict something.
                    restricts = true;
                }
            }
        }
        if rule.name.is_empty() {
            self.refuse("rule.name", line, "must be given in every `[[rule]]`: it is what people are told");
        } else if !restricts {
            self.refuse(RULE, line, &format!("`{}` restricts nothing: give it a list or `resources`", rule.name));
        }
        rule
    }

    /// The lists about one thing. Whether there is one.
    fn topic(&mut self, topic: Topic, (key, value): Entry<'_, '_>, rule: &mut Rule) -> bool {
        let line = self.document.line(key.span().start);
        let path = format!("{RULE}.{}", topic.key());
        let DeValue::Table(table) = value.get_ref() else {
            self.refuse(
                &path,
                line,
                &format!("must have `{ALLOW}` or `{DENY}`, as in `{}.{ALLOW} = [..]`", topic.key()),
            );
            return true;
        };
        let mut list = List::default();
        for (key, value) in table {
            let line = self.document.line(key.span().start);
            let dotted = format!("{path}.{}", key.get_ref());
            match (key.get_ref().as_ref(), value.get_ref()) {
                (ALLOW, value) => list.allow = Some(self.patterns(&dotted, value, line)),
                (DENY, value) => list.deny = self.patterns(&dotted, value, line),
                (BY_DIGEST, DeValue::Boolean(by_digest)) if topic == Topic::Images => {
                    rule.images_by_digest = *by_digest;
                }
                (BY_DIGEST, _) if topic == Topic::Images => self.refuse(&dotted, line, "must be true or false"),
                (SIGNED_BY, value) if topic == Topic::Repositories => {
                    rule.signed_by = Some(self.signers(&dotted, value, line));
                }
                (other, _) => {
                    let of_topic = [(Topic::Images, BY_DIGEST), (Topic::Repositories, SIGNED_BY)];
                    let more = of_topic.into_iter().find(|(its, _)| *its == topic).map(|(_, name)| name);
                    let known: Vec<&str> = [ALLOW, DENY].into_iter().chain(more).collect();
                    self.unknown_in(&path, other, line, &known);
                }
            }
        }
        let is_signed = topic == Topic::Repositories && rule.signed_by.is_some();
        let restricts = list != List::default() || rule.images_by_digest || is_signed;
        if list != List::default() {
            rule.lists.insert(topic, list);
        }
        restricts
    }

    fn bounds(&mut self, value: &DeValue<'_>, line: usize) -> Bounds {
        let mut bounds = Bounds::default();
        let path = format!("{RULE}.{RESOURCES}");
        let DeValue::Table(table) = value else {
            self.refuse(&path, line, &format!("must be a table with {}", BOUNDS.join(", ")));
            return bounds;
        };
        for (key, value) in table {
            let line = self.document.line(key.span().start);
            let read = match key.get_ref().as_ref() {
                "max_cpu" => bounds::cpu(value.get_ref()).map(|most| bounds.cpu_millis = Some(most)),
                "max_memory" => bounds::memory(value.get_ref()).map(|most| bounds.memory_bytes = Some(most)),
                "max_run_time_seconds" => {
                    bounds::seconds(value.get_ref()).map(|most| bounds.run_time_seconds = Some(most))
                }
                other => {
                    self.unknown_in(&path, other, line, &BOUNDS);
                    continue;
                }
            };
            if let Err(reason) = read {
                self.refuse(&format!("{path}.{}", key.get_ref()), line, reason);
            }
        }
        bounds
    }

    fn mode(&mut self, value: &DeValue<'_>, line: usize) -> bool {
        let word = if let DeValue::String(word) = value { word.as_ref() } else { "" };
        if !["enforce", "report"].contains(&word) {
            self.refuse("rule.mode", line, "must be \"enforce\" or \"report\"");
        }
        word == "report"
    }

    fn kinds(&mut self, value: &DeValue<'_>, line: usize) -> Vec<Pattern> {
        let kinds = self.scope("kinds", value, line);
        let known = self.kinds;
        if let Some(nothing) = kinds.iter().find(|kind| !known.iter().any(|known| kind.matches(known))) {
            self.refuse("rule.kinds", line, &format!("must hold kinds of {}, not `{nothing}`", known.join(", ")));
        }
        kinds
    }

    /// Which runs a rule is about. An empty list would be about all, where its author may mean none.
    fn scope(&mut self, key: &str, value: &DeValue<'_>, line: usize) -> Vec<Pattern> {
        let dotted = format!("{RULE}.{key}");
        let patterns = self.patterns(&dotted, value, line);
        if patterns.is_empty() && matches!(value, DeValue::Array(_)) {
            self.refuse(&dotted, line, "must not be empty; leave it out if the rule is about all runs");
        }
        patterns
    }

    fn patterns(&mut self, dotted: &str, value: &DeValue<'_>, line: usize) -> Vec<Pattern> {
        let DeValue::Array(items) = value else {
            self.refuse(dotted, line, &format!("must be an array of strings, not {}", type_name(value)));
            return Vec::new();
        };
        let mut patterns = Vec::new();
        for item in items {
            if let DeValue::String(text) = item.get_ref()
                && !text.is_empty()
            {
                patterns.push(Pattern::new(text.as_ref()));
            } else {
                self.refuse(dotted, line, "must hold strings that are not empty");
            }
        }
        patterns
    }

    pub(super) fn text(&mut self, dotted: &str, value: &DeValue<'_>, line: usize) -> String {
        let text = if let DeValue::String(text) = value { text.trim() } else { "" };
        if text.is_empty() {
            self.refuse(dotted, line, "must be a string that is not empty");
        }
        text.to_owned()
    }

    pub(super) fn unknown_in(&mut self, section: &str, key: &str, line: usize, known: &[&str]) {
        let dotted = format!("{section}.{key}");
        let known: Vec<String> = known.iter().map(|known| format!("{section}.{known}")).collect();
        self.unknown(&dotted, line, &known.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn unknown(&mut self, key: &str, line: usize, known: &[&str]) {
        let suggestion = closest(key, known.iter().copied()).map(str::to_owned);
        self.problems.push(ConfigError::UnknownKey {
            path: self.document.path(),
            line,
            key: key.to_owned(),
            suggestion,
        });
    }

    pub(super) fn refuse(&mut self, key: &str, line: usize, reason: &str) {
        let origin = Origin::File { path: self.document.path(), line };
        self.problems.push(ConfigError::Invalid { key: key.to_owned(), origin, reason: reason.to_owned() });
    }
}
