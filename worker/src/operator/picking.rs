//! Which run is meant by what an operator typed.

use std::collections::BTreeMap;

use worker_core::ids::RunId;

/// So many are named to somebody who has to be more exact.
const NAMED: usize = 5;

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Picked {
    /// This run.
    One(RunId),
    /// None that is known.
    None,
    /// One of several; the text says so and names some.
    Several(String),
}

/// Picks by id, name, or the beginning of either. What is exact comes before what only begins so.
pub(super) fn pick(wanted: &str, known: impl IntoIterator<Item = (RunId, String)>) -> Picked {
    // Everything begins with nothing.
    if wanted.is_empty() {
        return Picked::None;
    }
    let known: BTreeMap<String, (RunId, String)> =
        known.into_iter().map(|(run, name)| (run.to_string(), (run, name))).collect();
    let lower = wanted.to_ascii_lowercase();
    let select = |wanted: &dyn Fn(&str, &str) -> bool| {
        known.iter().filter(|(id, (_, name))| wanted(id, name)).map(|(_, run)| run).collect::<Vec<_>>()
    };
    let exact = select(&|id, name| id == lower || name == wanted);
    let found =
        if exact.is_empty() { select(&|id, name| id.starts_with(&lower) || name.starts_with(wanted)) } else { exact };
    match found.as_slice() {
        [] => Picked::None,
        [(run, _)] => Picked::One(*run),
        several => {
            let mut named: Vec<_> = several.iter().take(NAMED).map(|(run, name)| format!("{run} ({name})")).collect();
            if several.len() > NAMED {
                named.push(format!("{} more", several.len() - NAMED));
            }
            Picked::Several(format!("several runs begin with '{wanted}': {}", named.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn known() -> Vec<(RunId, String)> {
        let run = |id: u128, name: &str| (RunId(Uuid::from_u128(id << 96)), name.to_owned());
        vec![run(0xaaaa_0001, "calm-fox"), run(0xaaaa_0002, "calm-fox-2"), run(0xbbbb_0001, "wild-owl")]
    }

    fn picked(wanted: &str) -> Picked {
        pick(wanted, known())
    }

    #[test]
    fn a_beginning_is_enough_where_only_one_run_begins_so() {
        let owl = Picked::One(known()[2].0);
        for wanted in ["bbbb", "BBBB0001-", "wild", "wild-owl"] {
            assert_eq!(picked(wanted), owl, "{wanted}");
        }
        assert_eq!(picked("cccc"), Picked::None);
    }

    #[test]
    fn an_exact_name_is_meant_even_if_others_begin_with_it() {
        assert_eq!(picked("calm-fox"), Picked::One(known()[0].0));
    }

    #[test]
    fn nothing_means_no_run_even_if_there_is_only_one() {
        assert_eq!(pick("", known().into_iter().take(1)), Picked::None);
    }

    #[test]
    fn several_are_named() {
        let Picked::Several(text) = picked("aaaa") else { panic!("one was picked") };
        assert!(text.contains("calm-fox-2") && text.contains("(calm-fox)"), "{text}");
    }
}
