//! The error of every plugin.

use std::error::Error as StdError;
use std::fmt;

/// What an error means to the caller: it decides about retries and about the state that is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// It may work the next time; whether it took effect may be unknown.
    Transient,
    /// The run's own configuration cannot be carried out.
    BadSpec,
    /// The backend refuses this to us.
    Denied,
    /// This kind or this worker cannot do it.
    Unsupported,
    /// A defect of the plugin.
    Bug,
}

/// An error of a plugin. Inside a plugin errors are enums of their own; this is their shape at the edge.
///
/// `Display` is the context alone: the chain of sources is joined once, by whoever shows it.
#[derive(Debug)]
pub struct InfraError {
    /// What it means to the caller.
    pub class: ErrorClass,
    /// What could not be done, as a lower-case fragment.
    pub context: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The cause.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
    /// Name of the event of this worker that tells of it, where Prefect's worker of the kind emits one.
    pub event: Option<&'static str>,
}

impl InfraError {
    /// An error without a cause.
    pub fn new(class: ErrorClass, context: impl Into<String>) -> Self {
        Self { class, context: context.into(), hint: None, source: None, event: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Adds the name of the event that tells of it.
    #[must_use]
    pub fn told_by(mut self, event: &'static str) -> Self {
        self.event = Some(event);
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for InfraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context.fmt(f)
    }
}

impl StdError for InfraError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
