//! Prefect settings, also those of integrations, that are given as variables: in the process environment, in `.env`, in a profile.

use super::known;
use crate::{
    Origin,
    error::{closest, did_you_mean},
    layer::{Layer, Origins},
    raw::Raw,
};

/// The layer made of the settings that `find` knows a variable of; the best name of a setting wins.
pub(crate) fn layer(origins: &mut Origins, mut find: impl FnMut(&str) -> Option<(Raw, Origin)>) -> Layer {
    let mut layer = Layer::default();
    for setting in known::all() {
        if let Some((value, origin)) = setting.variables().find_map(&mut find) {
            layer.set(origins, setting.variable, value, origin);
        }
    }
    layer
}

/// The warning for a variable that is no setting but looks like one misspelt. Others are nobody's business here: other
/// integrations and the SDK's own processes use the same prefix.
pub(crate) fn misspelt(variable: &str, origin: &Origin) -> Option<String> {
    const HONOURED_INTEGRATION: &str = "PREFECT_INTEGRATIONS_KUBERNETES_";
    const NOT_SETTINGS: [&str; 2] = ["PREFECT_PROFILE", "PREFECT_API_VERSION"];
    let unrelated = !variable.starts_with("PREFECT_")
        || variable.starts_with("PREFECT__")
        || (variable.starts_with("PREFECT_INTEGRATIONS_") && !variable.starts_with(HONOURED_INTEGRATION))
        || NOT_SETTINGS.contains(&variable)
        || known::all().flat_map(known::KnownSetting::variables).any(|name| name == variable);
    if unrelated {
        return None;
    }
    let known = closest(variable, known::all().map(|setting| setting.variable))?;
    (strsim::damerau_levenshtein(variable, known) <= 2)
        .then(|| format!("{origin}: `{variable}` is no Prefect setting{}", did_you_mean(Some(known))))
}
