//! The name of a Job. It is the same each time the same execution is planned, so a Job is never made twice.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use worker_core::ids::LaunchKey;

use super::slug;

/// The beginning where nothing else is left of a name.
const FALLBACK: &str = "prefect-job";
/// How many characters tell one execution from another.
const TELLING: u32 = 10;
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz234567";

/// The beginning of the name: from the manifest if it says one, otherwise from the run.
pub(crate) fn base(metadata: &Map<String, Value>, run_name: &str) -> String {
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).filter(|text| !text.contains("{{"));
    let generate_name = text("generateName").map(|name| name.trim_end_matches('-')).filter(|name| *name != "None");
    let candidates = [text("name"), generate_name, Some(run_name)];
    let slugs = candidates.into_iter().flatten().map(slug::name);
    slugs.into_iter().find(|slug| !slug.is_empty()).unwrap_or_else(|| FALLBACK.to_owned())
}

/// The name of the Job of an execution.
pub(crate) fn job_name(base: &str, key: &LaunchKey) -> String {
    let digest = Sha256::digest(format!("{}/{}", key.run, key.claim));
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let character = |place: u32| {
        let letter = usize::try_from(number >> (5 * place) & 31).unwrap_or_default();
        ALPHABET.chars().nth(letter).unwrap_or_default()
    };
    format!("{base}-{}", (0..TELLING).map(character).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;
    use worker_core::ids::{RunId, TransitionId};

    use super::*;

    #[test]
    fn c104_names_come_from_the_manifest_or_the_run() {
        for (metadata, expected) in [
            (json!({"generateName": "My Job_1-"}), "my-job-1"),
            (json!({"generateName": "-"}), "cute-crab"),
            (json!({"generateName": ""}), "cute-crab"),
            (json!({"generateName": "None-"}), "cute-crab"),
            (json!({"generateName": "{{ ctx.flow.name }}-"}), "cute-crab"),
            (json!({"generateName": "!!!-"}), "cute-crab"),
            (json!({}), "cute-crab"),
            (json!({"name": "Nightly Report", "generateName": "x-"}), "nightly-report"),
            (json!({"name": "", "generateName": "x-"}), "x"),
        ] {
            assert_eq!(base(metadata.as_object().unwrap(), "Cute Crab"), expected, "{metadata}");
        }
        assert_eq!(base(&Map::new(), "!!!"), "prefect-job");
    }

    #[test]
    fn a_job_is_named_by_its_execution() {
        let key =
            |run, claim| LaunchKey { run: RunId(Uuid::from_u128(run)), claim: TransitionId(Uuid::from_u128(claim)) };
        let name = job_name("cute-crab", &key(1, 2));
        assert_eq!(name, job_name("cute-crab", &key(1, 2)));
        assert_ne!(name, job_name("cute-crab", &key(1, 3)));
        assert_ne!(name, job_name("cute-crab", &key(2, 2)));
        let (base, telling) = name.rsplit_once('-').unwrap();
        assert_eq!((base, telling.len()), ("cute-crab", 10));
        assert!(telling.chars().all(|character| ALPHABET.contains(character)), "{telling}");
        assert!(job_name(&slug::name(&"x".repeat(100)), &key(1, 2)).len() <= 63);
    }
}
