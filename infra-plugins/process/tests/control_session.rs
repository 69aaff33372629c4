//! The control session, with a client in the place of the engine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use infra_contract::{InfraPlugin as _, Killed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use worker_core::exit::{Conclusion, Exit};
use worker_core::handle::Handle;
use worker_core::machine::KillIntent;

use support::{Bench, LIMIT, Watched, script_run};

const HELLO: [u8; 5] = [0, b'P', b'F', 2, 1];
const STATE_REPORTED: &str =
    r#"{"disposition":"STATE_REPORTED","state_id":null,"state_type":"COMPLETED","state_name":"Completed"}"#;

/// A run that tells how to reach the worker, says a little later that it is `under way`, and writes `TERM` and exits with 0
/// when terminated.
struct Engine {
    bench: Bench,
    handle: Handle,
    watched: Watched,
    port: u16,
    token: String,
}

impl Engine {
    async fn start() -> Self {
        let script = r#"
            trap 'echo TERM; exit 0' TERM
            echo "port $PREFECT__CONTROL_PORT"; echo "token $PREFECT__CONTROL_TOKEN"
            for _ in 1 2 3 4 5 6; do sleep 0.05; done; echo "under way"
            while :; do sleep 0.05; done"#;
        let bench = Bench::new();
        let handle = bench.launch(&script_run(script)).await.unwrap();
        let mut watched = bench.watch(&handle).await;
        let port = watched.line("port ").await.parse().unwrap();
        let token = watched.line("token ").await;
        Self { bench, handle, watched, port, token }
    }

    async fn connect(&self, token: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(format!("{token}\n").as_bytes()).await.unwrap();
        stream
    }

    /// Connects as an engine of the second version.
    async fn greeted(&self) -> TcpStream {
        let mut stream = self.connect(&self.token).await;
        stream.write_all(&HELLO).await.unwrap();
        assert_eq!(read::<5>(&mut stream).await, HELLO);
        stream
    }

    async fn cancel(&self) -> Killed {
        self.bench.plugin.kill(&self.handle, KillIntent::Cancel, LIMIT).await.unwrap()
    }
}

async fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    timeout(LIMIT, stream.read_exact(&mut bytes)).await.expect("is answered").unwrap();
    bytes
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(LIMIT, stream.read_u8()).await.expect("is closed or answered");
    read.is_err()
}

async fn send_receipt(stream: &mut TcpStream, text: &str) {
    stream.write_u8(1).await.unwrap();
    stream.write_u32(u32::try_from(text.len()).unwrap()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn c087_a_token_admits_one_connection() {
    let engine = Engine::start().await;
    assert_eq!((engine.token.len(), engine.token.chars().all(|char| char.is_ascii_hexdigit())), (32, true));
    assert!(is_closed(&mut engine.connect("ab".repeat(16).as_str()).await).await, "an unknown token");
    let _first = engine.greeted().await;
    assert!(is_closed(&mut engine.connect(&engine.token).await).await, "a token that was used");
    engine.cancel().await;
}

#[tokio::test]
async fn c087_a_cancellation_is_announced_before_the_signal_and_its_acknowledgement_concludes_the_run() {
    let mut engine = Engine::start().await;
    let mut stream = engine.greeted().await;
    let listening = async {
        assert_eq!(read::<1>(&mut stream).await, *b"c");
        assert!(!engine.watched.output.contains("TERM"));
        stream.write_all(b"a").await.unwrap();
    };
    let cancelling = engine.bench.plugin.kill(&engine.handle, KillIntent::Cancel, LIMIT);
    let (killed, ()) = tokio::join!(cancelling, listening);
    assert_eq!(killed.unwrap(), Killed::Gracefully);
    drop(stream);
    engine.watched.line("TERM").await;
    let (_, report) = engine.watched.until_the_end().await;
    assert_eq!((report.exit, report.concluded), (Exit::Code(0), Some(Conclusion::CancelAcknowledged)));
}

#[tokio::test]
async fn c087_receipts_are_acknowledged_and_the_first_conclusion_stays() {
    let engine = Engine::start().await;
    let mut stream = engine.greeted().await;
    send_receipt(&mut stream, STATE_REPORTED).await;
    assert_eq!(read::<1>(&mut stream).await, [2]);
    send_receipt(&mut stream, r#"{"disposition":"ORCHESTRATION_ABORTED"}"#).await;
    assert_eq!(read::<1>(&mut stream).await, [2]);
    drop(stream);
    engine.bench.plugin.kill(&engine.handle, KillIntent::Shutdown, LIMIT).await.unwrap();
    let (_, report) = engine.watched.until_the_end().await;
    let completed = Conclusion::StateReported { state_id: None, state_type: Some("COMPLETED".to_owned()) };
    assert_eq!(report.concluded, Some(completed));
}

#[tokio::test]
async fn a_run_that_has_settled_its_state_is_not_signalled_by_a_cancellation() {
    let engine = Engine::start().await;
    let mut stream = engine.greeted().await;
    send_receipt(&mut stream, STATE_REPORTED).await;
    assert_eq!(read::<1>(&mut stream).await, [2]);
    let grace = Duration::from_millis(300);
    let killed = engine.bench.plugin.kill(&engine.handle, KillIntent::Cancel, grace).await.unwrap();
    assert_eq!(killed, Killed::Forcibly, "it was given its grace to end by itself");
    let (output, _) = engine.watched.until_the_end().await;
    assert!(!output.contains("TERM"), "{output}");
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_terminated_after_a_second() {
    let mut engine = Engine::start().await;
    let _stream = engine.greeted().await;
    // A second after the start the supervisor has something else to wake up for.
    engine.watched.line("under way").await;
    let asked = Instant::now();
    assert_eq!(engine.cancel().await, Killed::Gracefully);
    let took = asked.elapsed();
    // By then the worker would have done it without a word of the supervisor.
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");
    let (output, report) = engine.watched.until_the_end().await;
    assert!(output.contains("TERM"), "{output}");
    assert_eq!(report.concluded, None);
}

#[tokio::test]
async fn an_engine_that_never_connected_is_terminated_at_once() {
    let engine = Engine::start().await;
    assert_eq!(engine.cancel().await, Killed::Gracefully);
    let (output, report) = engine.watched.until_the_end().await;
    assert!(output.contains("TERM"), "{output}");
    assert_eq!(report.concluded, None);
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_concludes_nothing() {
    let engine = Engine::start().await;
    let mut stream = engine.greeted().await;
    stream.write_all(b"a").await.unwrap();
    // Frames are taken in order: once the hello after it is answered, it has been taken.
    stream.write_all(&HELLO).await.unwrap();
    assert_eq!(read::<5>(&mut stream).await, HELLO);
    drop(stream);
    engine.bench.plugin.kill(&engine.handle, KillIntent::Force, LIMIT).await.unwrap();
    assert_eq!(engine.watched.until_the_end().await.1.concluded, None);
}

#[tokio::test]
async fn a_newer_version_is_declined_and_garbage_ends_the_session() {
    let engine = Engine::start().await;
    let mut stream = engine.connect(&engine.token).await;
    stream.write_all(&[0, b'P', b'F', 3, 1]).await.unwrap();
    assert_eq!(read::<5>(&mut stream).await, [0, b'P', b'F', 1, 0]);
    stream.write_all(b"?").await.unwrap();
    assert!(is_closed(&mut stream).await);
    engine.bench.plugin.kill(&engine.handle, KillIntent::Force, LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_later_worker_cancels_through_the_session_that_an_earlier_one_began() {
    let mut engine = Engine::start().await;
    let mut stream = engine.greeted().await;
    engine.bench.restart();
    let listening = async {
        assert_eq!(read::<1>(&mut stream).await, *b"c");
        stream.write_all(b"a").await.unwrap();
        drop(stream);
    };
    let (killed, ()) = tokio::join!(engine.cancel(), listening);
    assert_eq!(killed, Killed::Gracefully);
    let (_, report) = engine.bench.watch(&engine.handle).await.until_the_end().await;
    assert_eq!((report.exit, report.concluded), (Exit::Code(0), Some(Conclusion::CancelAcknowledged)));
}

#[tokio::test]
async fn an_engine_can_connect_while_there_is_no_worker() {
    let mut engine = Engine::start().await;
    engine.bench.restart();
    let mut stream = engine.greeted().await;
    send_receipt(&mut stream, STATE_REPORTED).await;
    assert_eq!(read::<1>(&mut stream).await, [2]);
    drop(stream);
    engine.bench.plugin.kill(&engine.handle, KillIntent::Shutdown, LIMIT).await.unwrap();
    let (_, report) = engine.bench.watch(&engine.handle).await.until_the_end().await;
    assert!(matches!(report.concluded, Some(Conclusion::StateReported { .. })), "{report:?}");
}
