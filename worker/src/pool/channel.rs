//! The worker channel: heartbeats, pool changes and clean-ups over one websocket, on servers that have it.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::{Channel, ChannelError, Client, Disposition};
use central_api_wire::channel::{
    CAPABILITY_CLEANUP, CAPABILITY_HEARTBEAT, CAPABILITY_SNAPSHOT, CHANNEL_VERSION, ChannelHeartbeat, Frame, Hello,
    Ready, Snapshot,
};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::teardown::{self, Teardowns};
use super::{ChannelHealth, PoolSettings, PoolView, TeardownDesk, pace};
use crate::liveness::Pulse;
use crate::metrics::{ApiStream, Metrics};
use crate::run::{ErrorChain, WorkerIdentity};

/// Connecting, authentication and the greeting together.
const SETUP: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// The socket takes a server for dead that takes in nothing for half a minute; this leaves it some room.
const LONGEST_WRITE: Duration = Duration::from_secs(40);

/// The channel of one pool worker.
pub struct ChannelLoop {
    /// The API, attributed to this worker.
    pub client: Client,
    /// The settings.
    pub settings: Arc<PoolSettings>,
    /// Who this worker is.
    pub identity: Arc<WorkerIdentity>,
    /// Where snapshots go.
    pub view: PoolView,
    /// Whether it works.
    pub health: ChannelHealth,
    /// Fixed for the life of the process, so that the server knows the worker again after a reconnect.
    pub consumer: Uuid,
    /// Who does clean-ups, for kinds that have any.
    pub teardown: Option<TeardownDesk>,
    /// Where broken channels are counted.
    pub metrics: Metrics,
    /// That the loop turns.
    pub pulse: Pulse,
}

/// What the loop of a connection wakes up for.
enum Happened {
    Stop,
    Received(Result<Frame, ChannelError>),
    HeartbeatIsDue,
    CleanupSays(Frame),
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the worker channel was closed")]
    Closed(#[source] ChannelError),
    #[error("the worker channel was not ready in time")]
    SetupTimeout,
    #[error("the server broke the worker channel's protocol: {0}")]
    Protocol(&'static str),
}

impl Broken {
    /// Whether this server will never have a channel for us.
    fn is_final(&self) -> bool {
        match self {
            Self::SetupTimeout => false,
            Self::Protocol(_) => true,
            Self::Closed(error) => error.disposition == Disposition::Terminal,
        }
    }
}

impl ChannelLoop {
    /// Keeps the channel open until told to stop, or until the server will not have it.
    pub async fn run(self, stop: CancellationToken) {
        let mut back_off = Duration::from_secs(1);
        loop {
            let broken = self.connection(&stop, &mut back_off).await;
            self.health.down();
            let Some(broken) = broken else { return };
            if broken.is_final() {
                tracing::debug!("heartbeats go over REST: {}", ErrorChain(&broken));
                return;
            }
            self.metrics.stream_restarted(&self.settings.pool, ApiStream::Channel);
            tracing::debug!("the worker channel is opened again: {}", ErrorChain(&broken));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.pulse.idle(tokio::time::sleep(pace::jittered(back_off))) => {}
            }
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
    }

    /// One connection from its beginning to its end; `None` if it ended because we stop.
    async fn connection(&self, stop: &CancellationToken, back_off: &mut Duration) -> Option<Broken> {
        let set_up = tokio::select! {
            () = stop.cancelled() => return None,
            set_up = self.pulse.during(SETUP, timeout(SETUP, self.set_up())) => set_up,
        };
        let (mut channel, ready) = match set_up {
            Ok(Ok(opened)) => opened,
            Ok(Err(broken)) => return Some(broken),
            Err(_) => return Some(Broken::SetupTimeout),
        };
        *back_off = Duration::from_secs(1);
        if let Some(id) = ready.worker_id
            && self.identity.id.set(id).is_ok()
        {
            self.client.set_worker_id(id);
        }
        let heartbeat_seconds = ready.effective_heartbeat_interval_seconds.max(1);
        let mut snapshots = Snapshots { view: &self.view, last: None };
        snapshots.take(ready.initial_snapshot);
        self.health.up();
        tracing::debug!("the worker channel is open");

        let beat = Duration::from_secs(heartbeat_seconds);
        let mut beats = interval_at(tokio::time::Instant::now() + beat, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut teardowns = self.teardown.as_ref().map(Teardowns::new);
        loop {
            let next = async {
                tokio::select! {
                    () = stop.cancelled() => Happened::Stop,
                    frame = channel.next() => Happened::Received(frame),
                    _ = beats.tick() => Happened::HeartbeatIsDue,
                    frame = next_frame(&mut teardowns) => Happened::CleanupSays(frame),
                }
            };
            let done = match self.pulse.idle(next).await {
                Happened::Stop => {
                    channel.close().await;
                    return None;
                }
                Happened::Received(Ok(frame)) => self.received(&frame, &mut snapshots, &mut teardowns),
                Happened::Received(Err(error)) => Err(Broken::Closed(error)),
                Happened::HeartbeatIsDue => {
                    let beat = frame("worker.heartbeat.v1", &self.heartbeat(heartbeat_seconds));
                    self.pulse.during(LONGEST_WRITE, send(&mut channel, beat)).await
                }
                Happened::CleanupSays(said) => self.pulse.during(LONGEST_WRITE, send(&mut channel, Ok(said))).await,
            };
            if let Err(broken) = done {
                return Some(broken);
            }
        }
    }

    fn heartbeat(&self, interval_seconds: u64) -> ChannelHeartbeat {
        ChannelHeartbeat {
            consumer_id: self.consumer,
            worker_name: self.settings.worker_name.clone(),
            heartbeat_interval_seconds: interval_seconds,
        }
    }

    async fn set_up(&self) -> Result<(Channel, Ready), Broken> {
        let mut channel = self.client.connect_worker_channel(&self.settings.pool).await.map_err(Broken::Closed)?;
        send(&mut channel, frame("worker.hello.v1", &self.hello())).await?;
        loop {
            let frame = channel.next().await.map_err(Broken::Closed)?;
            if frame.kind == "worker.ready.v1" {
                let ready: Ready = payload(&frame).ok_or(Broken::Protocol("a greeting that cannot be read"))?;
                if ready.consumer_id != self.consumer {
                    return Err(Broken::Protocol("a greeting for another worker"));
                }
                if ready.effective_max_cleanup_concurrency > 0 && self.teardown.is_none() {
                    return Err(Broken::Protocol("clean-up work that was not asked for"));
                }
                return Ok((channel, ready));
            }
        }
    }

    fn hello(&self) -> Hello {
        let cleans_up = self.teardown.is_some();
        let cleanup = cleans_up.then_some(CAPABILITY_CLEANUP);
        let capabilities = [CAPABILITY_HEARTBEAT, CAPABILITY_SNAPSHOT].into_iter().chain(cleanup);
        let kinds = teardown::KINDS.iter().filter(|_| cleans_up);
        Hello {
            consumer_id: self.consumer,
            worker_name: self.settings.worker_name.clone(),
            worker_type: self.settings.kind.to_string(),
            heartbeat_interval_seconds: self.settings.heartbeat_seconds(),
            supported_channel_versions: vec![CHANNEL_VERSION.to_owned()],
            requested_capabilities: capabilities.map(str::to_owned).collect(),
            work_queue_names: self.settings.work_queues.clone(),
            handled_cleanup_kinds: kinds.map(|kind| (*kind).to_owned()).collect(),
            max_cleanup_concurrency: if cleans_up { teardown::CAPACITY } else { 0 },
            create_pool_if_not_found: self.settings.create_pool_if_not_found,
            default_base_job_template: Some(self.settings.base_job_template.clone()),
            worker_metadata: None,
        }
    }

    fn received(
        &self,
        frame: &Frame,
        snapshots: &mut Snapshots<'_>,
        teardowns: &mut Option<Teardowns<'_>>,
    ) -> Result<(), Broken> {
        match (frame.kind.as_str(), teardowns) {
            ("work_pool.snapshot.v1", _) => {
                snapshots.take(payload(frame).ok_or(Broken::Protocol("a snapshot that cannot be read"))?);
            }
            ("cleanup.message.v1", Some(teardowns)) => {
                teardowns.delivered(payload(frame).ok_or(Broken::Protocol("a clean-up that cannot be read"))?);
            }
            ("cleanup.operation_result.v1", Some(teardowns)) => {
                teardowns.answered(payload(frame).ok_or(Broken::Protocol("an answer that cannot be read"))?);
            }
            (kind, _) => {
                tracing::debug!(kind, pool = self.settings.pool, "a frame of a newer server was ignored");
            }
        }
        Ok(())
    }
}

/// The snapshots of one connection: only a higher number is newer.
struct Snapshots<'v> {
    view: &'v PoolView,
    last: Option<u64>,
}

impl Snapshots<'_> {
    fn take(&mut self, snapshot: Snapshot) {
        if self.last.is_none_or(|last| snapshot.snapshot_sequence > last) {
            self.last = Some(snapshot.snapshot_sequence);
            self.view.delivered(snapshot.work_pool);
        }
    }
}

fn payload<T: DeserializeOwned>(frame: &Frame) -> Option<T> {
    serde_json::from_value(frame.payload.clone()).ok()
}

/// Never, without clean-ups.
async fn next_frame(teardowns: &mut Option<Teardowns<'_>>) -> Frame {
    match teardowns {
        Some(teardowns) => teardowns.next_frame().await,
        None => std::future::pending().await,
    }
}

fn frame(kind: &str, payload: &impl Serialize) -> Result<Frame, Broken> {
    let payload = serde_json::to_value(payload).map_err(|_| Broken::Protocol("a frame that cannot be written"))?;
    Ok(Frame { kind: kind.to_owned(), id: Uuid::now_v7(), sent_at: Timestamp::now(), payload })
}

async fn send(channel: &mut Channel, frame: Result<Frame, Broken>) -> Result<(), Broken> {
    channel.send(&frame?).await.map_err(Broken::Closed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c026_snapshots_apply_only_with_increasing_sequence_and_start_again_per_connection() {
        let view = PoolView::default();
        let snapshot = |sequence: u64, name: &str| -> Snapshot {
            serde_json::from_value(json!({
                "snapshot_sequence": sequence,
                "work_pool": {"id": Uuid::nil(), "name": name, "type": "process"},
            }))
            .unwrap()
        };
        let name = || view.pool().map(|pool| pool.name.clone()).unwrap();
        let mut first = Snapshots { view: &view, last: None };
        first.take(snapshot(1, "one"));
        first.take(snapshot(3, "three"));
        first.take(snapshot(2, "two"));
        first.take(snapshot(3, "three again"));
        assert_eq!(name(), "three");
        Snapshots { view: &view, last: None }.take(snapshot(1, "reconnected"));
        assert_eq!(name(), "reconnected");
    }
}
