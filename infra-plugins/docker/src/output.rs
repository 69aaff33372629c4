//! What a container writes, piece by piece.

use bollard::container::LogOutput;
use infra_contract::{InfraEvent, LogStream};
use jiff::Timestamp;

use crate::marks::Marks;

/// Turns the engine's pieces into events, once each: a stream that is begun again repeats what was written in the same second.
#[derive(Debug)]
pub(crate) struct OutputReader {
    stream_output: bool,
    ship_output: bool,
    read_until: Option<Timestamp>,
    /// What was already read when the stream began.
    known_until: Option<Timestamp>,
    /// The beginning of a line whose end has not come, for the run's log.
    unfinished: String,
}

impl OutputReader {
    pub(crate) fn new(marks: &Marks, read_until: Option<Timestamp>) -> Self {
        Self {
            stream_output: marks.stream_output,
            ship_output: marks.ship_output,
            read_until,
            known_until: read_until,
            unfinished: String::new(),
        }
    }

    /// Whether anybody wants the output.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.stream_output || self.ship_output
    }

    /// Goes on where it was, with a stream that is begun anew.
    pub(crate) fn resume(&mut self) {
        self.known_until = self.read_until;
    }

    /// From when on the engine is asked for output, in seconds of the epoch.
    pub(crate) fn since(&self) -> i32 {
        self.known_until.and_then(|time| i32::try_from(time.as_second()).ok()).unwrap_or(0)
    }

    pub(crate) const fn read_until(&self) -> Option<Timestamp> {
        self.read_until
    }

    /// The events of a piece.
    pub(crate) fn events(&mut self, piece: &LogOutput) -> Vec<InfraEvent> {
        let (stream, bytes) = match piece {
            LogOutput::StdErr { message } => (LogStream::Stderr, message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                (LogStream::Stdout, message)
            }
        };
        let text = String::from_utf8_lossy(bytes);
        let (written, text) = timed(&text);
        if let Some(written) = written {
            if self.known_until.is_some_and(|known| written <= known) {
                return Vec::new();
            }
            self.read_until = self.read_until.max(Some(written));
        }
        let mut events = Vec::new();
        if self.ship_output {
            events.extend(self.log_line(text, written.unwrap_or_else(Timestamp::now)));
        }
        if self.stream_output {
            events.push(InfraEvent::Output { stream, text: text.to_owned() });
        }
        events
    }

    /// Long lines come in pieces.
    fn log_line(&mut self, text: &str, written: Timestamp) -> Option<InfraEvent> {
        /// A line that never ends is cut here; the API does not take longer ones.
        const LONGEST: usize = 256 * 1024;
        self.unfinished.push_str(text);
        if !self.unfinished.ends_with('\n') && self.unfinished.len() < LONGEST {
            return None;
        }
        let line = std::mem::take(&mut self.unfinished);
        let line = line.trim_end_matches(['\n', '\r']);
        (!line.is_empty()).then(|| InfraEvent::LogLine { text: line.to_owned(), written })
    }

    /// What is left when the output is over.
    pub(crate) fn last(&mut self) -> Option<InfraEvent> {
        let text = std::mem::take(&mut self.unfinished);
        let written = self.read_until.unwrap_or_else(Timestamp::now);
        (!text.is_empty()).then_some(InfraEvent::LogLine { text, written })
    }
}

/// The engine puts the time before each piece.
fn timed(piece: &str) -> (Option<Timestamp>, &str) {
    match piece.split_once(' ') {
        Some((time, text)) => match time.parse() {
            Ok(time) => (Some(time), text),
            Err(_) => (None, piece),
        },
        // An empty piece has nothing behind its time.
        None => match piece.trim_end().parse() {
            Ok(time) => (Some(time), ""),
            Err(_) => (None, piece),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use uuid::Uuid;
    use worker_core::ids::{LaunchKey, RunId, TransitionId};
    use worker_core::spec::ReportState;

    use super::*;
    use crate::settings::Cleanup;

    fn reader(stream_output: bool, ship_output: bool, read_until: Option<&str>) -> OutputReader {
        let key = LaunchKey { run: RunId(Uuid::nil()), claim: TransitionId(Uuid::nil()) };
        let cleanup = Cleanup::After(Duration::from_secs(1));
        let report_state = ReportState::Engine;
        let marks =
            Marks { key, report_state, cancels_itself: true, stream_output, ship_output, cleanup, has_secrets: false };
        OutputReader::new(&marks, read_until.map(|time| time.parse().unwrap()))
    }

    fn stderr(text: &'static str) -> LogOutput {
        LogOutput::StdErr { message: Bytes::from_static(text.as_bytes()) }
    }

    #[test]
    fn c097_pieces_lose_their_time_and_keep_their_stream() {
        let events = reader(true, false, None).events(&stderr("2026-11-26T01:02:03.5Z hello world\n"));
        assert_eq!(events, [InfraEvent::Output { stream: LogStream::Stderr, text: "hello world\n".to_owned() }]);
        let events = reader(true, false, None).events(&stderr("no time here\n"));
        assert_eq!(events, [InfraEvent::Output { stream: LogStream::Stderr, text: "no time here\n".to_owned() }]);
    }

    #[test]
    fn what_was_read_before_is_not_read_again() {
        let mut reader = reader(true, false, Some("2026-11-26T01:02:03.5Z"));
        assert_eq!(reader.since(), 1_795_654_923);
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03.4Z old\n")), []);
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03.5Z old\n")), []);
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03.6Z new\n")).len(), 1);
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03.6Z new, too\n")).len(), 1);
        assert_eq!(reader.read_until(), Some("2026-11-26T01:02:03.6Z".parse().unwrap()));
    }

    #[test]
    fn lines_for_the_runs_log_are_whole() {
        let mut reader = reader(false, true, None);
        let written: Timestamp = "2026-11-26T01:02:03Z".parse().unwrap();
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03Z a long ")), []);
        let line = InfraEvent::LogLine { text: "a long line".to_owned(), written };
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03Z line\r\n")), [line]);
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03Z \n")), []);
        assert_eq!(reader.last(), None);
        assert_eq!(reader.events(&stderr("2026-11-26T01:02:03Z no end")), []);
        assert_eq!(reader.last(), Some(InfraEvent::LogLine { text: "no end".to_owned(), written }));
    }
}
