//! The wire types of the Prefect 3 API that a worker uses: requests, responses and websocket frames.
//!
//! Shared by the client, which sends the requests, and by the in-memory API, which answers them. Data only: nothing is
//! spawned, nothing is sent. Unknown fields are ignored and missing ones have defaults, because servers of every 3.x
//! version answer with more and with fewer of them.

pub mod block;
pub mod channel;
pub mod deployment;
pub mod event;
pub mod flow_run;
pub mod log;
pub mod server;
pub mod state;
pub mod work_pool;

/// The API version that every request names. It has been the same for all of 3.x.
pub const API_VERSION: &str = "0.8.4";

/// The client version that we report. Servers read it out of `User-Agent` and turn features on by it: from 3.4.11 on a
/// client is trusted to renew concurrency leases, and 3.0.0 to 3.0.3 are taken for workers that count deployment
/// concurrency themselves.
pub const CLIENT_VERSION: &str = "3.8.0";

/// The `User-Agent` of every request. Servers parse it, so its shape is fixed.
pub const USER_AGENT: &str = "prefect/3.8.0 (API 0.8.4)";

/// Longest page that the server returns for one poll.
pub const MAX_RUNS_PER_POLL: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_agent_names_both_versions() {
        assert_eq!(USER_AGENT, format!("prefect/{CLIENT_VERSION} (API {API_VERSION})"));
    }
}
