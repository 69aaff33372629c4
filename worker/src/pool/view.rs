//! The pool as this worker knows it.

use std::sync::Arc;

use central_api_wire::work_pool::WorkPool;
use tokio::sync::watch;
use worker_core::ids::WorkPoolId;

/// The pool as it is now, written by the sync loop and the worker channel, read by everybody else.
#[derive(Clone, Debug)]
pub struct PoolView(watch::Sender<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    pool: Option<Arc<WorkPool>>,
    /// Whether the API has said anything about it: until then a pool that is not known may well exist.
    is_told: bool,
    /// Counts what the channel delivered, so that a read which began before does not undo it.
    snapshots: u64,
}

/// The state of knowledge when a read began.
#[derive(Clone, Copy, Debug)]
pub struct ReadBegun(u64);

impl Default for PoolView {
    fn default() -> Self {
        Self(watch::Sender::new(Known::default()))
    }
}

impl PoolView {
    /// The pool, if it is known.
    pub fn pool(&self) -> Option<Arc<WorkPool>> {
        self.0.borrow().pool.clone()
    }

    /// Whether the API has said that there is no such pool.
    pub fn is_missing(&self) -> bool {
        let known = self.0.borrow();
        known.is_told && known.pool.is_none()
    }

    /// Waits until the pool is known. Cancel safe.
    pub async fn known(&self) -> Arc<WorkPool> {
        self.until(|_| true).await
    }

    /// Waits until the name belongs to another pool than this one: somebody deleted and recreated it. Cancel safe.
    pub async fn replaced(&self, id: WorkPoolId) {
        self.until(|pool| pool.id != id).await;
    }

    async fn until(&self, wanted: impl Fn(&WorkPool) -> bool) -> Arc<WorkPool> {
        let mut changes = self.0.subscribe();
        loop {
            let pool = changes.borrow_and_update().pool.clone();
            if let Some(pool) = pool.filter(|pool| wanted(pool)) {
                return pool;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The worker channel delivered the pool.
    pub fn delivered(&self, pool: WorkPool) {
        self.0.send_modify(|known| {
            known.pool = Some(Arc::new(pool));
            known.is_told = true;
            known.snapshots += 1;
        });
    }

    /// A read of the pool begins.
    pub fn read_begins(&self) -> ReadBegun {
        ReadBegun(self.0.borrow().snapshots)
    }

    /// A read of the pool ended. A snapshot that the channel delivered meanwhile is newer and stays.
    pub fn read_ended(&self, begun: ReadBegun, pool: Option<WorkPool>) {
        self.0.send_if_modified(|known| {
            if known.snapshots != begun.0 {
                return false;
            }
            known.pool = pool.map(Arc::new);
            known.is_told = true;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    fn pool(name: &str) -> WorkPool {
        serde_json::from_value(json!({"id": uuid::Uuid::nil(), "name": name, "type": "process"})).unwrap()
    }

    fn name(view: &PoolView) -> Option<String> {
        view.pool().map(|pool| pool.name.clone())
    }

    #[test]
    fn c029_a_snapshot_that_arrives_during_a_read_wins() {
        let view = PoolView::default();
        let begun = view.read_begins();
        view.delivered(pool("snapshot"));
        view.read_ended(begun, Some(pool("read")));
        assert_eq!(name(&view).as_deref(), Some("snapshot"));
        view.read_ended(view.read_begins(), Some(pool("read")));
        assert_eq!(name(&view).as_deref(), Some("read"));
    }

    #[test]
    fn a_pool_that_was_deleted_is_missing_and_one_that_was_not_read_yet_is_not() {
        let view = PoolView::default();
        assert!(!view.is_missing());
        view.delivered(pool("p"));
        assert!(!view.is_missing());
        view.read_ended(view.read_begins(), None);
        assert_eq!(name(&view), None);
        assert!(view.is_missing());
    }

    #[test]
    fn a_pool_is_replaced_by_one_with_another_id_and_not_by_its_absence() {
        let view = PoolView::default();
        view.delivered(pool("p"));
        let id = view.pool().unwrap().id;
        let replaced = || view.replaced(id).now_or_never();
        assert_eq!(replaced(), None);
        view.read_ended(view.read_begins(), None);
        assert_eq!(replaced(), None);
        view.delivered(WorkPool { id: WorkPoolId(uuid::Uuid::from_u128(1)), ..pool("p") });
        assert_eq!(replaced(), Some(()));
    }

    #[test]
    fn c030_a_run_keeps_the_template_it_was_submitted_with() {
        let view = PoolView::default();
        view.delivered(pool("before"));
        let submitted_with = view.pool().unwrap();
        view.delivered(pool("after"));
        assert_eq!(submitted_with.name, "before");
    }
}
