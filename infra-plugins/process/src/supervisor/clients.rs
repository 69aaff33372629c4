//! The connections of workers: each brings one order and waits for one answer.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::orders::Order;

/// How many connections are served; further ones wait to be accepted.
const CONNECTIONS: usize = 16;

/// How long a connection may take to bring its order.
const ORDER_LIMIT: Duration = Duration::from_secs(10);

/// Longer than any order.
const LONGEST_ORDER: usize = 256;

/// The control socket. Nothing in it blocks.
pub(super) struct Clients {
    listener: UnixListener,
    connections: Vec<Client>,
}

/// A connection.
pub(super) struct Client {
    stream: UnixStream,
    line: Vec<u8>,
    since: Instant,
    order: Option<(Order, Instant)>,
}

impl Clients {
    pub(super) const fn of(listener: UnixListener) -> Self {
        Self { listener, connections: Vec::new() }
    }

    /// Accepts connections and reads their orders. Whoever has gone, or sends something else, is forgotten.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.connections.len() < CONNECTIONS
            && let Ok((stream, _)) = self.listener.accept()
            && stream.set_nonblocking(true).is_ok()
        {
            self.connections.push(Client { stream, line: Vec::new(), since: now, order: None });
        }
        self.connections.retain_mut(|client| client.is_there(now));
    }

    pub(super) fn take(&mut self) -> Vec<Client> {
        std::mem::take(&mut self.connections)
    }

    pub(super) fn keep(&mut self, client: Client) {
        self.connections.push(client);
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let has_room = self.connections.len() < CONNECTIONS;
        let listener = has_room.then(|| self.listener.as_fd());
        listener.into_iter().chain(self.connections.iter().map(|client| client.stream.as_fd()))
    }

    /// When an order that still has no answer was asked for first.
    pub(super) fn asked(&self, order: Order) -> Option<Instant> {
        let orders = self.connections.iter().filter_map(Client::order);
        orders.filter(|(pending, _)| *pending == order).map(|(_, asked)| asked).min()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let silent = self.connections.iter().filter(|client| client.order.is_none());
        silent.map(|client| client.since + ORDER_LIMIT).min()
    }
}

impl Client {
    /// The order, and when it came.
    pub(super) const fn order(&self) -> Option<(Order, Instant)> {
        self.order
    }

    /// Sends the answer. A worker that has gone meanwhile asks again.
    pub(super) fn answer(&mut self, answer: &Value) {
        drop(self.stream.write_all(format!("{answer}\n").as_bytes()));
    }

    /// Whoever has gone no longer waits for the order to be carried out, and may have done it without us: it is dropped
    /// also where it came before the end.
    fn is_there(&mut self, now: Instant) -> bool {
        let mut buffer = [0; LONGEST_ORDER];
        while self.line.len() < LONGEST_ORDER {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.line.extend(buffer.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if self.line.len() >= LONGEST_ORDER {
            return false;
        }
        if self.order.is_some() {
            return true;
        }
        if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let order = serde_json::from_slice(self.line.get(..end).unwrap_or_default());
            self.order = order.ok().map(|order| (order, now));
            return self.order.is_some();
        }
        now < self.since + ORDER_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The orders that are to be carried out after workers have done this.
    fn orders(ask: impl FnOnce(&mut dyn FnMut() -> UnixStream)) -> Vec<Order> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut clients = Clients::of(listener);
        ask(&mut || UnixStream::connect(&path).unwrap());
        clients.advance(Instant::now());
        clients.take().iter().filter_map(|client| Some(client.order()?.0)).collect()
    }

    #[test]
    fn the_order_of_a_worker_that_has_gone_is_dropped() {
        let mut waiting = None;
        let carried_out = orders(|connect| {
            connect().write_all(b"\"terminate\"\n").unwrap();
            let mut stream = connect();
            stream.write_all(b"\"kill\"\n").unwrap();
            waiting = Some(stream);
        });
        assert_eq!(carried_out, [Order::Kill]);
    }

    #[test]
    fn a_worker_that_sends_more_than_an_order_is_forgotten() {
        let mut flooding = None;
        let carried_out = orders(|connect| {
            let mut stream = connect();
            stream.write_all(&b"\"kill\"\n".repeat(LONGEST_ORDER)).unwrap();
            flooding = Some(stream);
        });
        assert_eq!(carried_out, []);
    }
}
