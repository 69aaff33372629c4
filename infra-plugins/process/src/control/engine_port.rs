//! The port that the run's engine connects to.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use uuid::Uuid;
use worker_core::exit::Conclusion;

use super::session::Session;
use crate::orders::Announced;

/// How long a connection may take to present its token.
const TOKEN_LIMIT: Duration = Duration::from_secs(5);

/// Longer than a token with its line end.
const LONGEST_LINE: usize = 128;

/// How many connections may be presenting their tokens; further ones wait to be accepted.
const UNKNOWN_CONNECTIONS: usize = 64;

/// Listens on the loopback interface for one engine. Nothing in it blocks.
#[derive(Debug)]
pub(crate) struct EnginePort {
    listener: TcpListener,
    port: u16,
    /// Admits one connection.
    token: Option<String>,
    unknown: Vec<Unknown>,
    engine: Option<TcpStream>,
    session: Session,
}

/// A connection that has yet to present its token.
#[derive(Debug)]
struct Unknown {
    stream: TcpStream,
    line: Vec<u8>,
    deadline: Instant,
}

enum Introduction {
    Awaited,
    /// The line, and what came after it.
    Said(String, Vec<u8>),
    Refused,
}

impl EnginePort {
    pub(crate) fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let token = Some(Uuid::new_v4().simple().to_string());
        Ok(Self { listener, port, token, unknown: Vec::new(), engine: None, session: Session::default() })
    }

    /// Where to connect, and with which token.
    pub(crate) fn invitation(&self) -> Option<(u16, &str)> {
        Some((self.port, self.token.as_deref()?))
    }

    /// Wants a cancellation announced.
    pub(crate) fn cancel(&mut self) {
        self.session.cancel();
    }

    /// What has come of a cancellation that was wanted at `asked`; `None` as long as that is open.
    pub(crate) fn announced(&self, asked: Instant, now: Instant) -> Option<Announced> {
        self.session.announced(asked, now)
    }

    pub(crate) const fn concluded(&self) -> Option<&Conclusion> {
        self.session.concluded()
    }

    /// Whether the engine is connected: what it sent last may be still to come.
    pub(crate) const fn is_open(&self) -> bool {
        self.engine.is_some()
    }

    /// What to wait for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let has_room = self.unknown.len() < UNKNOWN_CONNECTIONS;
        let listener = has_room.then(|| (self.listener.as_fd(), false));
        let unknown = self.unknown.iter().map(|unknown| (unknown.stream.as_fd(), false));
        let engine = self.engine.iter().map(|engine| (engine.as_fd(), self.session.has_outgoing()));
        listener.into_iter().chain(unknown).chain(engine)
    }

    /// When there is something to do although nothing came.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.unknown.iter().map(|unknown| unknown.deadline).chain(self.session.deadline()).min()
    }

    /// Does whatever can be done now.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.accept(now);
        self.admit(now);
        if let Err(_ended) = self.speak(now) {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        self.engine = None;
        self.session.closed();
    }

    fn accept(&mut self, now: Instant) {
        while self.unknown.len() < UNKNOWN_CONNECTIONS
            && let Ok((stream, _)) = self.listener.accept()
            && stream.set_nonblocking(true).is_ok()
        {
            self.unknown.push(Unknown { stream, line: Vec::new(), deadline: now + TOKEN_LIMIT });
        }
    }

    /// Takes the token out of use once it is presented: a second connection with it is a stranger's.
    fn admit(&mut self, now: Instant) {
        for mut unknown in std::mem::take(&mut self.unknown) {
            match unknown.introduction(now) {
                Introduction::Awaited => self.unknown.push(unknown),
                Introduction::Said(token, rest) if self.token.as_ref() == Some(&token) => {
                    self.token = None;
                    self.session.opened(now);
                    self.engine = Some(unknown.stream);
                    if self.session.received(&rest).is_err() {
                        self.hang_up();
                    }
                }
                Introduction::Said(..) | Introduction::Refused => {}
            }
        }
    }

    /// Takes what the engine sends, and answers it. An error is the end of the connection.
    fn speak(&mut self, now: Instant) -> io::Result<()> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let mut buffer = [0; 1024];
        let mut ended = Ok(());
        while ended.is_ok() {
            match engine.read(&mut buffer) {
                Ok(0) => ended = Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => ended = self.session.received(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => ended = Err(error),
            }
        }
        let outgoing = self.session.outgoing(now);
        if !outgoing.is_empty() {
            let sent = match engine.write(&outgoing) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                Err(error) => return Err(error),
            };
            self.session.unsent(outgoing.get(sent..).unwrap_or_default());
        }
        ended
    }
}

impl Unknown {
    fn introduction(&mut self, now: Instant) -> Introduction {
        let mut buffer = [0; LONGEST_LINE];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Introduction::Refused,
            Ok(count) => self.line.extend(buffer.iter().take(count)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Introduction::Refused,
        }
        if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let token = String::from_utf8_lossy(&self.line).trim().to_owned();
            return Introduction::Said(token, rest);
        }
        if self.line.len() >= LONGEST_LINE || now >= self.deadline {
            return Introduction::Refused;
        }
        Introduction::Awaited
    }
}
