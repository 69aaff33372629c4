//! An error and its causes, joined once.

use std::error::Error;
use std::fmt;

/// Shows an error followed by its sources, each once, separated by colons.
pub struct ErrorChain<'e>(pub &'e (dyn Error + 'e));

impl ErrorChain<'_> {
    /// The text of an error with its causes.
    pub(crate) fn text(error: &(impl Error + 'static)) -> String {
        ErrorChain(error).to_string()
    }
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some libraries repeat the text of their cause.
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Self>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            let cause: &Self = self.1.as_deref()?;
            Some(cause)
        }
    }

    #[test]
    fn causes_are_joined_and_repetitions_left_out() {
        let root = Layer("connection refused", None);
        let repeated = Layer("connection refused", Some(Box::new(root)));
        let error = Layer("the API could not be reached", Some(Box::new(repeated)));
        assert_eq!(ErrorChain(&error).to_string(), "the API could not be reached: connection refused");
    }
}
