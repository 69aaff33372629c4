//! A real Prefect server with an empty database of its own.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::binary::python_program;
use super::output::Output;
use super::postgres::Postgres;
use super::processes;
use super::rest::Rest;
use super::wait::{PATIENT, until};

/// A Python program that was started with SIGINT ignored, as a background job of a shell is, never ends: so the server
/// starts with its signals reset, which only Python itself can do here.
const RESET_SIGNALS: &str = "import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])";

/// The variable that marks a server and all that comes of it.
const MARK: &str = "PREFECT_SERVER_UNDER_TEST_HOME";

/// The setting that names the database.
const DATABASE: &str = "PREFECT_API_DATABASE_CONNECTION_URL";

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct PrefectServer {
    /// Its REST API.
    pub rest: Rest,
    log: Output,
    child: Child,
    home: TempDir,
    /// Its PostgreSQL. After the server, whose last writes are not refused.
    _postgres: Option<Postgres>,
}

impl PrefectServer {
    /// Starts a server in a directory of its own, with SQLite as most operators have it, and waits until it answers.
    pub async fn start() -> Self {
        Self::on(None).await
    }

    /// The same with PostgreSQL: for tests in which many write at once or give their requests up. SQLite then keeps a server
    /// from writing for minutes.
    pub async fn on_postgres() -> Self {
        Self::on(Some(Postgres::start().await)).await
    }

    /// Whether there is a PostgreSQL to be had.
    pub fn can_be_on_postgres() -> bool {
        Postgres::is_installed()
    }

    async fn on(postgres: Option<Postgres>) -> Self {
        let home = tempfile::Builder::new().prefix("prefect-server-").tempdir().expect("a temporary directory");
        let database = postgres.as_ref().map(Postgres::url).map(|url| (DATABASE, url));
        let port = free_port();
        let mut child = Command::new(python_program("python"))
            .args(["-c", RESET_SIGNALS])
            .arg(python_program("prefect"))
            .args(["server", "start", "--host", "127.0.0.1", "--port", &port.to_string()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env(MARK, home.path())
            .env("PREFECT_HOME", home.path().join("prefect"))
            .envs(database)
            .env("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
            .env("PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL", "0.5")
            .env("PREFECT_SERVER_LOGGING_LEVEL", "WARNING")
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the locked Python environment can be started");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let log = Output::follow("the server's standard error", stderr, home.path().join("stderr.log"));
        let rest = Rest::new(&format!("http://127.0.0.1:{port}/api"));
        let mut server = Self { rest, log, child, home, _postgres: postgres };
        server.ready().await;
        server
    }

    /// Its directory.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    async fn ready(&mut self) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build();
        let client = client.expect("a client without peculiarities");
        let health = format!("{}/health", self.rest.api_url());
        until(PATIENT, "the server to answer", async || {
            let ended = self.child.try_wait().expect("the server is this test's own process");
            assert!(ended.is_none(), "the server ended at start: {ended:?}\n{}", self.log.tail());
            let answer = client.get(&health).send().await.ok()?;
            (answer.text().await.ok()? == "true").then_some(())
        })
        .await;
        let version: Value = self.rest.call(Method::GET, "/admin/version", None).await.1;
        assert!(version.is_string(), "the server tells its version: {version}");
    }
}

impl Drop for PrefectServer {
    fn drop(&mut self) {
        processes::kill_with_environment(&format!("{MARK}={}", self.home.path().display()));
    }
}

/// A port that was free a moment ago, for a program that cannot be told to choose one and say which.
pub(super) fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).expect("the system gives ports");
    probe.local_addr().expect("a bound socket has an address").port()
}
