//! Who wants to know how calls go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Is told of every try of every call.
pub trait Traffic: fmt::Debug + Send + Sync + 'static {
    /// A try of `call` took so long and was answered with this HTTP status; `None` if no answer came, or none that the caller
    /// had time to wait for.
    fn tried(&self, call: &'static str, status: Option<u16>, took: Duration);
}

/// One try. It is told of when it is dropped, so that one which nobody waits for any more counts too.
pub(crate) struct Try {
    traffic: Option<Arc<dyn Traffic>>,
    call: &'static str,
    begun: Instant,
    status: Option<u16>,
}

impl Try {
    pub(crate) fn begin(traffic: Option<&Arc<dyn Traffic>>, call: &'static str) -> Self {
        Self { traffic: traffic.cloned(), call, begun: Instant::now(), status: None }
    }

    pub(crate) const fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        if let Some(traffic) = &self.traffic {
            traffic.tried(self.call, self.status, self.begun.elapsed());
        }
    }
}
