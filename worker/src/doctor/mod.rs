//! Looking whether a worker could work here, and saying what to do where it could not.
//!
//! Each check has a bound of its own and all run at the same time, but for those that need an API: they begin when it has
//! answered. Nothing is changed anywhere, but for an empty file that is made in the state directory and removed.

mod central_api;
mod code;
mod collector;
mod kinds;
mod machine;
mod policy;
mod pools;
mod streams;

use std::fmt::Write as _;
use std::time::Duration;

use infra_contract::{Finding, Severity};
use serde::Serialize;
use tokio::time::Instant;

pub use central_api::{ApiUnderLook, look_at_api};
pub use code::CodeUnderLook;
pub use collector::look_at_collector;
pub use kinds::look_at_kinds;
pub use machine::{MachineUnderLook, look_at_machine};
pub use policy::look_at_policy;
pub use pools::PoolUnderLook;

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: a kind of infrastructure, `api`, `disk`.
    pub name: String,
    /// What was found, at least one thing.
    pub findings: Vec<Found>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A [`Finding`] as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// How bad it is.
    pub severity: Grade,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A [`Severity`] in the words of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing to do.
    Ok,
    /// Some runs may fail.
    Warning,
    /// No run can work.
    Error,
}

impl From<Finding> for Found {
    fn from(Finding { severity, message, hint }: Finding) -> Self {
        let severity = match severity {
            Severity::Ok => Grade::Ok,
            Severity::Warning => Grade::Warning,
            Severity::Error => Grade::Error,
        };
        Self { severity, message, hint }
    }
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Found {
    fn ok(message: impl Into<String>) -> Self {
        Self { severity: Grade::Ok, message: message.into(), hint: None }
    }

    fn warning(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity: Grade::Warning, message: message.into(), hint: Some(hint.into()) }
    }

    fn error(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity: Grade::Error, message: message.into(), hint: Some(hint.into()) }
    }
}

impl Check {
    /// Something that is known already.
    pub fn of(name: &str, finding: Found) -> Self {
        Self { name: name.to_owned(), findings: vec![finding], took_ms: 0 }
    }

    /// An error that needs no look.
    pub fn error(name: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::of(name, Found::error(message, hint))
    }
}

/// Looks at something, for no longer than `limit`.
async fn bounded(name: &str, limit: Duration, looking: impl Future<Output = Vec<Found>>) -> Check {
    let begun = Instant::now();
    let findings = match tokio::time::timeout(limit, looking).await {
        Ok(findings) => findings,
        Err(_) => vec![Found {
            severity: Grade::Error,
            message: format!("no answer within {} s", limit.as_secs()),
            hint: None,
        }],
    };
    let took_ms = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    Check { name: name.to_owned(), findings, took_ms }
}

/// Whether nothing that was found keeps all runs from working.
pub fn is_well(checks: &[Check]) -> bool {
    checks.iter().flat_map(|check| &check.findings).all(|found| found.severity != Grade::Error)
}

/// One line for each finding, with what to do about it indented below.
pub fn text(checks: &[Check]) -> String {
    const INDENT: &str = "         ";
    let mut text = String::new();
    for check in checks {
        for Found { severity, message, hint } in &check.findings {
            let mut lines = message.lines();
            let first = lines.next().unwrap_or_default();
            let _infallible = writeln!(text, "{:<8} {}: {first}", severity.word(), check.name);
            for line in lines.chain(hint.iter().flat_map(|hint| hint.lines())) {
                let _infallible = writeln!(text, "{INDENT}{line}");
            }
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(severity: Severity, message: &str, hint: Option<&str>) -> Found {
        Finding { severity, message: message.to_owned(), hint: hint.map(str::to_owned) }.into()
    }

    fn checks() -> Vec<Check> {
        let well = found(Severity::Ok, "there is a Python", None);
        let ill = found(Severity::Warning, "no logs", Some("allow it:\n- x: [\"y\"]\n  z: 1"));
        vec![Check::of("process", well), Check::of("kubernetes", ill)]
    }

    #[test]
    fn each_finding_is_a_line_and_what_to_do_stands_below_it() {
        insta::assert_snapshot!(text(&checks()), @r#"
        ok       process: there is a Python
        warning  kubernetes: no logs
                 allow it:
                 - x: ["y"]
                   z: 1
        "#);
    }

    #[test]
    fn only_an_error_is_ill() {
        let mut all = checks();
        assert!(is_well(&all) && is_well(&[]));
        all.push(Check::error("ecs", "this worker has no kind 'ecs'", "use another"));
        assert!(!is_well(&all));
    }

    #[test]
    fn as_json_a_check_is_its_name_and_what_was_found() {
        let json = serde_json::to_value(&checks()[..1]).unwrap();
        let expected = serde_json::json!([
            {"name": "process", "findings": [{"severity": "ok", "message": "there is a Python", "hint": null}], "took_ms": 0}
        ]);
        assert_eq!(json, expected);
    }
}
