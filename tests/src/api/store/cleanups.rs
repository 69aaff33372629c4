//! The queue of clean-ups: handed to one worker at a time, again if the worker is silent, and given up in the end.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;
use worker_core::ids::WorkPoolId;

use super::Tables;
use crate::api::model::{Cleanup, CleanupOperation, CleanupProgress, CleanupRequest, Reservation};

/// A clean-up on its way to a worker.
pub(crate) struct Delivery {
    pub(crate) message_id: Uuid,
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
    pub(crate) delivery_count: u32,
    pub(crate) request: CleanupRequest,
}

/// What a worker says about a clean-up.
pub(crate) struct OperationRequest<'a> {
    pub(crate) operation: &'a str,
    pub(crate) message_id: Uuid,
    pub(crate) token: &'a str,
    pub(crate) reason: Option<&'a str>,
}

/// What it is answered.
pub(crate) struct OperationResult {
    pub(crate) status: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) expires: Option<Timestamp>,
}

impl OperationResult {
    const fn refused(status: &'static str, reason: &'static str) -> Self {
        Self { status, reason: Some(reason), expires: None }
    }
}

const WORN_OUT: &str = "max_delivery_attempts_reached";

impl Tables {
    pub(crate) fn enqueue_cleanup(&mut self, pool: WorkPoolId, request: CleanupRequest) -> Uuid {
        let message_id = Uuid::new_v4();
        self.cleanups.push(Cleanup {
            message_id,
            work_pool_id: pool,
            request,
            delivery_count: 0,
            progress: CleanupProgress::Queued,
            operations: Vec::new(),
        });
        message_id
    }

    /// Reserves the oldest clean-up of a pool that a connection can handle.
    pub(crate) fn reserve_cleanup(
        &mut self,
        pool: WorkPoolId,
        kinds: &[String],
        connection: Uuid,
        now: Timestamp,
    ) -> Option<Delivery> {
        self.expire_reservations(now);
        let expires = self.lease_end(now);
        let cleanup = self.cleanups.iter_mut().find(|cleanup| {
            cleanup.work_pool_id == pool
                && cleanup.progress == CleanupProgress::Queued
                && kinds.contains(&cleanup.request.kind)
        })?;
        let token = Uuid::new_v4().simple().to_string();
        cleanup.delivery_count += 1;
        cleanup.progress = CleanupProgress::Reserved(Reservation { token: token.clone(), expires, connection });
        Some(Delivery {
            message_id: cleanup.message_id,
            token,
            expires,
            delivery_count: cleanup.delivery_count,
            request: cleanup.request.clone(),
        })
    }

    /// How many clean-ups a connection has.
    pub(crate) fn cleanups_of(&self, connection: Uuid, now: Timestamp) -> usize {
        self.reservations().filter(|held| held.connection == connection && held.expires > now).count()
    }

    /// When the next reservation ends that holds now.
    pub(crate) fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.reservations().map(|held| held.expires).filter(|expires| *expires > now).min()
    }

    /// Whether a pool has a clean-up of these kinds that nobody holds.
    pub(crate) fn has_cleanup(&self, pool: WorkPoolId, kinds: &[String], now: Timestamp) -> bool {
        self.cleanups.iter().any(|cleanup| {
            cleanup.work_pool_id == pool
                && kinds.contains(&cleanup.request.kind)
                && match &cleanup.progress {
                    CleanupProgress::Queued => true,
                    CleanupProgress::Reserved(held) => held.expires <= now,
                    CleanupProgress::Acknowledged | CleanupProgress::DeadLettered => false,
                }
        })
    }

    /// Books what a worker says about a clean-up.
    pub(crate) fn operate_cleanup(
        &mut self,
        pool: WorkPoolId,
        request: &OperationRequest<'_>,
        now: Timestamp,
    ) -> OperationResult {
        let (lease_end, attempts) = (self.lease_end(now), self.cleanup_attempts);
        let found = self.cleanups.iter_mut().find(|cleanup| cleanup.message_id == request.message_id);
        let Some(cleanup) = found else { return OperationResult::refused("not_found", "message_not_found") };
        let result = if cleanup.work_pool_id == pool {
            judge(cleanup, request, now, lease_end, attempts)
        } else {
            OperationResult::refused("unauthorized", "work_pool_mismatch")
        };
        cleanup.operations.push(CleanupOperation {
            operation: request.operation.to_owned(),
            reason: request.reason.map(str::to_owned),
            status: result.status,
            at: now,
        });
        result
    }

    fn expire_reservations(&mut self, now: Timestamp) {
        let attempts = self.cleanup_attempts;
        for cleanup in &mut self.cleanups {
            if matches!(&cleanup.progress, CleanupProgress::Reserved(held) if held.expires <= now) {
                cleanup.progress = back_in_queue(cleanup.delivery_count, attempts);
            }
        }
    }

    fn lease_end(&self, now: Timestamp) -> Timestamp {
        let lease = SignedDuration::try_from(self.cleanup_lease).unwrap_or(SignedDuration::MAX);
        now.saturating_add(lease).unwrap_or(Timestamp::MAX)
    }

    fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.cleanups.iter().filter_map(|cleanup| match &cleanup.progress {
            CleanupProgress::Reserved(held) => Some(held),
            CleanupProgress::Queued | CleanupProgress::Acknowledged | CleanupProgress::DeadLettered => None,
        })
    }
}

fn back_in_queue(delivery_count: u32, attempts: u32) -> CleanupProgress {
    if delivery_count >= attempts { CleanupProgress::DeadLettered } else { CleanupProgress::Queued }
}

fn judge(
    cleanup: &mut Cleanup,
    request: &OperationRequest<'_>,
    now: Timestamp,
    lease_end: Timestamp,
    attempts: u32,
) -> OperationResult {
    let held = match &cleanup.progress {
        CleanupProgress::Reserved(held) => held,
        CleanupProgress::Queued => return OperationResult::refused("not_current", "no_active_reservation"),
        CleanupProgress::Acknowledged | CleanupProgress::DeadLettered => {
            return OperationResult::refused("not_found", "message_not_found");
        }
    };
    if held.token != request.token {
        return OperationResult::refused("invalid_token", "reservation_token_mismatch");
    }
    let released = back_in_queue(cleanup.delivery_count, attempts);
    let worn_out = released == CleanupProgress::DeadLettered;
    if held.expires <= now {
        cleanup.progress = released;
        return if worn_out {
            OperationResult::refused("dead_lettered", WORN_OUT)
        } else {
            OperationResult::refused("expired", "lease_expired")
        };
    }
    let accepted = OperationResult { status: "accepted", reason: None, expires: None };
    match request.operation {
        "ack" => {
            cleanup.progress = CleanupProgress::Acknowledged;
            accepted
        }
        "renew" => {
            cleanup.progress = CleanupProgress::Reserved(Reservation { expires: lease_end, ..held.clone() });
            OperationResult { expires: Some(lease_end), ..accepted }
        }
        _release => {
            cleanup.progress = released;
            if worn_out { OperationResult::refused("dead_lettered", WORN_OUT) } else { accepted }
        }
    }
}
