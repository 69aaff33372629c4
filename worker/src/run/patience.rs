//! Waiting for an API that does not answer, on behalf of a run that is already claimed.

use std::time::Duration;

use central_api_client::ApiError;
use tokio::time::Instant;

use super::error_chain::ErrorChain;

/// A claimed run waits this long, rather than crash for an API that is away.
const PATIENCE: Duration = Duration::from_mins(15);
/// The pause between questions that must be answered.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Whether an error leaves open what the server did, or would say another time: wrong credentials are put right sooner or
/// later.
pub(super) fn leaves_open(error: &ApiError) -> bool {
    error.is_transient() || matches!(error.status(), Some(401 | 403))
}

/// Asks again while the API does not answer properly, for a bounded time. Cancel safe if the call is.
pub(super) async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let give_up = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(error) if error.is_transient() && Instant::now() < give_up => {
                tracing::debug!("the API did not answer, asking again: {}", ErrorChain(&error));
                tokio::time::sleep(ASK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}
