//! Cases about killing.

use std::time::Duration;

use tokio::time::Instant;
use worker_core::exit::Exit;
use worker_core::machine::KillIntent;

use super::{Behaviour, Fixture, LONG_GRACE, Launched, SHORT_GRACE};
use crate::{Found, Killed};

/// A run that obeys has its whole grace, and does not cost it.
pub async fn a_run_that_stops_when_asked_is_killed_gracefully(fixture: &dyn Fixture) {
    for intent in [KillIntent::Cancel, KillIntent::Shutdown] {
        let launched = Launched::ready(fixture, Behaviour::UntilStopped).await;
        let asked = Instant::now();
        let killed = launched.plugin.kill(&launched.handle, intent, LONG_GRACE).await.expect("is killed");
        assert_eq!(killed, Killed::Gracefully, "{intent:?}");
        assert!(asked.elapsed() < LONG_GRACE, "{intent:?} waited for the whole grace");
        assert!(!matches!(launched.plugin.reattach(&launched.handle).await.expect("answers"), Found::Running));
        launched.discard().await;
    }
}

/// A run that does not obey is ended once its grace is over.
pub async fn a_run_that_ignores_the_stop_is_killed_by_force(fixture: &dyn Fixture) {
    let launched = Launched::ready(fixture, Behaviour::IgnoresStop).await;
    let asked = Instant::now();
    let killed = launched.plugin.kill(&launched.handle, KillIntent::Shutdown, SHORT_GRACE).await.expect("is killed");
    assert_eq!(killed, Killed::Forcibly);
    assert!(asked.elapsed() >= SHORT_GRACE, "it was not given its grace");
    assert!(!launched.exit().await.is_success());
    launched.discard().await;
}

/// A second signal of the operator means now.
pub async fn force_does_not_wait_for_the_grace(fixture: &dyn Fixture) {
    let launched = Launched::ready(fixture, Behaviour::IgnoresStop).await;
    let asked = Instant::now();
    let killed = launched.plugin.kill(&launched.handle, KillIntent::Force, LONG_GRACE).await.expect("is killed");
    assert_eq!(killed, Killed::Forcibly);
    assert!(asked.elapsed() < LONG_GRACE);
    launched.discard().await;
}

/// The API repeats a cancellation until it is settled, and an operator may lose patience meanwhile.
pub async fn killing_twice_at_once_ends_it_once(fixture: &dyn Fixture) {
    let launched = Launched::ready(fixture, Behaviour::IgnoresStop).await;
    let patient = launched.plugin.kill(&launched.handle, KillIntent::Cancel, LONG_GRACE);
    let impatient = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        launched.plugin.kill(&launched.handle, KillIntent::Force, Duration::ZERO).await
    };
    let asked = Instant::now();
    let (patient, impatient) = tokio::join!(patient, impatient);
    assert_eq!((patient.expect("is killed"), impatient.expect("is killed")), (Killed::Forcibly, Killed::Forcibly));
    assert!(asked.elapsed() < LONG_GRACE, "the first kill did not see that the second had ended it");
    launched.discard().await;
}

/// A cancellation that comes too late is a success, and changes nothing about the end.
pub async fn killing_after_the_exit_finds_it_gone(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::ExitsSeven).await;
    assert_eq!(launched.exit().await, Exit::Code(7));
    for intent in [KillIntent::Cancel, KillIntent::Shutdown, KillIntent::Force] {
        let killed = launched.plugin.kill(&launched.handle, intent, LONG_GRACE).await.expect("is no error");
        assert_eq!(killed, Killed::AlreadyGone, "{intent:?}");
    }
    assert_eq!(launched.exit().await, Exit::Code(7));
    launched.discard().await;
}
