//! The W3C trace context: which trace something belongs to, and below which span.

use std::fmt;
use std::str::FromStr;

/// A trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub(crate) [u8; 16]);

/// A span.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub(crate) [u8; 8]);

impl TraceId {
    /// A new one. All zeros would mean none.
    pub fn random() -> Self {
        Self(rand::random::<u128>().max(1).to_be_bytes())
    }
}

impl SpanId {
    /// A new one. All zeros would mean none.
    pub fn random() -> Self {
        Self(rand::random::<u64>().max(1).to_be_bytes())
    }
}

/// A span as others name it: what a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Its trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether the trace is recorded. Whoever began it has decided that.
    pub is_sampled: bool,
}

impl SpanContext {
    /// The first span of a new trace.
    pub fn new_trace() -> Self {
        Self { trace: TraceId::random(), span: SpanId::random(), is_sampled: true }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: SpanId::random(), ..self }
    }
}

/// A text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of the W3C trace context")]
pub struct UnusableContext;

impl FromStr for SpanContext {
    type Err = UnusableContext;

    /// `00-<trace>-<span>-<flags>`. Later versions may add fields, and are read as far as they are known.
    fn from_str(text: &str) -> Result<Self, UnusableContext> {
        let mut parts = text.split('-');
        let mut field = || parts.next().ok_or(UnusableContext);
        let [version] = bytes(field()?)?;
        let (trace, span, [flags]) = (bytes(field()?)?, bytes(field()?)?, bytes(field()?)?);
        let has_more = parts.next().is_some();
        if version == 0xff || version == 0 && has_more || trace == [0; 16] || span == [0; 8] {
            return Err(UnusableContext);
        }
        Ok(Self { trace: TraceId(trace), span: SpanId(span), is_sampled: flags & 1 == 1 })
    }
}

impl FromStr for SpanId {
    type Err = UnusableContext;

    fn from_str(text: &str) -> Result<Self, UnusableContext> {
        bytes(text).map(Self)
    }
}

/// Small hexadecimal digits, as the recommendation has them.
fn bytes<const N: usize>(hex: &str) -> Result<[u8; N], UnusableContext> {
    let is_hex = hex.len() == 2 * N && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex {
        return Err(UnusableContext);
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..hex.len()).step_by(2)) {
        let digits = hex.get(at..at + 2).ok_or(UnusableContext)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| UnusableContext)?;
    }
    Ok(bytes)
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_is() {
        let context: SpanContext = TEXT.parse().unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_string(), TEXT);
        let unsampled: SpanContext = TEXT.replace("-01", "-00").parse().unwrap();
        assert!(!unsampled.is_sampled);
        assert_eq!(context.child().trace, context.trace);
        assert_ne!(context.child().span, context.span);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for bad in [
            "",
            "x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(bad.parse::<SpanContext>(), Err(UnusableContext), "{bad}");
        }
        let later = format!("cc{}-more", TEXT.trim_start_matches("00"));
        assert!(later.parse::<SpanContext>().is_ok(), "a later version may have more");
    }
}
