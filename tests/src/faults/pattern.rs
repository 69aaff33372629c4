//! Path patterns. Pure.

/// A pattern for whole paths: `*` stands for any text within a segment, `**` for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    InSegment,
    Anything,
}

impl PathPattern {
    /// Reads a pattern such as `/api/flow_runs/*/set_state`. Every text is one.
    pub fn new(pattern: &str) -> Self {
        let mut pieces = Vec::new();
        for (index, across) in pattern.split("**").enumerate() {
            if index > 0 {
                pieces.push(Piece::Anything);
            }
            for (index, text) in across.split('*').enumerate() {
                if index > 0 {
                    pieces.push(Piece::InSegment);
                }
                if !text.is_empty() {
                    pieces.push(Piece::Text(text.to_owned()));
                }
            }
        }
        Self(pieces)
    }

    /// Whether a path, without its query, fits as a whole.
    pub fn matches(&self, path: &str) -> bool {
        fits(&self.0, path)
    }
}

fn fits(pieces: &[Piece], path: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return path.is_empty() };
    match first {
        Piece::Text(text) => path.strip_prefix(text.as_str()).is_some_and(|path| fits(rest, path)),
        Piece::Anything => tails(path).any(|tail| fits(rest, tail)),
        Piece::InSegment => {
            let end = path.find('/').map_or(0, |slash| path.len() - slash);
            tails(path).take_while(|tail| tail.len() >= end).any(|tail| fits(rest, tail))
        }
    }
}

/// What is left of a path after each of its beginnings.
fn tails(path: &str) -> impl Iterator<Item = &str> {
    let starts = path.char_indices().map(|(index, _)| index).chain([path.len()]);
    starts.filter_map(|start| path.get(start..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_segment_and_two_cross_them() {
        for (pattern, path, expected) in [
            ("/api/flow_runs/*/set_state", "/api/flow_runs/1/set_state", true),
            ("/api/flow_runs/*/set_state", "/api/flow_runs/1/2/set_state", false),
            ("/api/flow_runs/*", "/api/flow_runs/", true),
            ("/api/flow_runs/*", "/api/flow_runs/1/resume", false),
            ("/api/**", "/api/flow_runs/1/resume", true),
            ("**", "/anything/at/all", true),
            ("**/set_state", "/api/flow_runs/1/set_state", true),
            ("/api/*_pools/*", "/api/work_pools/pp", true),
            ("/api/health", "/api/healthy", false),
        ] {
            assert_eq!(PathPattern::new(pattern).matches(path), expected, "{pattern} {path}");
        }
    }
}
