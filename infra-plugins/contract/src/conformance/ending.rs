//! Cases about what is known of a run from outside, and after its end.

use worker_core::exit::Exit;
use worker_core::machine::KillIntent;

use super::{Behaviour, Fixture, Launched, SHORT_GRACE};
use crate::Found;

/// Reattaching does not disturb the run.
pub async fn reattaching_to_a_running_run_says_running(fixture: &dyn Fixture) {
    let launched = Launched::ready(fixture, Behaviour::UntilStopped).await;
    for _ in 0..3 {
        assert_eq!(launched.plugin.reattach(&launched.handle).await.expect("answers"), Found::Running);
    }
    launched.discard().await;
}

/// An end that nobody watched is still told.
pub async fn reattaching_after_the_exit_says_how_it_ended(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::ExitsSeven).await;
    assert_eq!(launched.ended_unwatched().await.exit, Exit::Code(7));
    launched.discard().await;
}

/// Killing is not cleaning up: the report is made in between.
pub async fn the_exit_stays_readable_after_a_kill(fixture: &dyn Fixture) {
    let launched = Launched::ready(fixture, Behaviour::IgnoresStop).await;
    launched.plugin.kill(&launched.handle, KillIntent::Shutdown, SHORT_GRACE).await.expect("is killed");
    let exit = match launched.plugin.reattach(&launched.handle).await.expect("answers") {
        Found::Exited(report) => Some(report.exit),
        Found::Running | Found::Gone => None,
    };
    assert!(matches!(exit, Some(Exit::Signal(9) | Exit::Code(137))), "{exit:?}");
    launched.discard().await;
}

/// A clean-up whose answer was lost is repeated.
pub async fn cleaning_up_twice_is_fine_and_forgets_the_run(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::ExitsZero).await;
    assert_eq!(launched.exit().await, Exit::Code(0));
    for _ in 0..2 {
        launched.plugin.cleanup(&launched.handle).await.expect("is cleaned up");
    }
    assert_eq!(launched.plugin.find(&launched.handle.key).await.expect("answers"), None);
    assert_eq!(launched.plugin.reattach(&launched.handle).await.expect("answers"), Found::Gone);
    let owned = launched.plugin.owned().await.expect("answers");
    assert!(owned.iter().all(|handle| handle.key != launched.handle.key));
}
