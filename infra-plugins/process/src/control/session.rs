//! What has been said with one engine.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use worker_core::exit::Conclusion;

use super::frame::{self, Frame};

/// How long an engine may take to acknowledge an intent.
const ACKNOWLEDGEMENT_LIMIT: Duration = Duration::from_secs(1);

/// How long an engine that has just connected may take to say hello. An intent sent meanwhile would be taken for the
/// answer to it. Engines of the first version say none.
const HELLO_LIMIT: Duration = Duration::from_millis(250);

/// The control session of one run, from before the engine connects until after it has gone.
#[derive(Debug, Default)]
pub(crate) struct Session(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    connection: Connection,
    /// The engine's hello, or another frame, has come.
    greeted: bool,
    cancel: Cancel,
    /// The first conclusion; later ones do not replace it.
    concluded: Option<Conclusion>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Connection {
    #[default]
    Awaited,
    Open,
    Closed,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Cancel {
    #[default]
    NotWanted,
    Wanted,
    Sent,
}

/// What became of the announcement of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelAnswer {
    /// The engine treats the signal that follows as a cancellation.
    Acknowledged,
    /// The engine has settled the run's state before, and is about to end.
    AlreadyConcluded,
    /// The engine is not listening, or did not answer in time.
    Unheard,
}

impl Session {
    /// Announces a cancellation, and waits for the answer if the engine is connected.
    ///
    /// # Cancel safety
    /// Cancel safe; the announcement may have been made.
    pub(crate) async fn cancel(&self) -> CancelAnswer {
        let mut state = self.0.subscribe();
        if self.0.borrow().concluded.is_none() {
            if self.0.borrow().connection != Connection::Open {
                return CancelAnswer::Unheard;
            }
            self.0.send_if_modified(|state| {
                let first = state.cancel == Cancel::NotWanted;
                if first {
                    state.cancel = Cancel::Wanted;
                }
                first
            });
            let answered = |state: &State| state.concluded.is_some() || state.connection == Connection::Closed;
            // Unanswered in time or closed without an answer: either way what is concluded by now tells.
            drop(timeout(ACKNOWLEDGEMENT_LIMIT, state.wait_for(answered)).await);
        }
        match &self.0.borrow().concluded {
            Some(Conclusion::CancelAcknowledged) => CancelAnswer::Acknowledged,
            Some(_) => CancelAnswer::AlreadyConcluded,
            None => CancelAnswer::Unheard,
        }
    }

    /// The first conclusion that the engine came to.
    pub(crate) fn concluded(&self) -> Option<Conclusion> {
        self.0.borrow().concluded.clone()
    }

    /// Waits until nothing more can come from the engine: at once if it never connected.
    pub(crate) async fn finished(&self) {
        let mut state = self.0.subscribe();
        // The sender is ours and cannot be gone.
        drop(state.wait_for(|state| state.connection != Connection::Open).await);
    }

    /// Speaks with the engine until the connection ends. The token has been checked.
    pub(super) async fn speak(&self, mut from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) {
        let to = Mutex::new(to);
        self.0.send_modify(|state| state.connection = Connection::Open);
        let ended = tokio::select! {
            ended = self.listen(&mut from, &to) => ended,
            failed = self.announce(&to) => failed,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "the control session with an engine broke off");
        }
        self.0.send_modify(|state| state.connection = Connection::Closed);
    }

    /// Takes what the engine sends, and answers it.
    async fn listen(&self, from: &mut (impl AsyncRead + Unpin), to: &Mutex<impl AsyncWrite + Unpin>) -> io::Result<()> {
        while let Some(frame) = frame::read(from).await? {
            match frame {
                Frame::Hello(answer) => to.lock().await.write_all(&answer).await?,
                Frame::Receipt(conclusion) => {
                    self.conclude(conclusion);
                    to.lock().await.write_all(&[frame::RECEIPT_ACKNOWLEDGED]).await?;
                }
                // Unasked for it acknowledges nothing.
                Frame::IntentAcknowledged if self.0.borrow().cancel == Cancel::Sent => {
                    self.conclude(Conclusion::CancelAcknowledged);
                }
                Frame::IntentAcknowledged => {}
            }
            self.0.send_modify(|state| state.greeted = true);
        }
        Ok(())
    }

    /// Sends the intent once it is wanted. Returns only on failure: a session that has said it goes on listening.
    async fn announce(&self, to: &Mutex<impl AsyncWrite + Unpin>) -> io::Result<()> {
        let mut state = self.0.subscribe();
        tokio::select! {
            _ = state.wait_for(|state| state.greeted) => {}
            () = sleep(HELLO_LIMIT) => {}
        }
        drop(state.wait_for(|state| state.cancel == Cancel::Wanted && state.concluded.is_none()).await);
        {
            // Marked before it is written: the acknowledgement may come before the write returns.
            let mut to = to.lock().await;
            self.0.send_modify(|state| state.cancel = Cancel::Sent);
            to.write_all(&[frame::CANCEL]).await?;
        }
        std::future::pending().await
    }

    fn conclude(&self, conclusion: Conclusion) {
        self.0.send_if_modified(|state| {
            let first = state.concluded.is_none();
            if first {
                state.concluded = Some(conclusion);
            }
            first
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, DuplexStream};

    use super::*;

    /// A session with an engine, which is the other end.
    async fn connected() -> (Arc<Session>, DuplexStream) {
        let session = Arc::<Session>::default();
        let (engine, ours) = tokio::io::duplex(64);
        let speaking = Arc::clone(&session);
        tokio::spawn(async move {
            let (from, to) = tokio::io::split(ours);
            speaking.speak(from, to).await;
        });
        let mut state = session.0.subscribe();
        drop(state.wait_for(|state| state.connection == Connection::Open).await);
        (session, engine)
    }

    #[tokio::test(start_paused = true)]
    async fn c087_an_engine_of_the_first_version_which_says_no_hello_is_told_too() {
        let (session, mut engine) = connected().await;
        let listening = async {
            assert_eq!(engine.read_u8().await.unwrap(), b'c');
            engine.write_u8(b'a').await.unwrap();
        };
        let (answer, ()) = tokio::join!(session.cancel(), listening);
        assert_eq!(answer, CancelAnswer::Acknowledged);
        assert_eq!(session.cancel().await, CancelAnswer::Acknowledged);
    }

    #[tokio::test(start_paused = true)]
    async fn an_intent_waits_for_the_hello_of_an_engine_that_has_just_connected() {
        let (session, mut engine) = connected().await;
        let cancelling = tokio::spawn(async move { session.cancel().await });
        engine.write_all(&[0, b'P', b'F', 2, 1]).await.unwrap();
        let mut bytes = [0; 6];
        engine.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"\0PF\x02\x01c");
        engine.write_u8(b'a').await.unwrap();
        assert_eq!(cancelling.await.unwrap(), CancelAnswer::Acknowledged);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receipt_that_crosses_the_intent_wins() {
        let (session, mut engine) = connected().await;
        let crossing = async {
            assert_eq!(engine.read_u8().await.unwrap(), b'c');
            let receipt = br#"{"disposition":"ORCHESTRATION_ABORTED"}"#;
            engine.write_u8(1).await.unwrap();
            engine.write_u32(u32::try_from(receipt.len()).unwrap()).await.unwrap();
            engine.write_all(receipt).await.unwrap();
            engine.write_u8(b'a').await.unwrap();
            assert_eq!(engine.read_u8().await.unwrap(), 2);
        };
        let (answer, ()) = tokio::join!(session.cancel(), crossing);
        assert_eq!(answer, CancelAnswer::AlreadyConcluded);
        drop(engine);
        session.finished().await;
        assert_eq!(session.concluded(), Some(Conclusion::OrchestrationAborted));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_hears_before_the_connection_or_after_it() {
        let session = Session::default();
        assert_eq!(session.cancel().await, CancelAnswer::Unheard);
        let (session, engine) = connected().await;
        drop(engine);
        session.finished().await;
        assert_eq!(session.cancel().await, CancelAnswer::Unheard);
    }
}
