//! `$(NAME)` in the value of a variable, which Kubernetes replaces by that variable if it comes earlier in the list.
//! `$$` is a dollar sign.

/// A part of a value.
enum Piece<'v> {
    Text(&'v str),
    Reference(&'v str),
}

fn pieces(value: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        pieces.push(Piece::Text(before));
        rest = if let Some(after) = after.strip_prefix('$') {
            pieces.push(Piece::Text("$"));
            after
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            pieces.push(Piece::Reference(name));
            after
        } else {
            pieces.push(Piece::Text("$"));
            after
        };
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The names that a value refers to.
pub(crate) fn names(value: &str) -> Vec<&str> {
    let name = |piece| if let Piece::Reference(name) = piece { Some(name) } else { None };
    pieces(value).into_iter().filter_map(name).collect()
}

/// What Kubernetes makes of a value; `None` if it refers to what `known` does not know.
pub(crate) fn expanded<'k>(value: &str, known: impl Fn(&str) -> Option<&'k str>) -> Option<String> {
    let text = |piece| match piece {
        Piece::Text(text) => Some(text.to_owned()),
        Piece::Reference(name) => known(name).map(str::to_owned),
    };
    pieces(value).into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_kubernetes_reads_them() {
        let known = |name: &str| (name == "A").then_some("a");
        for (value, expected) in [
            ("plain", Some("plain")),
            ("", Some("")),
            ("x$(A)y$(A)", Some("xaya")),
            ("$$(A)", Some("$(A)")),
            ("pa$$word", Some("pa$word")),
            ("pa$word$", Some("pa$word$")),
            ("$(A", Some("$(A")),
            ("$(B)", None),
            ("$()", None),
        ] {
            assert_eq!(expanded(value, known).as_deref(), expected, "{value}");
        }
        assert_eq!(names("$(A)$$(C)-$(B)"), ["A", "B"]);
    }
}
