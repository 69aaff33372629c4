//! Whether what was launched runs already: a pod may wait long for its node or its image.

use std::sync::Arc;

use tokio::sync::SetOnce;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Started,
    Over,
}

/// Shared by who watches the infrastructure and who tells the API that it runs. What was known first stays.
#[derive(Clone, Debug)]
pub(super) struct Started(Arc<SetOnce<Known>>);

impl Started {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// It runs, or has run.
    pub(super) fn note(&self) {
        drop(self.0.set(Known::Started));
    }

    /// It is over or somebody else's, and whether it ever ran is not asked any more.
    pub(super) fn end(&self) {
        drop(self.0.set(Known::Over));
    }

    /// Waits until it runs. False if it is over before that.
    pub(super) async fn wait(&self) -> bool {
        *self.0.wait().await == Known::Started
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_start_is_waited_for_and_an_end_without_one_is_none() {
        let (well, ill) = (Started::new(), Started::new());
        assert_eq!(well.wait().now_or_never(), None);
        well.note();
        well.end();
        ill.end();
        ill.note();
        assert_eq!((well.wait().now_or_never(), ill.wait().now_or_never()), (Some(true), Some(false)));
    }
}
