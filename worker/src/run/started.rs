//! Whether what was launched runs already: a pod may wait long for its node or its image.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    NotYet,
    Started,
    Over,
}

/// Shared by who watches the infrastructure and who tells the API that it runs.
#[derive(Clone, Debug)]
pub(super) struct Started(watch::Sender<Known>);

impl Started {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Known::NotYet))
    }

    /// It runs, or has run.
    pub(super) fn note(&self) {
        self.settle(Known::Started);
    }

    /// It is over or somebody else's, and whether it ever ran is not asked any more.
    pub(super) fn end(&self) {
        self.settle(Known::Over);
    }

    /// Waits until it runs. False if it is over before that.
    pub(super) async fn wait(&self) -> bool {
        let mut known = self.0.subscribe();
        known.wait_for(|known| *known != Known::NotYet).await.is_ok_and(|known| *known == Known::Started)
    }

    /// What was known first stays.
    fn settle(&self, to: Known) {
        self.0.send_if_modified(|known| {
            let is_news = *known == Known::NotYet;
            if is_news {
                *known = to;
            }
            is_news
        });
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
