//! What the journal keeps of a trace, so that the next process goes on with it.

use jiff::Timestamp;
use otlp::{SpanContext, SpanId, UnusableContext};
use serde::{Deserialize, Serialize};

/// The span of a run, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenTrace {
    /// The `traceparent` of what is done for the run.
    traceparent: String,
    /// The span that it is a part of.
    #[serde(default)]
    parent: Option<String>,
    /// When it began.
    since: Timestamp,
}

impl WrittenTrace {
    pub(super) fn of(context: SpanContext, parent: Option<SpanId>, since: Timestamp) -> Self {
        Self { traceparent: context.to_string(), parent: parent.map(|parent| parent.to_string()), since }
    }

    pub(super) fn read(&self) -> Result<(SpanContext, Option<SpanId>, Timestamp), UnusableContext> {
        let parent = self.parent.as_deref().map(str::parse).transpose()?;
        Ok((self.traceparent.parse()?, parent, self.since))
    }
}
