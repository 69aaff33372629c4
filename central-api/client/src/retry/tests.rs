use std::cell::RefCell;
use std::collections::VecDeque;

use tokio::time::Instant;

use super::*;

fn refused(status: u16) -> Failure {
    ApiError::Refused { status, detail: "no".to_owned(), retry_after: None }.into()
}

fn unknown_path() -> Failure {
    ApiError::Refused { status: 404, detail: "Not Found".to_owned(), retry_after: None }.into()
}

fn connection_refused() -> Failure {
    TransportError::Connect("refused".into()).into()
}

/// The outcome of a call whose tries fail as scripted and then succeed: tries made, seconds waited, result.
async fn play(
    kind: CallKind,
    answered_before: bool,
    script: impl IntoIterator<Item = Failure>,
) -> (usize, f64, Result<(), ApiError>) {
    play_call(kind, false, answered_before, script).await
}

async fn play_call(
    kind: CallKind,
    is_optional: bool,
    answered_before: bool,
    script: impl IntoIterator<Item = Failure>,
) -> (usize, f64, Result<(), ApiError>) {
    let settings = RetrySettings { jitter_factor: 0.0, extra_codes: vec![418], ..RetrySettings::default() };
    let answered_before = AtomicBool::new(answered_before);
    let policy = Policy { call: "test", kind, is_optional, settings: &settings, answered_before: &answered_before };
    let script: RefCell<VecDeque<Failure>> = RefCell::new(script.into_iter().collect());
    let tries = RefCell::new(0);
    let began = Instant::now();
    let result = policy
        .run(|| {
            *tries.borrow_mut() += 1;
            let outcome = script.borrow_mut().pop_front().map_or(Ok(()), Err);
            async { outcome }
        })
        .await;
    (tries.into_inner(), began.elapsed().as_secs_f64(), result)
}

fn repeat(times: usize, failure: fn() -> Failure) -> Vec<Failure> {
    (0..times).map(|_| failure()).collect()
}

#[tokio::test(start_paused = true)]
async fn c006_a_busy_server_is_asked_five_times_more_with_growing_delays() {
    for status in [408, 429, 502, 503, 418] {
        let script: Vec<Failure> = (0..6).map(|_| refused(status)).collect();
        let (tries, waited, result) = play(CallKind::Read, true, script).await;
        assert_eq!(result.unwrap_err().status(), Some(status));
        assert_eq!(tries, 6);
        assert!((6.1..=6.3).contains(&waited), "0.2 + 0.4 + 0.8 + 1.6 + 3.2, not {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn c006_retry_after_is_the_shortest_delay() {
    let failure = Failure { retry_after: Some(Duration::from_secs(7)), ..refused(503) };
    let (tries, waited, result) = play(CallKind::Claim, true, [failure]).await;
    assert!(result.is_ok());
    assert_eq!(tries, 2);
    assert!((7.0..7.1).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn c007_an_internal_error_is_not_retried() {
    for status in [500, 504, 401, 403] {
        for kind in [CallKind::Poll, CallKind::Read, CallKind::Claim] {
            let (tries, _, result) = play(kind, true, [refused(status)]).await;
            assert_eq!((tries, result.unwrap_err().status()), (1, Some(status)), "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c008_tries_during_maintenance_are_not_counted() {
    let maintained = || Failure { maintenance: true, ..refused(503) };
    let mut script = repeat(20, maintained);
    script.extend(repeat(5, || refused(503)));
    let (tries, _, result) = play(CallKind::Read, true, script).await;
    assert!(result.is_ok());
    assert_eq!(tries, 26);
}

#[tokio::test(start_paused = true)]
async fn c009_a_refused_connection_is_retried_only_after_a_first_answer() {
    let (tries, waited, result) = play(CallKind::Read, false, [connection_refused()]).await;
    assert!(matches!(result, Err(ApiError::Unreachable(TransportError::Connect(_)))));
    assert_eq!((tries, waited.to_bits()), (1, 0.0_f64.to_bits()));
    let (tries, _, result) = play(CallKind::Read, true, [connection_refused()]).await;
    assert!(result.is_ok());
    assert_eq!(tries, 2);
}

#[tokio::test(start_paused = true)]
async fn a_cut_exchange_is_retried_even_before_a_first_answer() {
    let (tries, _, result) = play(CallKind::Read, false, [TransportError::Interrupted("cut".into()).into()]).await;
    assert!(result.is_ok());
    assert_eq!(tries, 2);
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_tried_once_but_gets_a_new_csrf_token() {
    let (tries, _, result) = play(CallKind::Poll, true, [refused(503)]).await;
    assert_eq!((tries, result.is_err()), (1, true));
    let rejected = || Failure { csrf_rejected: true, ..refused(403) };
    let (tries, _, result) = play(CallKind::Poll, true, [rejected()]).await;
    assert_eq!((tries, result.is_ok()), (2, true));
    let (tries, _, result) = play(CallKind::Poll, true, [rejected(), rejected()]).await;
    assert_eq!((tries, result.is_err()), (2, true));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_path_is_retried_unless_servers_may_do_without_it() {
    for kind in [CallKind::Read, CallKind::Claim] {
        let (tries, _, result) = play(kind, true, [unknown_path(), unknown_path()]).await;
        assert_eq!((tries, result.is_ok()), (3, true), "{kind:?}");
        let (tries, _, result) = play(kind, true, repeat(9, unknown_path)).await;
        assert_eq!((tries, result.unwrap_err().is_unknown_path()), (6, true), "{kind:?}");
        let (tries, _, result) = play(kind, true, [refused(404)]).await;
        assert_eq!((tries, result.unwrap_err().is_not_found()), (1, true), "{kind:?}");
    }
    let (tries, _, result) = play_call(CallKind::Claim, true, true, [unknown_path()]).await;
    assert_eq!((tries, result.unwrap_err().is_unknown_path()), (1, true), "an old server has no labels");
    let (tries, _, result) = play_call(CallKind::Claim, true, true, [refused(503)]).await;
    assert_eq!((tries, result.is_ok()), (2, true), "a busy server does");
}

#[tokio::test(start_paused = true)]
async fn an_undecodable_success_is_retried_for_a_claim_and_not_for_a_read() {
    let (tries, _, result) = play(CallKind::Claim, true, [ApiError::Undecodable { status: 200 }.into()]).await;
    assert_eq!((tries, result.is_ok()), (2, true));
    let (tries, _, result) = play(CallKind::Read, true, [ApiError::Undecodable { status: 200 }.into()]).await;
    assert_eq!((tries, result.is_err()), (1, true));
    let (tries, _, result) = play(CallKind::Read, true, [ApiError::Undecodable { status: 503 }.into()]).await;
    assert_eq!((tries, result.is_ok()), (2, true), "a load balancer's own 503 page");
}
