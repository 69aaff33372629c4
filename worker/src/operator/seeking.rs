//! Finding the one run that a command means, among the runs of several daemons.
//!
//! Each daemon knows its own only: what is the one match there may be one of several for whoever asks all of them.

use worker_core::ids::RunId;

use super::answers::{Cancelled, RunNamed, RunSeen, Why};
use super::asking::{AskError, Line};
use super::picking::{Picked, pick};
use crate::run::ErrorChain;

/// Asks who knows most about a run.
///
/// # Errors
/// Nobody knows it, or it may be one of several. The text is for people.
pub async fn why(lines: &[Line], wanted: &str) -> Result<Why, String> {
    let named = RunNamed { run: wanted.to_owned() };
    let asked = futures::future::join_all(lines.iter().map(|line| line.post::<Why>("/why", &named))).await;
    best(wanted, asked)
}

/// Cancels a run, by whoever executes it.
///
/// # Errors
/// It is not known, may be one of several, or nobody could be asked. The text is for people.
pub async fn cancel(lines: &[Line], wanted: &str) -> Result<Cancelled, String> {
    let asked = futures::future::join_all(lines.iter().map(|line| line.get::<Vec<RunSeen>>("/runs"))).await;
    let (run, place) = addressed(wanted, asked)?;
    let line = lines.get(place).ok_or("no worker answers")?;
    // It may be over by now, which the API knows then.
    let named = RunNamed { run: run.to_string() };
    line.post("/cancel", &named).await.map_err(|error| said(&error))
}

/// The run, and the place of the daemon that is told to cancel it. Only a whole id means a run that nobody here executes, and
/// only that is exact enough while somebody does not say what he executes.
fn addressed(wanted: &str, asked: Vec<Result<Vec<RunSeen>, AskError>>) -> Result<(RunId, usize), String> {
    let (mut live, mut silent) = (Vec::new(), None);
    for (place, answer) in asked.into_iter().enumerate() {
        match answer {
            Ok(runs) => live.extend(runs.into_iter().map(|run| (run, place))),
            Err(error) => silent = Some(said(&error)),
        }
    }
    let whole = wanted.parse::<RunId>().ok();
    let picked = pick(&written_out(wanted, whole), live.iter().map(|(run, _)| (run.id, run.name.clone())));
    let run = match (picked, silent) {
        (Picked::Several(text), _) => return Err(text),
        (Picked::One(run), None) => run,
        (Picked::One(run), Some(_)) if whole == Some(run) => run,
        (_, Some(why)) => {
            return Err(format!("{why}. It may execute a run that is meant as well, so nothing was cancelled"));
        }
        (Picked::None, None) => whole.ok_or_else(|| {
            format!(
                "no run that is executed here begins with '{wanted}'. With its whole id it is cancelled wherever it is."
            )
        })?,
    };
    // What nobody here executes is cancelled at the API, by whichever.
    let place = live.iter().find(|(seen, _)| seen.id == run).map_or(0, |(_, place)| *place);
    Ok((run, place))
}

/// The best of what was told, if all were told about the same run.
fn best(wanted: &str, asked: Vec<Result<Why, AskError>>) -> Result<Why, String> {
    let whole = wanted.parse::<RunId>().ok();
    let (mut known, mut unknown, mut silent) = (Vec::new(), String::new(), None);
    for answer in asked {
        match answer {
            Ok(why) => known.push(why),
            Err(AskError::Refused { is_unknown: true, text }) => unknown = text,
            // It knows several.
            Err(AskError::Refused { text, .. }) if whole.is_none() => return Err(text),
            Err(error) => silent = Some(said(&error)),
        }
    }
    if known.windows(2).any(|two| matches!(two, [one, other] if one.id != other.id)) {
        match pick(&written_out(wanted, whole), known.iter().map(|why| (why.id, why.name.clone()))) {
            Picked::One(run) => known.retain(|why| why.id == run),
            Picked::Several(text) => return Err(text),
            Picked::None => return Err(format!("several runs begin with '{wanted}'")),
        }
    }
    // Whoever executes it knows most, then who did, then who might.
    known.sort_by_key(|why| (why.live.is_none(), why.notes.is_empty(), !why.pool_is_served));
    known.into_iter().next().ok_or_else(|| silent.unwrap_or(unknown))
}

/// An id may be written in several ways, of which the daemons show one.
fn written_out(wanted: &str, whole: Option<RunId>) -> String {
    whole.map_or_else(|| wanted.to_owned(), |run| run.to_string())
}

fn said(error: &AskError) -> String {
    ErrorChain(error).to_string()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::live_runs::Stage;

    fn id(number: u128) -> RunId {
        RunId(Uuid::from_u128(number << 96))
    }

    fn run(number: u128, name: &str) -> RunSeen {
        RunSeen {
            daemon: String::new(),
            id: id(number),
            name: name.to_owned(),
            pool: "p".to_owned(),
            workspace: None,
            stage: Stage::Running,
            since: Timestamp::UNIX_EPOCH,
            infrastructure: None,
            adopted: false,
        }
    }

    fn silent<T>() -> Result<T, AskError> {
        Err(AskError::Silent { daemon: "daemon-2".to_owned() })
    }

    fn runs() -> Vec<Result<Vec<RunSeen>, AskError>> {
        vec![
            Ok(vec![run(0xaaaa_0001, "calm-fox")]),
            Ok(vec![run(0xaaaa_0002, "wild-owl"), run(0xbbbb_0001, "calm-owl")]),
        ]
    }

    #[test]
    fn one_match_at_each_of_two_daemons_is_none() {
        for wanted in ["aaaa", "calm"] {
            let text = addressed(wanted, runs()).unwrap_err();
            assert!(text.contains("several runs") && text.contains("calm-fox"), "{text}");
        }
        assert_eq!(addressed("wild", runs()), Ok((id(0xaaaa_0002), 1)));
        assert!(addressed("cccc", runs()).unwrap_err().contains("begins with 'cccc'"));
    }

    #[test]
    fn while_a_daemon_is_silent_only_a_whole_id_is_exact() {
        let asked = || vec![Ok(vec![run(0xaaaa_0001, "calm-fox")]), silent()];
        assert!(addressed("calm-fox", asked()).unwrap_err().contains("daemon-2 does not answer"));
        let whole = id(0xaaaa_0001).to_string().to_uppercase();
        assert_eq!(addressed(&whole, asked()), Ok((id(0xaaaa_0001), 0)));
        assert!(addressed(&id(0xaaaa_0002).to_string(), asked()).is_err(), "the silent one may execute it");
        assert_eq!(addressed(&id(7).to_string(), runs()), Ok((id(7), 0)), "the API may know it");
    }

    fn why(number: u128, name: &str, is_live: bool) -> Why {
        Why {
            daemon: String::new(),
            id: id(number),
            name: name.to_owned(),
            pool: None,
            workspace: None,
            pool_is_served: false,
            live: is_live.then(|| run(number, name)),
            notes: Vec::new(),
            dropped: 0,
            visible: Vec::new(),
        }
    }

    #[test]
    fn a_story_is_told_if_all_mean_the_same_run_and_by_who_executes_it() {
        let told = best("calm", vec![Ok(why(1, "calm-fox", false)), Ok(why(1, "calm-fox", true)), silent()]).unwrap();
        assert!(told.live.is_some());
        let text = best("calm", vec![Ok(why(1, "calm-fox", true)), Ok(why(2, "calm-owl", false))]).unwrap_err();
        assert!(text.contains("several runs begin with 'calm'"), "{text}");
        let exact = best("calm", vec![Ok(why(1, "calm", false)), Ok(why(2, "calm-owl", true))]).unwrap();
        assert_eq!(exact.id, id(1));
    }

    #[test]
    fn a_daemon_that_knows_several_is_heard() {
        let refused = Err(AskError::Refused { is_unknown: false, text: "several".to_owned() });
        assert_eq!(best("calm", vec![Ok(why(1, "calm-fox", true)), refused]).unwrap_err(), "several");
    }
}
