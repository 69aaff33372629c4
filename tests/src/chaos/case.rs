//! A run of a round: what it does, what was done to it, and what must be true of it in the end. Pure.

use central_api_wire::state::{State, StateType};
use worker_core::ids::{DeploymentId, RunId};

use super::job::Job;
use super::plan::Place;
use super::record::{Mark, Moment};

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) run: RunId,
    pub(super) deployment: DeploymentId,
    pub(super) job: Job,
    pub(super) place: Place,
    pub(super) suffered: Suffered,
}

/// What was done to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Suffered {
    /// A user cancelled it.
    pub(super) cancelled: bool,
    /// A user deleted it.
    pub(super) deleted: bool,
    /// A user deleted its deployment.
    pub(super) deployment_deleted: bool,
    /// A user deleted its queue or its pool, so that nobody is offered it any more.
    pub(super) place_deleted: bool,
    /// Its process was killed from outside.
    pub(super) command_killed: bool,
    /// Its supervisor was killed, and with it went the knowledge of its exit code.
    pub(super) supervisor_killed: bool,
}

impl Case {
    /// Whether nothing more is to happen to it. `None`: the API does not know it.
    pub(super) fn is_settled(&self, state: Option<&StateType>) -> bool {
        state.is_none_or(|state| state.is_terminal() || (self.suffered.place_deleted && *state == StateType::Scheduled))
    }

    /// What is wrong with it in the end. `history`: its states, oldest first, or `None` if the API does not know it.
    pub(super) fn violations(&self, history: Option<&[State]>, marks: &[Mark]) -> Vec<String> {
        let made = |what| marks.iter().filter(|mark| mark.run == self.run && mark.what == what).count();
        let (starts, stops) = (made(Moment::Start), made(Moment::Stop));
        let mut wrong = Vec::new();
        if starts > 1 {
            wrong.push(format!("it was executed {starts} times"));
        }
        match history {
            None if self.suffered.deleted || self.suffered.deployment_deleted => {}
            None => wrong.push("the API does not know it any more".to_owned()),
            Some(history) => wrong.extend(self.wrong_states(history, starts, stops)),
        }
        let names = || history.unwrap_or_default().iter().map(State::name).collect::<Vec<_>>().join(" > ");
        let about = |what| format!("run {} ({:?}, {:?}): {what} [{}]", self.run, self.job, self.suffered, names());
        wrong.into_iter().map(about).collect()
    }

    fn wrong_states(&self, history: &[State], starts: usize, stops: usize) -> Vec<String> {
        let was = |state_type: StateType| history.iter().filter(|state| state.state_type == state_type).count();
        let Some(last) = history.last().map(|state| &state.state_type) else {
            return vec!["it has no state".to_owned()];
        };
        if !last.is_terminal() {
            let waits_for_ever = self.suffered.place_deleted && *last == StateType::Scheduled && starts == 0;
            return if waits_for_ever { Vec::new() } else { vec![format!("it was left {last}")] };
        }
        let mut wrong = Vec::new();
        // A claim that lands after the end is accepted by the API; the worker then puts back the end that it found.
        let put_back = |three: &&[State]| match three {
            [end, claim, again] => {
                end.state_type.is_terminal()
                    && claim.state_type == StateType::Pending
                    && again.state_type == end.state_type
                    && again.name == end.name
            }
            _ => false,
        };
        let ends = history.iter().filter(|state| state.state_type.is_terminal()).count();
        if ends > 1 + history.windows(3).filter(put_back).count() {
            wrong.push("it ended more than once".to_owned());
        }
        let cancelled = was(StateType::Cancelling) + was(StateType::Cancelled) > 0;
        if cancelled {
            if *last != StateType::Cancelled {
                wrong.push(format!("it was cancelled and is {last}"));
            }
            if !self.suffered.cancelled && !self.suffered.deployment_deleted {
                wrong.push("nobody has asked for its cancellation".to_owned());
            }
            return wrong;
        }
        // A supervisor may be killed before it has started the command.
        if starts == 0 && !(self.suffered.supervisor_killed && *last == StateType::Crashed) {
            wrong.push("it was never executed".to_owned());
        }
        if *last == StateType::Completed && stops == 0 {
            wrong.push("it is said to be complete and did not reach its end".to_owned());
        }
        if !self.may_end_as(last) {
            wrong.push(format!("it is {last}"));
        }
        wrong
    }

    fn may_end_as(&self, state: &StateType) -> bool {
        let interfered = self.suffered.command_killed || self.suffered.supervisor_killed;
        self.job.end().as_ref() == Some(state) || (interfered && *state == StateType::Crashed)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn case(job: Job) -> Case {
        let (run, deployment) = (RunId(Uuid::nil()), DeploymentId(Uuid::nil()));
        Case { run, deployment, job, place: Place::Main, suffered: Suffered::default() }
    }

    fn states(types: &[StateType]) -> Vec<State> {
        types.iter().cloned().map(State::of_type).collect()
    }

    fn marks(of: &[Moment]) -> Vec<Mark> {
        of.iter().map(|what| Mark { what: *what, run: RunId(Uuid::nil()), pid: 1, key: "k".to_owned() }).collect()
    }

    use Moment::{Start, Stop};
    use StateType::{Cancelled, Cancelling, Completed, Crashed, Failed, Pending, Running, Scheduled};

    #[test]
    fn an_undisturbed_run_is_executed_once_and_ends_as_its_job_does() {
        let case = case(Job::Succeeds);
        let right = states(&[Scheduled, Pending, Running, Completed]);
        assert_eq!(case.violations(Some(&right), &marks(&[Start, Stop])), Vec::<String>::new());
        for (history, made) in [
            (right.clone(), marks(&[Start, Stop, Start, Stop])),
            (right.clone(), marks(&[Start])),
            (right, marks(&[])),
            (states(&[Scheduled, Pending]), marks(&[])),
            (states(&[Scheduled]), marks(&[])),
            (states(&[Scheduled, Pending, Running, Crashed]), marks(&[Start, Stop])),
            (states(&[Scheduled, Pending, Running, Failed, Completed]), marks(&[Start, Stop])),
            (states(&[Scheduled, Pending, Running, Cancelled]), marks(&[Start])),
        ] {
            assert_ne!(case.violations(Some(&history), &made), Vec::<String>::new(), "{history:?} {made:?}");
        }
        assert_ne!(case.violations(None, &marks(&[Start, Stop])), Vec::<String>::new());
    }

    #[test]
    fn a_cancelled_run_is_executed_at_most_once_and_is_cancelled_once() {
        let mut case = case(Job::IgnoresSigterm);
        case.suffered.cancelled = true;
        for made in [marks(&[]), marks(&[Start])] {
            let history = states(&[Scheduled, Pending, Running, Cancelling, Cancelled]);
            assert_eq!(case.violations(Some(&history), &made), Vec::<String>::new());
        }
        for last in [vec![Cancelling], vec![Cancelling, Crashed], vec![Cancelling, Cancelled, Cancelled]] {
            let history = states(&[&[Scheduled, Pending, Running], &last[..]].concat());
            assert_ne!(case.violations(Some(&history), &marks(&[Start])), Vec::<String>::new(), "{history:?}");
        }
    }

    #[test]
    fn what_was_done_to_a_run_excuses_what_follows_from_it() {
        let mut killed = case(Job::Succeeds);
        let crashed = states(&[Scheduled, Pending, Running, Crashed]);
        killed.suffered.supervisor_killed = true;
        assert_eq!(killed.violations(Some(&crashed), &marks(&[Start, Stop])), Vec::<String>::new());
        let mut forlorn = case(Job::Succeeds);
        forlorn.suffered.place_deleted = true;
        assert!(forlorn.is_settled(Some(&Scheduled)) && !forlorn.is_settled(Some(&Pending)));
        assert_eq!(forlorn.violations(Some(&states(&[Scheduled])), &[]), Vec::<String>::new());
        assert_ne!(forlorn.violations(Some(&states(&[Scheduled])), &marks(&[Start])), Vec::<String>::new());
        let mut deleted = case(Job::Succeeds);
        deleted.suffered.deleted = true;
        assert_eq!(deleted.violations(None, &marks(&[Start])), Vec::<String>::new());
    }
}
