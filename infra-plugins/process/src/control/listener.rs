//! Accepting the connections of engines.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::session::Session;

/// How long a connection may take to present its token.
const TOKEN_LIMIT: Duration = Duration::from_secs(5);

/// Longer than a token with its line end.
const LONGEST_LINE: u64 = 128;

/// How many connections may be presenting their tokens; further ones wait to be accepted.
const UNKNOWN_CONNECTIONS: usize = 64;

/// Between two attempts to accept after a failure, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Tokens = Arc<Mutex<HashMap<String, Arc<Session>>>>;

/// Listens on the loopback interface for the engines of all runs. Dropping it ends all sessions.
#[derive(Debug)]
pub(crate) struct ControlListener {
    port: u16,
    tokens: Tokens,
    _accepting: AbortOnDropHandle<()>,
}

/// What one engine is given to connect with. The token admits one connection, and none once this is dropped; `Debug`
/// leaves it out.
pub(crate) struct Invitation {
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) session: Arc<Session>,
    tokens: Tokens,
}

impl Drop for Invitation {
    fn drop(&mut self) {
        lock(&self.tokens).remove(&self.token);
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("port", &self.port).finish_non_exhaustive()
    }
}

impl ControlListener {
    pub(crate) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let tokens = Tokens::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&tokens)));
        Ok(Self { port, tokens, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// Expects one more engine.
    pub(crate) fn invite(&self) -> Invitation {
        let token = Uuid::new_v4().simple().to_string();
        let session = Arc::<Session>::default();
        lock(&self.tokens).insert(token.clone(), Arc::clone(&session));
        Invitation { port: self.port, token, session, tokens: Arc::clone(&self.tokens) }
    }
}

fn lock(tokens: &Tokens) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts connections for ever; owns their tasks.
async fn accept(listener: TcpListener, tokens: Tokens) {
    let places = Arc::new(Semaphore::new(UNKNOWN_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let tokens = Arc::clone(&tokens);
                    connections.spawn(async move {
                        let mut stream = BufReader::new(stream);
                        let session = authenticate(&mut stream, &tokens).await;
                        drop(place);
                        if let Some(session) = session {
                            let (from, to) = tokio::io::split(stream);
                            session.speak(from, to).await;
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a control connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Reads the token and takes it out of use: a second connection with it is a stranger's.
async fn authenticate(stream: &mut BufReader<TcpStream>, tokens: &Tokens) -> Option<Arc<Session>> {
    let mut line = String::new();
    let mut limited = stream.take(LONGEST_LINE);
    match timeout(TOKEN_LIMIT, limited.read_line(&mut line)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return None,
    }
    let session = lock(tokens).remove(line.trim());
    if session.is_none() {
        tracing::debug!("refused a control connection with an unknown token");
    }
    session
}
