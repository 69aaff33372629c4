//! Whether a worker channel that ended is to be opened again.

use super::stream_error::StreamError;
use crate::error::TransportError;

/// Whether a worker channel that ended is to be opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Never in this process: the server does not have it, or does not want us. Heartbeats go by HTTP from now on.
    Terminal,
    /// After a while; heartbeats go by HTTP meanwhile. For a server that was never reached at all
    /// ([`StreamError::Unreachable`] with [`TransportError::Connect`]) a caller may decide otherwise.
    Retry,
}

/// The server's reasons are authoritative, its close codes count without one. HTTP refusals below 500 are what servers
/// without the channel give (3.0.11 answers 403).
pub(super) fn disposition(error: &StreamError) -> Disposition {
    match error {
        StreamError::Closed { code, reason } => of_close(*code, reason),
        StreamError::Refused { status } => match status {
            408 | 429 => Disposition::Retry,
            400..=499 => Disposition::Terminal,
            _ => Disposition::Retry,
        },
        StreamError::NoSubprotocol | StreamError::Malformed { .. } | StreamError::Unencodable(_) => {
            Disposition::Terminal
        }
        StreamError::Unreachable(
            TransportError::Connect(_) | TransportError::Timeout(_) | TransportError::Interrupted(_),
        )
        | StreamError::Upgrade(_)
        | StreamError::Cut(_)
        | StreamError::Silent => Disposition::Retry,
    }
}

fn of_close(code: u16, reason: &str) -> Disposition {
    match (reason, code) {
        ("authentication_failed" | "authorization_failed" | "unsupported_version" | "protocol_error", _) => {
            Disposition::Terminal
        }
        ("heartbeat_persistence_failed" | "transient_server_error", _) => Disposition::Retry,
        (_, 1002 | 1008) => Disposition::Terminal,
        _ => Disposition::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16, reason: &str) -> Disposition {
        disposition(&StreamError::Closed { code, reason: reason.to_owned() })
    }

    #[test]
    fn the_reason_of_a_close_outweighs_its_code() {
        for reason in ["authentication_failed", "authorization_failed", "unsupported_version", "protocol_error"] {
            assert_eq!(closed(1011, reason), Disposition::Terminal, "{reason}");
        }
        for reason in ["heartbeat_persistence_failed", "transient_server_error"] {
            assert_eq!(closed(1008, reason), Disposition::Retry, "{reason}");
        }
    }

    #[test]
    fn without_a_known_reason_only_1002_and_1008_are_terminal() {
        for (code, expected) in [
            (1000, Disposition::Retry),
            (1001, Disposition::Retry),
            (1002, Disposition::Terminal),
            (1008, Disposition::Terminal),
            (1011, Disposition::Retry),
            (1012, Disposition::Retry),
        ] {
            assert_eq!(closed(code, "whatever"), expected, "{code}");
        }
    }

    #[test]
    fn an_upgrade_refused_with_4xx_is_terminal_and_with_5xx_is_not() {
        for (status, expected) in [
            (401, Disposition::Terminal),
            (403, Disposition::Terminal),
            (404, Disposition::Terminal),
            (405, Disposition::Terminal),
            (429, Disposition::Retry),
            (500, Disposition::Retry),
            (503, Disposition::Retry),
        ] {
            assert_eq!(disposition(&StreamError::Refused { status }), expected, "{status}");
        }
    }

    #[test]
    fn a_broken_connection_is_tried_again_and_a_broken_protocol_is_not() {
        assert_eq!(disposition(&StreamError::Cut("reset".into())), Disposition::Retry);
        assert_eq!(disposition(&StreamError::Silent), Disposition::Retry);
        assert_eq!(
            disposition(&StreamError::Unreachable(TransportError::Connect("refused".into()))),
            Disposition::Retry
        );
        assert_eq!(disposition(&StreamError::Malformed { what: "garbage" }), Disposition::Terminal);
        assert_eq!(disposition(&StreamError::NoSubprotocol), Disposition::Terminal);
    }
}
