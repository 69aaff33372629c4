//! The forms of this daemon's own settings that need more than a number or a text.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    keys::{CLEANUP, INSTALL_POLICIES, LOG_FORMATS, RERUN_CAUSES, RUNS_AT_STOP, SECRETS},
    types::{DockerCleanup, DockerSecrets, LogFormat, RunsAtStop},
};
use crate::{
    raw::Raw,
    value::{self, Refusal, refusal},
};

/// A name of a worker, pool or queue: Prefect allows no `/` and no `%` in one.
pub(super) fn name(raw: &Raw) -> Result<String, Refusal> {
    let name = value::not_empty(raw)?;
    valid_name(name).map_err(|name| refusal("must not contain `/` or `%`", &Raw::Text(name)))
}

pub(super) fn names(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<String> = Vec::new();
    for name in value::texts(raw)? {
        let name = valid_name(name).map_err(|name| refusal("must hold names without `/` and `%`", &Raw::Text(name)))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
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
