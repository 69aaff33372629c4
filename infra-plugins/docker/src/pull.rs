//! Pulling images: one pull for all runs that wait for the same image.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error as EngineError;
use futures::StreamExt as _;
use infra_contract::LaunchLog;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::engine::Engine;
use crate::error::{PullFailure, message_of};
use crate::pull_progress::Layers;

/// A run's log hears of a long pull this often.
const TELL: Duration = Duration::from_secs(10);
/// A registry that fails at a pull is asked again after these pauses.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// What is pulled.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) image: String,
    pub(crate) from_image: String,
    pub(crate) tag: String,
    pub(crate) platform: Option<String>,
    pub(crate) credentials: Option<DockerCredentials>,
    /// The pull is given up when it makes no progress for so long.
    pub(crate) deadline: Duration,
}

impl Wanted {
    /// What makes two pulls the same one. With other credentials a registry may answer otherwise.
    fn identity(&self) -> String {
        let credentials = self.credentials.as_ref().map(|credentials| {
            let parts = [&credentials.username, &credentials.password, &credentials.identitytoken];
            parts.map(|part| part.clone().unwrap_or_default()).join("\n")
        });
        [self.image.clone(), self.platform.clone().unwrap_or_default(), credentials.unwrap_or_default()].join("\n")
    }
}

/// The pulls under way. A pull that nobody waits for any more is given up.
#[derive(Default)]
pub(crate) struct Pulls(Mutex<HashMap<String, Weak<Pull>>>);

impl std::fmt::Debug for Pulls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pulls")
    }
}

/// One pull.
struct Pull {
    course: watch::Receiver<Course>,
    _work: AbortOnDropHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Course {
    layers: Layers,
    ended: Option<Result<(), PullFailure>>,
}

impl Pulls {
    /// Pulls an image, or waits for the pull of it that is under way.
    ///
    /// Cancel safe: the pull goes on for the others that wait for it.
    pub(crate) async fn pull(&self, engine: &Engine, wanted: Wanted, log: &dyn LaunchLog) -> Result<(), PullFailure> {
        let begun = Instant::now();
        let image = wanted.image.clone();
        let pull = self.join(engine, wanted);
        log.info(format!("Pulling image '{image}'"));
        let mut course = pull.course.clone();
        loop {
            let seen = timeout(TELL, course.wait_for(|course| course.ended.is_some())).await;
            let seen = seen.map(|seen| seen.map(|course| course.ended.clone()));
            match seen {
                Ok(Ok(ended)) => {
                    let ended = ended.unwrap_or(Ok(()));
                    if ended.is_ok() {
                        log.info(format!("Pulled image '{image}' in {:.1} s", begun.elapsed().as_secs_f64()));
                    }
                    return ended;
                }
                Ok(Err(_)) => return Err(PullFailure::Other("the pull ended without a word".to_owned())),
                Err(_) => log.info(format!("Pulling image '{image}': {}", course.borrow().layers)),
            }
        }
    }

    fn join(&self, engine: &Engine, wanted: Wanted) -> Arc<Pull> {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, pull| pull.strong_count() > 0);
        let identity = wanted.identity();
        let under_way = pulls.get(&identity).and_then(Weak::upgrade);
        if let Some(pull) = under_way.filter(|pull| pull.course.borrow().ended.is_none()) {
            return pull;
        }
        let (sender, course) = watch::channel(Course::default());
        let work = carry_out(engine.clone(), wanted, sender).in_current_span();
        let pull = Arc::new(Pull { course, _work: AbortOnDropHandle::new(tokio::spawn(work)) });
        pulls.insert(identity, Arc::downgrade(&pull));
        pull
    }
}

async fn carry_out(engine: Engine, wanted: Wanted, course: watch::Sender<Course>) {
    let mut pauses = PAUSES.into_iter();
    let ended = loop {
        let tried = try_once(&engine, &wanted, &course).await;
        match (tried, pauses.next()) {
            (Err(PullFailure::Other(why)), Some(pause)) => {
                tracing::debug!(image = wanted.image, "the pull failed and is tried again: {why}");
                tokio::time::sleep(pause).await;
            }
            (ended, _) => break ended,
        }
    };
    course.send_modify(|course| course.ended = Some(ended));
}

async fn try_once(engine: &Engine, wanted: &Wanted, course: &watch::Sender<Course>) -> Result<(), PullFailure> {
    let Wanted { from_image, tag, platform, credentials, deadline, .. } = wanted.clone();
    let mut progress = Box::pin(engine.pull(from_image, tag, platform, credentials));
    loop {
        match timeout(deadline, progress.next()).await {
            Ok(Some(Ok(piece))) => course.send_modify(|course| course.layers.note(&piece)),
            Ok(Some(Err(error))) => return Err(failure(&error)),
            Ok(None) => return Ok(()),
            Err(_) => return Err(PullFailure::Stalled(deadline)),
        }
    }
}

/// What an engine says of a registry, which it wraps in its own answer: a refusal comes as its own failure.
fn failure(error: &EngineError) -> PullFailure {
    let said = message_of(error).unwrap_or_else(|| error.to_string());
    let message = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&[
        "manifest unknown",
        "not found: manifest",
        "name unknown",
        "repository does not exist",
        "no matching manifest",
    ]) {
        PullFailure::Missing(said)
    } else if says(&["unauthorized", "denied", "no basic auth credentials", "authentication required", "forbidden"]) {
        PullFailure::Denied(said)
    } else {
        PullFailure::Other(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c101_what_a_registry_refuses_is_told_from_what_it_lacks_and_from_trouble() {
        let said = |message: &str| {
            failure(&EngineError::DockerResponseServerError { status_code: 500, message: message.to_owned() })
        };
        assert!(matches!(said("manifest for x:1 not found: manifest unknown"), PullFailure::Missing(_)));
        assert!(matches!(said("Get x: unauthorized: authentication required"), PullFailure::Denied(_)));
        assert!(matches!(said("Get x: no basic auth credentials"), PullFailure::Denied(_)));
        assert!(matches!(said("dial tcp 127.0.0.1:1: connect: connection refused"), PullFailure::Other(_)));
        let in_stream = EngineError::DockerStreamError { error: "toomanyrequests: slow down".to_owned() };
        assert_eq!(failure(&in_stream), PullFailure::Other("toomanyrequests: slow down".to_owned()));
    }
}
