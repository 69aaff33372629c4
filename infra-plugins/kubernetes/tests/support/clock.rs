//! A clock that runs faster than the real one, for what takes minutes.

use std::time::Duration;

use tokio::task::JoinHandle;

/// By so much the time goes on with each step, in which everything else gets its turn.
const STEP: Duration = Duration::from_millis(100);
const REAL: Duration = Duration::from_millis(2);

/// While it lives, the runtime's time goes on by itself and fast, but never while nobody could have worked: its steps come one
/// after another, so a slow machine makes it slow. Only for a runtime of one thread.
#[derive(Debug)]
pub(crate) struct FastClock(JoinHandle<()>);

impl FastClock {
    pub(crate) fn start() -> Self {
        tokio::time::pause();
        Self(tokio::spawn(async {
            loop {
                // A blocking task also keeps the runtime from jumping to its next timer while sockets are slow.
                drop(tokio::task::spawn_blocking(|| std::thread::sleep(REAL)).await);
                tokio::time::advance(STEP).await;
            }
        }))
    }
}

impl FastClock {
    /// Lets time go by, for what must not happen meanwhile.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

impl Drop for FastClock {
    fn drop(&mut self) {
        self.0.abort();
    }
}
