//! From spans to the bytes of a request.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;

use crate::messages as wire;
use crate::span::{Span, SpanEvent, SpanKind, Value};

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_CONSUMER`.
const INTERNAL: i32 = 1;
const CONSUMER: i32 = 5;
/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
/// Flags of a span besides those of its trace: it is known where its parent was made, and that was elsewhere.
const KNOWS_PARENTS_PLACE: u32 = 0x100;
const HAS_REMOTE_PARENT: u32 = 0x200;

/// Who made the spans.
pub(crate) struct Scope<'s> {
    pub(crate) name: &'s str,
    pub(crate) version: &'s str,
}

/// The request that hands over these spans.
pub(crate) fn request(resource: &[(String, Value)], scope: &Scope<'_>, spans: &[Span]) -> Vec<u8> {
    let resource = wire::Resource { attributes: resource.iter().map(|(key, value)| key_value(key, value)).collect() };
    let scope_spans = wire::ScopeSpans {
        scope: Some(wire::Scope { name: scope.name.to_owned(), version: scope.version.to_owned() }),
        spans: spans.iter().map(span).collect(),
    };
    let spans = wire::ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans] };
    wire::ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
}

/// A request that hands over nothing, which every collector takes.
pub(crate) fn empty_request() -> Vec<u8> {
    wire::ExportTraceServiceRequest { resource_spans: Vec::new() }.encode_to_vec()
}

/// How many spans of a request that was taken were not.
pub(crate) fn rejected(answer: &[u8]) -> u64 {
    let answer = wire::ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| partial.rejected_spans.try_into().unwrap_or(0))
}

fn span(span: &Span) -> wire::Span {
    let remote = if span.has_remote_parent { HAS_REMOTE_PARENT } else { 0 };
    wire::Span {
        trace_id: span.context.trace.0.to_vec(),
        span_id: span.context.span.0.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        name: span.name.to_owned(),
        kind: match span.kind {
            SpanKind::Internal => INTERNAL,
            SpanKind::Consumer => CONSUMER,
        },
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end),
        attributes: attributes(&span.attributes),
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.events_left_out,
        // That nothing went wrong is left unsaid: "ok" is a judgement for people to make.
        status: span.error.as_ref().map(|message| wire::Status { message: message.clone(), code: ERROR }),
        flags: u32::from(span.context.is_sampled) | KNOWS_PARENTS_PLACE | remote,
    }
}

fn event(event: &SpanEvent) -> wire::Event {
    wire::Event {
        time_unix_nano: nanos(event.at),
        name: event.name.to_owned(),
        attributes: attributes(&event.attributes),
    }
}

fn attributes(attributes: &[(&'static str, Value)]) -> Vec<wire::KeyValue> {
    attributes.iter().map(|(key, value)| key_value(key, value)).collect()
}

fn key_value(key: &str, value: &Value) -> wire::KeyValue {
    let value = match value {
        Value::Text(text) => wire::Any::String(text.clone()),
        Value::Int(number) => wire::Any::Int(*number),
        Value::Bool(value) => wire::Any::Bool(*value),
    };
    wire::KeyValue { key: key.to_owned(), value: Some(wire::AnyValue { value: Some(value) }) }
}

fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|since| since.as_nanos().try_into().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::trace::v1::{span::SpanKind as ProtoKind, status::StatusCode};
    use prost::Message as _;

    use super::*;
    use crate::context::SpanContext;

    #[test]
    fn what_is_written_is_what_opentelemetrys_own_definitions_read() {
        let parent: SpanContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        let start = UNIX_EPOCH + Duration::from_secs(5);
        let made = Span {
            context: parent.child(),
            parent: Some(parent.span),
            has_remote_parent: true,
            name: "run",
            kind: SpanKind::Consumer,
            start,
            end: start + Duration::from_nanos(7),
            attributes: vec![("a", "text".into()), ("b", 7.into()), ("c", true.into())],
            events: vec![SpanEvent { at: start, name: "note", attributes: vec![("message", "waits".into())] }],
            events_left_out: 3,
            error: Some("it broke".to_owned()),
        };
        let resource = [("service.name".to_owned(), Value::from("w"))];
        let bytes = request(&resource, &Scope { name: "s", version: "1" }, std::slice::from_ref(&made));
        let read = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        let of_resource = &read.resource_spans[0];
        let attributes = &of_resource.resource.as_ref().unwrap().attributes;
        assert_eq!(attributes[0].key, "service.name");
        let scope = of_resource.scope_spans[0].scope.as_ref().unwrap();
        assert_eq!((scope.name.as_str(), scope.version.as_str()), ("s", "1"));
        let span = &of_resource.scope_spans[0].spans[0];
        assert_eq!(span.trace_id, parent.trace.0);
        assert_eq!(span.span_id, made.context.span.0);
        assert_eq!(span.parent_span_id, parent.span.0);
        assert_eq!((span.name.as_str(), span.kind()), ("run", ProtoKind::Consumer));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5_000_000_000, 5_000_000_007));
        let values: Vec<_> = span.attributes.iter().map(|it| it.value.clone().unwrap().value.unwrap()).collect();
        let expected = [
            any_value::Value::StringValue("text".to_owned()),
            any_value::Value::IntValue(7),
            any_value::Value::BoolValue(true),
        ];
        assert_eq!(values, expected);
        assert_eq!((span.events[0].name.as_str(), span.events[0].time_unix_nano), ("note", 5_000_000_000));
        assert_eq!((span.dropped_events_count, span.flags), (3, 0x301));
        let status = span.status.as_ref().unwrap();
        assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "it broke"));
    }

    #[test]
    fn spans_that_a_collector_did_not_take_are_counted() {
        let partial = ExportTracePartialSuccess { rejected_spans: 4, error_message: "no".to_owned() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!((rejected(&answer), rejected(b""), rejected(b"<html>")), (4, 0, 0));
    }
}
