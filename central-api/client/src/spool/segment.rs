//! One file of a spool: its name, and the lines in it.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::de::IgnoredAny;

/// A file of lines, each a JSON text. Its name says where it stands among the others and up to which byte it was confirmed:
/// a rename changes that in one step, where a second file could disagree with the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) order: u64,
    pub(super) confirmed: u64,
    /// Its size.
    pub(super) bytes: u64,
    /// How many lines were not confirmed.
    pub(super) lines: u64,
}

/// A line that was read, and the byte after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) json: String,
    pub(super) end: u64,
}

impl Segment {
    pub(super) const fn new(order: u64) -> Self {
        Self { order, confirmed: 0, bytes: 0, lines: 0 }
    }

    /// The segment that a file's name tells of; none if the file is something else.
    fn named(name: &str) -> Option<Self> {
        let (order, confirmed) = name.strip_suffix(".jsonl")?.split_once('-')?;
        Some(Self { confirmed: confirmed.parse().ok()?, ..Self::new(order.parse().ok()?) })
    }

    pub(super) fn path(&self, folder: &Utf8Path) -> Utf8PathBuf {
        folder.join(format!("{:020}-{}.jsonl", self.order, self.confirmed))
    }

    /// The lines that were not confirmed. A line that a killed process left unfinished is none, and neither is one that
    /// is not JSON: the API would refuse everything beside it.
    pub(super) fn read(&self, folder: &Utf8Path) -> std::io::Result<Vec<Line>> {
        let bytes = fs::read(self.path(folder))?;
        Ok(lines(&bytes, self.confirmed))
    }

    /// Every segment of a folder, oldest first, with what is in it. One without lines is removed; one that cannot be read
    /// stays where it is, for somebody to look at.
    pub(super) fn all(folder: &Utf8Path) -> std::io::Result<Vec<Self>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut segments = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some(mut segment) = entry.file_name().to_str().and_then(Self::named) else { continue };
            match segment.read(folder) {
                Ok(lines) if lines.is_empty() => {
                    if let Err(error) = fs::remove_file(entry.path()) {
                        tracing::debug!(%error, "a file without lines stays");
                    }
                }
                Ok(lines) => {
                    segment.lines = u64::try_from(lines.len()).unwrap_or(u64::MAX);
                    segment.bytes = entry.metadata()?.len();
                    segments.push(segment);
                }
                Err(error) => tracing::warn!(%error, "a file of undelivered lines cannot be read and is left out"),
            }
        }
        segments.sort_by_key(|segment| segment.order);
        Ok(segments)
    }
}

fn lines(bytes: &[u8], confirmed: u64) -> Vec<Line> {
    let mut end = confirmed;
    let rest = usize::try_from(confirmed).ok().and_then(|confirmed| bytes.get(confirmed..)).unwrap_or_default();
    let mut lines = Vec::new();
    for piece in rest.split_inclusive(|byte| *byte == b'\n') {
        end = end.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let whole = piece.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        if let Some(json) = whole.filter(|json| serde_json::from_str::<IgnoredAny>(json).is_ok()) {
            lines.push(Line { json: json.to_owned(), end });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str, end: u64) -> Line {
        Line { json: json.to_owned(), end }
    }

    #[test]
    fn a_torn_line_and_one_that_is_no_json_are_skipped() {
        assert_eq!(lines(b"{\"a\":1}\n\"two\"\n{\"thr", 0), [line("{\"a\":1}", 8), line("\"two\"", 14)]);
        assert_eq!(lines(b"1\n\0\0\0\n3\n", 0), [line("1", 2), line("3", 8)]);
        assert_eq!(lines(b"1\n2\n", 2), [line("2", 4)], "what was confirmed is not read again");
        assert_eq!(lines(b"1\n", 9), []);
    }

    #[test]
    fn a_name_tells_the_order_and_what_was_confirmed() {
        let segment = Segment { confirmed: 7, ..Segment::new(12) };
        let path = segment.path(Utf8Path::new("/spool"));
        assert_eq!(Segment::named(path.file_name().unwrap()), Some(segment));
        for other in ["lock", "x-1.jsonl", "1.jsonl", "1-2.json"] {
            assert_eq!(Segment::named(other), None);
        }
    }
}
