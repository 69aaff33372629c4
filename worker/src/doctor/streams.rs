//! The websockets: without them everything works, more slowly.

use std::time::Duration;

use central_api_client::{Client, Disposition, StreamError};
use central_api_wire::event::EventFilter;
use futures::future::join;

use super::{Check, Found, bounded};
use crate::run::ErrorChain;

const LIMIT: Duration = Duration::from_secs(15);
/// The first servers with a worker channel.
const FIRST_WITH_CHANNEL: [u32; 3] = [3, 7, 2];

/// Opens the streams of events and closes them again.
pub(super) async fn look_at_events(client: &Client, cancellation_poll: Duration) -> Check {
    bounded("events", LIMIT, async {
        let (sent, heard) = join(sent(client), cancellations(client, cancellation_poll)).await;
        vec![sent, heard]
    })
    .await
}

/// Opens the worker channel of a pool and closes it again. Without a greeting it registers no worker.
pub(super) async fn look_at_channel(client: &Client, pool: &str, version: Option<&str>) -> Check {
    bounded(&format!("channel of pool {pool}"), LIMIT, async { vec![channel(client, pool, version).await] }).await
}

fn let_it_through(path: &str) -> String {
    format!("let the proxies between here and the API pass websockets (`Upgrade: websocket`) for {path}")
}

async fn sent(client: &Client) -> Found {
    match client.connect_events_in().await {
        Ok(stream) => {
            stream.close().await;
            Found::ok("they can be sent by websocket")
        }
        Err(error) => Found::warning(
            format!("they cannot be sent by websocket and go by HTTP: {}", ErrorChain(&error)),
            let_it_through("/events/in"),
        ),
    }
}

async fn cancellations(client: &Client, poll: Duration) -> Found {
    match client.connect_events_out(&EventFilter::default()).await {
        Ok(stream) => {
            stream.close().await;
            Found::ok("cancellations are heard of at once")
        }
        Err(error) => Found::warning(
            format!(
                "cancellations are asked for every {} s instead of heard of: {}",
                poll.as_secs(),
                ErrorChain(&error)
            ),
            let_it_through("/events/out"),
        ),
    }
}

async fn channel(client: &Client, pool: &str, version: Option<&str>) -> Found {
    let error = match client.connect_worker_channel(pool).await {
        Ok(channel) => {
            channel.close().await;
            return Found::ok("it is open to workers");
        }
        Err(error) => error,
    };
    let refused = matches!(error.reason, StreamError::Refused { .. }) && error.disposition == Disposition::Terminal;
    if refused && !version.is_some_and(has_channel) {
        return Found::ok("this server has none; heartbeats go by HTTP");
    }
    Found::warning(
        format!("it cannot be opened and heartbeats go by HTTP: {}", ErrorChain(&error.reason)),
        let_it_through("/work_pools/POOL/workers/connect"),
    )
}

fn has_channel(version: &str) -> bool {
    let numbers: Option<Vec<u32>> = version.split('.').take(3).map(|part| part.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.as_slice() >= FIRST_WITH_CHANNEL.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_from_3_7_2_on_have_a_worker_channel() {
        assert!(has_channel("3.7.2") && has_channel("3.8.4.dev6") && has_channel("4.0.0"));
        assert!(!has_channel("3.7.1") && !has_channel("3.0.11") && !has_channel("next"));
    }
}
