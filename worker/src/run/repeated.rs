//! A failure that repeats itself.

/// Says a failure once, and again when it changes: what is tried every two seconds would fill the log while a backend is away.
#[derive(Debug, Default)]
pub(super) struct Repeated(Option<String>);

impl Repeated {
    /// It failed, so.
    pub(super) fn warn(&mut self, text: String) {
        if self.0.as_ref() == Some(&text) {
            tracing::debug!("still: {text}");
        } else {
            tracing::warn!("{text}");
            self.0 = Some(text);
        }
    }
}
