//! A worker channel after its greeting.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;
use worker_core::ids::WorkPoolId;

use super::frames::{CleanupFrame, Refused, WorkerFrame, server_frame, worker_frame};
use crate::api::http::{Api, pool_json};
use crate::api::model::now;
use crate::api::sockets::conversation::{Conversation, Incoming};
use crate::api::sockets::registry::Close;
use crate::api::store::{Delivery, OperationRequest, OperationResult, Store};
use crate::api::version::Version;

/// What the server remembers of a connected worker.
pub(super) struct Session {
    pub(super) pool_id: WorkPoolId,
    pub(super) consumer_id: Uuid,
    pub(super) worker_name: String,
    pub(super) connection: Uuid,
    /// The clean-ups it does; empty without the capability.
    pub(super) cleanup_kinds: Vec<String>,
    /// How many at a time.
    pub(super) max_cleanups: usize,
    /// Number of the last snapshot.
    pub(super) sequence: u64,
    /// The pool's revision in the last snapshot.
    pub(super) revision: u64,
}

/// How a step ended.
enum Step {
    GoOn,
    Gone,
    Close(Close),
}

impl Session {
    /// Talks until either side ends it.
    pub(super) async fn run(mut self, api: &Api, mut conversation: Conversation) {
        let mut changes = api.store.changes();
        let close = loop {
            changes.mark_unchanged();
            match self.send_pending(api, &mut conversation).await {
                Step::GoOn => {}
                Step::Gone => return,
                Step::Close(close) => break close,
            }
            let expiry = api.store.read(|tables| tables.next_expiry(now()));
            let step = tokio::select! {
                incoming = conversation.next() => self.hear(api, &mut conversation, incoming).await,
                _ = changes.changed() => Step::GoOn,
                () = until(expiry) => Step::GoOn,
            };
            match step {
                Step::GoOn => {}
                Step::Gone => return,
                Step::Close(close) => break close,
            }
        };
        conversation.close(close).await;
    }

    /// Sends what the tables hold for this worker: a newer pool, clean-ups.
    async fn send_pending(&mut self, api: &Api, conversation: &mut Conversation) -> Step {
        let Some(revision) = api.store.read(|tables| tables.pool_by_id(self.pool_id).map(|pool| pool.revision)) else {
            return Step::Close(Refused::AuthorizationFailed.close());
        };
        if revision != self.revision {
            self.revision = revision;
            let Some(frame) = self.snapshot(&api.store, api.store.options().version) else { return Step::GoOn };
            if !conversation.send(&frame).await {
                return Step::Gone;
            }
        }
        while let Some(delivery) = self.next_cleanup(&api.store) {
            if !conversation.send(&delivery_frame(&delivery)).await {
                return Step::Gone;
            }
        }
        Step::GoOn
    }

    fn snapshot(&mut self, store: &Store, version: Version) -> Option<Value> {
        let pool = store.read(|tables| tables.pool_by_id(self.pool_id).map(|pool| pool_json(tables, pool, version)))?;
        self.sequence += 1;
        let payload = json!({"snapshot_sequence": self.sequence, "reason": "work_pool_updated", "work_pool": pool});
        Some(server_frame("work_pool.snapshot.v1", &payload))
    }

    fn next_cleanup(&self, store: &Store) -> Option<Delivery> {
        let now = now();
        let wanted = store.read(|tables| {
            tables.cleanups_of(self.connection, now) < self.max_cleanups
                && tables.has_cleanup(self.pool_id, &self.cleanup_kinds, now)
        });
        if !wanted {
            return None;
        }
        store.write(|tables| tables.reserve_cleanup(self.pool_id, &self.cleanup_kinds, self.connection, now))
    }

    async fn hear(&self, api: &Api, conversation: &mut Conversation, incoming: Incoming) -> Step {
        let frame = match incoming {
            Incoming::Frame(frame) => worker_frame(&frame),
            Incoming::Malformed => Err(Refused::ProtocolError),
            Incoming::Gone => return Step::Gone,
            Incoming::Dismissed(close) => return Step::Close(close),
        };
        match frame {
            Ok(WorkerFrame::Heartbeat(beat))
                if beat.consumer_id == self.consumer_id && beat.worker_name == self.worker_name =>
            {
                let interval = Some(beat.heartbeat_interval_seconds);
                api.store.write(|tables| {
                    tables.heartbeat(self.pool_id, &self.worker_name, interval, true, now());
                });
                Step::GoOn
            }
            Ok(WorkerFrame::Cleanup(frame)) => {
                let result = self.operate(&api.store, &frame);
                if conversation.send(&result_frame(&frame, &result)).await { Step::GoOn } else { Step::Gone }
            }
            Ok(WorkerFrame::Heartbeat(_)) | Err(_) => Step::Close(Refused::ProtocolError.close()),
        }
    }

    fn operate(&self, store: &Store, frame: &CleanupFrame) -> OperationResult {
        if self.cleanup_kinds.is_empty() {
            let reason = Some("cleanup_delivery_not_accepted");
            return OperationResult { status: "unauthorized", reason, expires: None };
        }
        let request = OperationRequest {
            operation: frame.operation,
            message_id: frame.message_id,
            token: &frame.token,
            reason: frame.reason.as_deref(),
        };
        store.write(|tables| tables.operate_cleanup(self.pool_id, &request, now()))
    }
}

fn delivery_frame(delivery: &Delivery) -> Value {
    let payload = json!({
        "message_id": delivery.message_id,
        "reservation_token": delivery.token,
        "lease_expires_at": delivery.expires,
        "delivery_count": delivery.delivery_count,
        "work_queue_id": delivery.request.work_queue_id,
        "data": delivery.request.data,
        "kind": delivery.request.kind,
        "target": delivery.request.target,
    });
    server_frame("cleanup.message.v1", &payload)
}

fn result_frame(frame: &CleanupFrame, result: &OperationResult) -> Value {
    let payload = json!({
        "request_frame_id": frame.id,
        "message_id": frame.message_id,
        "operation": frame.operation,
        "status": result.status,
        "lease_expires_at": result.expires,
        "reason": result.reason,
        "detail": null,
    });
    server_frame("cleanup.operation_result.v1", &payload)
}

/// Until a reservation of some worker ends: this one may get its clean-up then.
async fn until(expiry: Option<Timestamp>) {
    let Some(expiry) = expiry else { return std::future::pending().await };
    tokio::time::sleep(Duration::try_from(expiry.duration_since(now())).unwrap_or_default()).await;
}
