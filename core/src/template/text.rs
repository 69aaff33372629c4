//! A string of a template, cut into plain text and placeholders.

use std::borrow::Cow;

use super::placeholder::{Placeholder, PlaceholderKind, placeholders_at};

enum Segment<'t> {
    Plain(&'t str),
    Placeholder(Placeholder<'t>),
}

pub(super) struct TemplateText<'t>(Vec<Segment<'t>>);

impl<'t> TemplateText<'t> {
    pub(super) fn parse(text: &'t str) -> Self {
        let mut segments = Vec::new();
        let mut end_of_last = 0;
        for (start, placeholder) in placeholders_at(text) {
            push_plain(&mut segments, text, end_of_last..start);
            end_of_last = start + placeholder.text.len();
            segments.push(Segment::Placeholder(placeholder));
        }
        push_plain(&mut segments, text, end_of_last..text.len());
        Self(segments)
    }

    /// The placeholder that is the whole string, if it is of this kind: it keeps the type of its value.
    pub(super) fn whole(&self, kind: PlaceholderKind) -> Option<&Placeholder<'t>> {
        match self.0.as_slice() {
            [Segment::Placeholder(placeholder)] if placeholder.kind == kind => Some(placeholder),
            _ => None,
        }
    }

    /// The string with each placeholder replaced by what `text_for` gives; `None` leaves it as it stands.
    pub(super) fn fill<'v, E>(
        &self,
        mut text_for: impl FnMut(&Placeholder<'t>) -> Result<Option<Cow<'v, str>>, E>,
    ) -> Result<String, E> {
        let mut filled = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Plain(text) => filled.push_str(text),
                Segment::Placeholder(placeholder) => match text_for(placeholder)? {
                    Some(text) => filled.push_str(&text),
                    None => filled.push_str(placeholder.text),
                },
            }
        }
        Ok(filled)
    }
}

fn push_plain<'t>(segments: &mut Vec<Segment<'t>>, text: &'t str, range: std::ops::Range<usize>) {
    if let Some(plain) = text.get(range).filter(|plain| !plain.is_empty()) {
        segments.push(Segment::Plain(plain));
    }
}
