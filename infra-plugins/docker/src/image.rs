//! Having the image of a run on the engine's machine.

use bollard::models::{ImageConfig, ImageInspect};
use infra_contract::LaunchLog;

use crate::engine::Engine;
use crate::error::{DockerError, PullFailure};
use crate::plan::DockerPlan;
use crate::pull::{Pulls, Wanted};
use crate::registry::{self, ImageReference, PullPolicy};

/// What is known of an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) config: ImageConfig,
    /// What exactly it is: the digest of its manifest, or its id if it came from no registry.
    pub(crate) digest: String,
}

impl From<ImageInspect> for Image {
    fn from(found: ImageInspect) -> Self {
        let from_registry = found.repo_digests.and_then(|digests| digests.into_iter().next());
        Self { digest: from_registry.or(found.id).unwrap_or_default(), config: found.config.unwrap_or_default() }
    }
}

impl Image {
    /// The name that was asked for, and what exactly that is.
    pub(crate) fn named(&self, image: &str) -> String {
        if self.digest.is_empty() || image.contains('@') {
            image.to_owned()
        } else {
            format!("{image} ({})", self.digest)
        }
    }
}

/// Sees to it that the image is there, by the run's pull policy. Credentials are only looked for if something is pulled, and
/// a registry that is away stops nothing that needs no pull.
pub(crate) async fn ensure(
    engine: &Engine,
    pulls: &Pulls,
    plan: &DockerPlan,
    environment: &std::collections::BTreeMap<String, String>,
    log: &dyn LaunchLog,
) -> Result<Image, DockerError> {
    let found = match plan.pull_policy {
        PullPolicy::Always => None,
        PullPolicy::IfNotPresent | PullPolicy::Never | PullPolicy::IfPossible => engine.image(&plan.image).await?,
    };
    match (plan.pull_policy, found) {
        (PullPolicy::IfNotPresent | PullPolicy::Never, Some(found)) => return Ok(found.into()),
        (PullPolicy::Never, None) => return Err(DockerError::NoImage { image: plan.image.clone() }),
        (PullPolicy::IfPossible, Some(found)) => {
            if let Err(error) = pull(engine, pulls, plan, environment, log).await {
                let why = crate::error::chain(&error);
                log.warn(format!("{why}. The image that is on the engine's machine is used"));
                return Ok(found.into());
            }
        }
        (PullPolicy::Always | PullPolicy::IfNotPresent | PullPolicy::IfPossible, _) => {
            pull(engine, pulls, plan, environment, log).await?;
        }
    }
    let pulled = engine.image(&plan.image).await?;
    pulled.map(Image::from).ok_or_else(|| DockerError::Pull {
        image: plan.image.clone(),
        source: PullFailure::Other("the engine says that it was pulled, and does not have it".to_owned()),
    })
}

async fn pull(
    engine: &Engine,
    pulls: &Pulls,
    plan: &DockerPlan,
    environment: &std::collections::BTreeMap<String, String>,
    log: &dyn LaunchLog,
) -> Result<(), DockerError> {
    let image = &plan.image;
    let reference = ImageReference::parse(image)?;
    let credentials = registry::credentials_for(&reference, plan.registry.as_ref(), environment).await;
    let credentials = credentials.map_err(|source| DockerError::Credentials { image: image.clone(), source })?;
    let (from_image, tag) = reference.for_pull();
    let wanted = Wanted {
        image: image.clone(),
        from_image,
        tag,
        platform: plan.platform.clone(),
        credentials,
        deadline: plan.pull_deadline,
    };
    let pulled = pulls.pull(engine, wanted, log).await;
    pulled.map_err(|source| DockerError::Pull { image: image.clone(), source })
}
