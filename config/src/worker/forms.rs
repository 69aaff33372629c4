//! The forms of this daemon's own settings that need more than a number or a text.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    keys::{
        CLEANUP, ENVIRONMENTS, HOLD_SLOTS, INSTALL_POLICIES, KUBERNETES_SECRETS, LATE_POLICIES, LOG_FORMATS,
        RERUN_CAUSES, RUNS_AT_STOP, SECRETS,
    },
    sandbox::is_known,
    types::{
        DockerCleanup, DockerSecrets, HoldSlots, KubernetesCleanup, KubernetesSecrets, LatePolicy, LogFormat,
        ProcessEnvironmentMode, RunsAtStop, SandboxProfile, WarmStarts,
    },
};
use crate::{
    memory_size,
    raw::Raw,
    value::{self, Refusal, refusal},
};

/// A name of a worker, pool or queue: Prefect allows no `/` and no `%` in one.
pub(super) fn name(raw: &Raw) -> Result<String, Refusal> {
    let name = value::not_empty(raw)?;
    valid_name(name).map_err(|name| refusal("must not contain `/` or `%`", &Raw::Text(name)))
}

pub(super) fn names(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let valid =
        |name| valid_name(name).map_err(|name| refusal("must hold names without `/` and `%`", &Raw::Text(name)));
    distinct(value::texts(raw)?.into_iter().map(valid))
}

/// The name of a profile.
pub(super) fn sandbox(raw: &Raw, profiles: &[SandboxProfile]) -> Result<String, Refusal> {
    let name = name(raw)?;
    is_known(&name, profiles).map(|()| name)
}

/// Names of profiles.
pub(super) fn sandboxes(raw: &Raw, profiles: &[SandboxProfile]) -> Result<Vec<String>, Refusal> {
    let names = names(raw)?;
    names.iter().try_for_each(|name| is_known(name, profiles)).map(|()| names)
}

/// Names of pools, each with that of its workspace before it if it is in one: `gpu`, `acme/gpu`.
pub(super) fn places(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let valid = |place: String| {
        let parts: Vec<&str> = place.split('/').collect();
        let is_valid = parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && !part.contains('%'));
        let wanted = "must hold names without `/` and `%`, or WORKSPACE/NAME";
        if is_valid { Ok(place) } else { Err(refusal(wanted, &Raw::Text(place))) }
    };
    distinct(value::texts(raw)?.into_iter().map(valid))
}

fn distinct(names: impl Iterator<Item = Result<String, Refusal>>) -> Result<Vec<String>, Refusal> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        let name = name?;
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Ok(all)
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
pub(super) fn address(raw: &Raw) -> Result<(String, u16), Refusal> {
    let text = value::not_empty(raw)?;
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() && (host.starts_with('[') || !host.contains(':')) => {
            Ok((host.trim_matches(['[', ']']).to_owned(), port))
        }
        _ => Err(refusal("must be HOST:PORT, such as `127.0.0.1:9464` or `[::1]:9464`", raw)),
    }
}

pub(super) fn count(raw: &Raw) -> Result<NonZeroUsize, Refusal> {
    let count = value::integer_from::<usize>(1)(raw)?;
    NonZeroUsize::new(count).ok_or_else(|| refusal("must be at least 1", raw))
}

pub(super) fn whole_seconds(raw: &Raw) -> Result<Duration, Refusal> {
    value::integer_from(0)(raw).map(Duration::from_secs)
}

pub(super) fn log_format(raw: &Raw) -> Result<LogFormat, Refusal> {
    match word(raw, LOG_FORMATS)?.as_str() {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Ok(LogFormat::Auto),
    }
}

pub(super) fn runs_at_stop(raw: &Raw) -> Result<RunsAtStop, Refusal> {
    match word(raw, RUNS_AT_STOP)?.as_str() {
        "leave" => Ok(RunsAtStop::Leave),
        "wait" => Ok(RunsAtStop::Wait),
        "stop" => Ok(RunsAtStop::Stop),
        _ => Ok(RunsAtStop::Auto),
    }
}

pub(super) fn environment(raw: &Raw) -> Result<ProcessEnvironmentMode, Refusal> {
    match word(raw, ENVIRONMENTS)?.as_str() {
        "inherit" => Ok(ProcessEnvironmentMode::Inherit),
        _ => Ok(ProcessEnvironmentMode::Clean),
    }
}

pub(super) fn warm(raw: &Raw) -> Result<WarmStarts, Refusal> {
    match value::text(&Raw::Text(raw.clone().into_text()))?.to_ascii_lowercase().as_str() {
        "off" => Ok(WarmStarts::Off),
        "auto" => Ok(WarmStarts::Auto),
        _ => count(raw).map(WarmStarts::Kept).map_err(|_| refusal("must be one of off, auto, or a whole number", raw)),
    }
}

/// Names of variables, with `*`.
pub(super) fn variables(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let names = value::texts(raw)?;
    match names.iter().find(|name| name.is_empty() || name.contains(['=', ' '])) {
        Some(wrong) => Err(refusal("must hold names of variables, with `*`", &Raw::Text(wrong.clone()))),
        None => Ok(names),
    }
}

/// An amount of memory with its unit.
pub(super) fn memory(raw: &Raw) -> Result<u64, Refusal> {
    memory_size::of(&value::not_empty(raw)?).ok_or_else(|| refusal(memory_size::WANTED, raw))
}

pub(super) fn docker_cleanup(raw: &Raw) -> Result<DockerCleanup, Refusal> {
    match word(raw, CLEANUP)?.as_str() {
        "keep" => Ok(DockerCleanup::Keep),
        "remove" => Ok(DockerCleanup::Remove),
        _ => Ok(DockerCleanup::Ttl),
    }
}

pub(super) fn docker_secrets(raw: &Raw) -> Result<DockerSecrets, Refusal> {
    match word(raw, SECRETS)?.as_str() {
        "environment" => Ok(DockerSecrets::Environment),
        _ => Ok(DockerSecrets::File),
    }
}

pub(super) fn kubernetes_cleanup(raw: &Raw) -> Result<KubernetesCleanup, Refusal> {
    match word(raw, CLEANUP)?.as_str() {
        "ttl" => Ok(KubernetesCleanup::Ttl),
        "remove" => Ok(KubernetesCleanup::Remove),
        _ => Ok(KubernetesCleanup::Keep),
    }
}

pub(super) fn kubernetes_secrets(raw: &Raw) -> Result<KubernetesSecrets, Refusal> {
    match word(raw, KUBERNETES_SECRETS)?.as_str() {
        "environment" => Ok(KubernetesSecrets::Environment),
        _ => Ok(KubernetesSecrets::Secret),
    }
}

pub(super) fn hold_slots(raw: &Raw) -> Result<HoldSlots, Refusal> {
    match word(raw, HOLD_SLOTS)?.as_str() {
        "until_submitted" => Ok(HoldSlots::UntilSubmitted),
        _ => Ok(HoldSlots::UntilEnd),
    }
}

/// Ways in which infrastructure fails a run.
pub(super) fn rerun_causes(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let causes = value::texts(raw)?;
    match causes.iter().find(|cause| !RERUN_CAUSES.contains(&cause.as_str())) {
        Some(unknown) => {
            Err(refusal(&format!("must hold words of {}", RERUN_CAUSES.join(", ")), &Raw::Text(unknown.clone())))
        }
        None => Ok(causes),
    }
}

/// The word alone: its bound is a setting of its own.
pub(super) fn late_policy(raw: &Raw) -> Result<String, Refusal> {
    word(raw, LATE_POLICIES)
}

/// The policy of a word and its bound.
pub(super) fn late(policy: &str, bound: Option<Duration>) -> Result<LatePolicy, Refusal> {
    match (policy, bound) {
        ("latest", _) => Ok(LatePolicy::Latest),
        ("skip_older_than", Some(bound)) => Ok(LatePolicy::SkipOlderThan(bound)),
        ("skip_older_than", None) => Err("is `skip_older_than`, which needs `late_seconds`".to_owned()),
        _ => Ok(LatePolicy::All),
    }
}

pub(super) fn install_policy(raw: &Raw) -> Result<String, Refusal> {
    word(raw, INSTALL_POLICIES)
}

/// A log filter: levels, each for all or for one module, separated by commas.
pub(super) fn log_level(raw: &Raw) -> Result<String, Refusal> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let filter = value::not_empty(raw)?;
    let understood = filter.split(',').all(|directive| {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        LEVELS.contains(&level.trim().to_ascii_lowercase().as_str())
    });
    if understood {
        Ok(filter)
    } else {
        Err(refusal("must be error, warn, info, debug, trace or a filter such as `info,module=debug`", raw))
    }
}

fn valid_name(name: String) -> Result<String, String> {
    if name.contains(['/', '%']) { Err(name) } else { Ok(name) }
}

fn word(raw: &Raw, words: &[&str]) -> Result<String, Refusal> {
    let word = value::text(raw)?.to_ascii_lowercase();
    if words.contains(&word.as_str()) {
        Ok(word)
    } else {
        Err(refusal(&format!("must be one of {}", words.join(", ")), raw))
    }
}
