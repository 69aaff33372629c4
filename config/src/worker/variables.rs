//! This daemon's own settings given as `WORKER_<SECTION>_<KEY>` variables.

use super::keys::{KEYS, PREFIX};
use crate::{
    Origin,
    error::{closest, did_you_mean},
    layer::{Layer, Origins},
    raw::Raw,
};

/// The layer made of the settings that `find` knows the variable of.
pub(crate) fn layer(origins: &mut Origins, mut find: impl FnMut(&str) -> Option<(Raw, Origin)>) -> Layer {
    let mut layer = Layer::default();
    for key in KEYS {
        if let Some((value, origin)) = find(key.variable) {
            layer.set(origins, key.variable, value, origin);
        }
    }
    layer
}

/// The warning for a variable that looks like a setting misspelt. Only a warning, and only for a near miss: a Kubernetes
/// service named `worker` puts variables such as `WORKER_PORT` into every pod of its namespace.
pub(crate) fn misspelt(variable: &str, origin: &Origin) -> Option<String> {
    if !variable.starts_with(PREFIX) || KEYS.iter().any(|key| key.variable == variable) {
        return None;
    }
    let known = closest(variable, KEYS.iter().map(|key| key.variable))?;
    (strsim::damerau_levenshtein(variable, known) <= 2)
        .then(|| format!("{origin}: `{variable}` is no setting{}", did_you_mean(Some(known))))
}
