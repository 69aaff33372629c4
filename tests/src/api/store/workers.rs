//! Workers and their heartbeats.

use jiff::Timestamp;
use uuid::Uuid;
use worker_core::ids::WorkPoolId;

use super::Tables;
use crate::api::model::WorkerRow;

impl Tables {
    /// Books a heartbeat. The first one of a pool makes it ready.
    pub(crate) fn heartbeat(
        &mut self,
        pool: WorkPoolId,
        name: &str,
        interval: Option<u64>,
        on_channel: bool,
        now: Timestamp,
    ) {
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.is_ready = true;
        }
        let known = self.workers.iter_mut().find(|worker| worker.work_pool_id == pool && worker.name == name);
        let (rest, channel) = (u64::from(!on_channel), u64::from(on_channel));
        if let Some(worker) = known {
            worker.last_heartbeat = now;
            worker.heartbeat_interval_seconds = interval;
            worker.rest_heartbeats += rest;
            worker.channel_heartbeats += channel;
        } else {
            self.workers.push(WorkerRow {
                id: Uuid::new_v4(),
                created: now,
                work_pool_id: pool,
                name: name.to_owned(),
                heartbeat_interval_seconds: interval,
                last_heartbeat: now,
                rest_heartbeats: rest,
                channel_heartbeats: channel,
            });
        }
    }
}
