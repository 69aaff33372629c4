//! OpenTelemetry traces: spans, the W3C trace context, and their delivery to a collector by OTLP over HTTP.
//!
//! Whoever makes a span gives it to a [`SpanSender`], which never waits: spans go through a bounded queue, and what does not fit
//! is counted and gone. One task sends them off in batches. A collector that is away is said once.

mod context;
mod delivery;
mod encoding;
mod exporter;
mod messages;
mod span;

pub use context::{SpanContext, SpanId, TraceId, UnusableContext};
pub use delivery::{SpanSender, Tally, start};
pub use exporter::{ExportError, Exporter, Target, UnusableHeader};
pub use span::{Span, SpanEvent, SpanKind, Value};
