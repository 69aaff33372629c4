//! Reads of single runs beside a stream.

use std::collections::HashSet;
use std::future::pending;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use worker_core::ids::RunId;

/// When more runs than these are cancelled together, one question for all of them is cheaper.
const MOST: usize = 8;

/// The looks under way: a bounded number, and one of a run at most. A look is a future that yields the run it was about.
pub(super) struct Looks<F> {
    under_way: FuturesUnordered<F>,
    about: HashSet<RunId>,
}

impl<F> Default for Looks<F> {
    fn default() -> Self {
        Self { under_way: FuturesUnordered::new(), about: HashSet::new() }
    }
}

impl<F: Future<Output = RunId>> Looks<F> {
    /// Begins a look. False if there are too many, or one at this run already: that one may have read the run before what
    /// was heard now, so whoever gets false has to ask in another way.
    pub(super) fn begin(&mut self, run: RunId, look: impl FnOnce() -> F) -> bool {
        let begins = self.about.len() < MOST && self.about.insert(run);
        if begins {
            self.under_way.push(look());
        }
        begins
    }

    /// Carries the looks on until one ends; never ready while there are none. Cancel safe.
    pub(super) async fn one_ended(&mut self) {
        match self.under_way.next().await {
            Some(run) => {
                self.about.remove(&run);
            }
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use futures::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn run(number: u128) -> RunId {
        RunId(Uuid::from_u128(number))
    }

    fn begin(looks: &mut Looks<Ready<RunId>>, number: u128) -> bool {
        looks.begin(run(number), || ready(run(number)))
    }

    #[tokio::test]
    async fn a_run_is_looked_at_once_at_a_time() {
        let mut looks = Looks::default();
        assert!(begin(&mut looks, 1));
        assert!(!begin(&mut looks, 1));
        looks.one_ended().await;
        assert!(begin(&mut looks, 1));
    }

    #[test]
    fn the_number_of_looks_is_bounded() {
        let mut looks = Looks::default();
        let begun = (0..100).filter(|number| begin(&mut looks, *number)).count();
        assert_eq!(begun, MOST);
    }

    #[test]
    fn nothing_ends_where_nothing_began() {
        assert_eq!(Looks::<Ready<RunId>>::default().one_ended().now_or_never(), None);
    }
}
