//! One rule.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::Pattern;
use super::requested::{CodeSource, CodeStep, Requested};
use super::signatures::Signers;
use super::topic::Topic;
use super::{Request, Subject, image};

/// A named rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its name, by which people know why a run was refused.
    pub name: String,
    /// Which runs it is about.
    pub scope: Scope,
    /// What the operator tells people whose run it refuses.
    pub help: Option<String>,
    /// It refuses nothing and only says what it would.
    pub only_reports: bool,
    /// What is allowed and what is not.
    pub lists: BTreeMap<Topic, List>,
    /// Images have to be named by their digest.
    pub images_by_digest: bool,
    /// Code has to be signed, by one of these.
    pub signed_by: Option<Signers>,
    /// What runs may use at most.
    pub bounds: Bounds,
}

/// Which runs a rule is about. A list that is empty leaves nobody out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Kinds of infrastructure.
    pub kinds: Vec<Pattern>,
    /// Work pools.
    pub pools: Vec<Pattern>,
    /// Deployments, as `FLOW/DEPLOYMENT`.
    pub deployments: Vec<Pattern>,
    /// Deployments that the rule is not about.
    pub except_deployments: Vec<Pattern>,
}

/// What is allowed and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Only this; `None` allows everything, an empty list nothing.
    pub allow: Option<Vec<Pattern>>,
    /// Not this, whatever is allowed.
    pub deny: Vec<Pattern>,
}

/// What runs may use at most. A run without a limit of its own is beyond every bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Processors, in thousandths.
    pub cpu_millis: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Seconds.
    pub run_time_seconds: Option<u64>,
}

impl Scope {
    pub(super) fn covers(&self, subject: &Subject) -> bool {
        let one_of = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        let fits = |patterns: &[Pattern], text: &str| patterns.is_empty() || one_of(patterns, text);
        let deployment = subject.deployment.as_deref();
        fits(&self.kinds, &subject.kind)
            && fits(&self.pools, &subject.pool)
            // A run without a deployment is not let off by having none.
            && deployment.is_none_or(|deployment| fits(&self.deployments, deployment))
            && !deployment.is_some_and(|deployment| one_of(&self.except_deployments, deployment))
    }
}

impl List {
    /// Why an entry with these spellings is not allowed.
    fn objects_to<'s>(
        &self,
        topic: Topic,
        spellings: &(impl IntoIterator<Item = &'s str> + Clone),
        fits: impl Fn(&Pattern, &str) -> bool,
    ) -> Option<String> {
        let fits = |pattern: &Pattern| spellings.clone().into_iter().any(|text| fits(pattern, text));
        let key = topic.key();
        if let Some(pattern) = self.deny.iter().find(|pattern| fits(pattern)) {
            return Some(format!("is denied by `{pattern}` in `{key}.deny`"));
        }
        match &self.allow {
            Some(allowed) if allowed.is_empty() => Some(format!("is not allowed, because `{key}.allow` is empty")),
            Some(allowed) if !allowed.iter().any(fits) => Some(format!("is not among `{key}.allow`")),
            Some(_) | None => None,
        }
    }
}

impl Rule {
    /// What of the request the rule does not allow.
    pub(super) fn objects_to(&self, request: Request<'_>) -> Option<String> {
        match request {
            Request::Infrastructure(requested) => self.objects_to_infrastructure(requested),
            Request::Code(steps) => steps.iter().find_map(|step| self.objects_to_step(step)),
        }
    }

    fn objects_to_infrastructure(&self, requested: &Requested) -> Option<String> {
        let images = || self.objects_to_one_of(Topic::Images, &requested.images);
        let unpinned = || {
            let unpinned = requested.images.iter().find(|image| self.images_by_digest && !image::is_pinned(image))?;
            Some(format!("the image `{unpinned}` is not named by its digest, which `images.by_digest` asks for"))
        };
        let rest = [
            (Topic::Commands, &requested.commands),
            (Topic::Environment, &requested.environment),
            (Topic::Mounts, &requested.mounts),
            (Topic::Privileges, &requested.privileges),
            (Topic::Namespaces, &requested.namespaces),
            (Topic::ServiceAccounts, &requested.service_accounts),
            (Topic::Sandboxes, &requested.sandboxes),
        ];
        let rest = || rest.into_iter().find_map(|(topic, entries)| self.objects_to_one_of(topic, entries));
        images().or_else(unpinned).or_else(rest).or_else(|| self.bounds.object_to(requested))
    }

    fn objects_to_one_of(&self, topic: Topic, entries: &BTreeSet<String>) -> Option<String> {
        let list = self.lists.get(&topic)?;
        let fits = if topic == Topic::Images { image::matches } else { Pattern::matches };
        entries.iter().find_map(|entry| {
            let why = list.objects_to(topic, &[entry.as_str()], fits)?;
            Some(format!("{} {} {why}", topic.noun(), quoted(topic, entry)))
        })
    }

    fn objects_to_step(&self, step: &CodeStep) -> Option<String> {
        let steps = self.lists.get(&Topic::PullSteps);
        let by_name = steps.and_then(|list| {
            let why = list.objects_to(Topic::PullSteps, &[step.step.as_str()], Pattern::matches)?;
            Some(format!("{} `{}` {why}", Topic::PullSteps.noun(), step.step))
        });
        by_name.or_else(|| self.objects_to_source(step, steps)).or_else(|| self.objects_to_unverifiable(step))
    }

    fn objects_to_source(&self, step: &CodeStep, steps: Option<&List>) -> Option<String> {
        let list = self.lists.get(&Topic::Repositories)?;
        match &step.source {
            CodeSource::None => None,
            CodeSource::Known(spellings) => {
                let texts = spellings.iter().map(String::as_str);
                let why = list.objects_to(Topic::Repositories, &texts, Pattern::matches)?;
                let shown = spellings.first().map(String::as_str).unwrap_or_default();
                Some(format!("{} `{shown}` {why}", Topic::Repositories.noun()))
            }
            CodeSource::Unknown => {
                // A rule that names the step itself means it.
                let is_named = steps.is_some_and(|list| list.allow.is_some());
                (list.allow.is_some() && !is_named).then(|| {
                        format!(
                            "the pull step `{}` may bring code from anywhere, and `repositories.allow` says from where it may \
                             come; a rule that means the step names it in `pull_steps.allow`",
                            step.step
                        )
                    })
            }
        }
    }
}

/// Of a command only the program: its arguments are for its author.
fn quoted(topic: Topic, entry: &str) -> String {
    if topic != Topic::Commands {
        return format!("`{entry}`");
    }
    match entry.split_once(char::is_whitespace) {
        Some((program, _)) => format!("`{program} ...`"),
        None => format!("`{entry}`"),
    }
}

impl Bounds {
    fn object_to(&self, requested: &Requested) -> Option<String> {
        let bounds = [
            Bound {
                what: "processors",
                key: "max_cpu",
                most: self.cpu_millis,
                asked: requested.cpu_millis,
                shown: cores,
            },
            Bound {
                what: "memory",
                key: "max_memory",
                most: self.memory_bytes,
                asked: requested.memory_bytes,
                shown: bytes,
            },
            Bound {
                what: "run time",
                key: "max_run_time_seconds",
                most: self.run_time_seconds,
                asked: requested.run_time_seconds,
                shown: seconds,
            },
        ];
        bounds.iter().find_map(Bound::objects)
    }
}

/// One bound, and what is asked for of it.
struct Bound {
    what: &'static str,
    key: &'static str,
    most: Option<u64>,
    asked: Option<u64>,
    shown: fn(u64) -> String,
}

impl Bound {
    fn objects(&self) -> Option<String> {
        let Self { what, key, most, asked, shown } = self;
        let most = (*most)?;
        let most_shown = shown(most);
        match *asked {
            None => Some(format!("nothing limits its {what}, and `resources.{key}` is {most_shown}")),
            Some(asked) if asked > most => {
                Some(format!("its limit of {what} is {}, and `resources.{key}` is {most_shown}", shown(asked)))
            }
            Some(_) => None,
        }
    }
}

fn cores(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size));
    unit.map_or_else(|| format!("{bytes} bytes"), |(size, name)| format!("{} {name}", bytes / size))
}

fn seconds(seconds: u64) -> String {
    format!("{seconds} s")
}
