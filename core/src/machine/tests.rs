use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::exit::{Conclusion, Exit};
use crate::handle::PluginKind;
use crate::ids::{InfraId, RunId, TransitionId};

fn key() -> LaunchKey {
    LaunchKey { run: RunId(Uuid::nil()), claim: TransitionId(Uuid::nil()) }
}

fn handle() -> Handle {
    Handle {
        cancels_itself: false,
        kind: PluginKind::new("scripted"),
        version: 1,
        key: key(),
        infra_id: InfraId("i1".to_owned()),
        report_state: ReportState::Engine,
        detail: crate::handle::Detail::default(),
    }
}

fn at(phase: Phase) -> Run {
    Run { phase, ..Run::offered(key()) }
}

fn exited(exit: Exit) -> Input {
    Input::Exited(ExitReport::bare(exit))
}

fn concluded(exit: Exit, conclusion: Conclusion) -> ExitReport {
    ExitReport { concluded: Some(conclusion), ..ExitReport::bare(exit) }
}

fn reported(state_type: &str) -> Conclusion {
    Conclusion::StateReported { state_id: None, state_type: Some(state_type.to_owned()) }
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Claimed),
        Just(Input::Refused),
        Just(Input::FoundCancelled),
        Just(Input::Prepared(ReportState::Engine)),
        Just(Input::Prepared(ReportState::Worker)),
        Just(Input::Announced),
        Just(Input::SubmitFailed("why".to_owned())),
        Just(Input::PolicyRefused("why".to_owned())),
        Just(Input::Launched(handle())),
        Just(Input::LaunchUnclear("no answer".to_owned())),
        Just(Input::Located(None)),
        Just(Input::Located(Some(handle()))),
        Just(Input::FoundRunning),
        Just(exited(Exit::Code(0))),
        Just(exited(Exit::Code(1))),
        Just(exited(Exit::Signal(9))),
        Just(Input::Gone),
        Just(Input::Killed),
        Just(Input::KillUnsupported),
        Just(Input::Stop(StopReason::Cancelled)),
        Just(Input::Stop(StopReason::Shutdown)),
        Just(Input::Stop(StopReason::Unobserved)),
        Just(Input::Stop(StopReason::Over)),
        Just(Input::StopNow),
        Just(Input::Withdraw),
        Just(Input::Detach),
        Just(Input::ReportSettled),
        Just(Input::CleanedUp),
    ]
}

/// What a test has seen of the effects so far.
#[derive(Default)]
struct Seen {
    launches: u32,
    reports: u32,
    forgets: u32,
    owned: bool,
}

impl Seen {
    fn note(&mut self, effects: &[Effect]) -> Result<(), TestCaseError> {
        let mut persisted = false;
        for effect in effects {
            match effect {
                Effect::Persist => persisted = true,
                Effect::Launch => {
                    self.launches += 1;
                    prop_assert!(persisted, "launched before the intent was on disk");
                }
                Effect::Report(_) => {
                    self.reports += 1;
                    prop_assert!(persisted, "reported before the outcome was on disk");
                }
                Effect::Cleanup(_) => self.owned = false,
                Effect::Forget => {
                    self.forgets += 1;
                    prop_assert!(!self.owned, "forgot a run whose infrastructure was not cleaned up");
                }
                Effect::Claim
                | Effect::PersistSoon
                | Effect::Recall
                | Effect::Prepare
                | Effect::Announce
                | Effect::Find
                | Effect::Reattach(_)
                | Effect::RecordInfra(_)
                | Effect::ReportRunning
                | Effect::Watch(_)
                | Effect::Kill { .. }
                | Effect::Leave => {}
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_launched_reported_or_forgotten_twice(inputs in proptest::collection::vec(any_input(), 0..40)) {
        let mut run = Run::offered(key());
        let mut seen = Seen::default();
        for input in inputs {
            let brings = matches!(input, Input::Launched(_) | Input::Located(Some(_)));
            if brings && run.phase == Phase::Launching {
                seen.owned = true;
            }
            let (next, effects) = run.step(input);
            run = next;
            seen.note(&effects)?;
            prop_assert!(seen.launches <= 1 && seen.reports <= 1 && seen.forgets <= 1);
            prop_assert_eq!(run.phase == Phase::Done, seen.forgets == 1);
        }
    }

    #[test]
    fn a_second_stop_never_changes_anything(inputs in proptest::collection::vec(any_input(), 0..20)) {
        let mut run = Run::offered(key());
        for input in inputs {
            run = run.step(input).0;
        }
        let (once, _) = run.step(Input::Stop(StopReason::Cancelled));
        let (twice, effects) = once.clone().step(Input::Stop(StopReason::Cancelled));
        prop_assert_eq!(once, twice);
        prop_assert!(effects.is_empty(), "{:?}", effects);
    }

    #[test]
    fn every_state_can_be_written_and_resumed(inputs in proptest::collection::vec(any_input(), 0..20)) {
        let mut run = Run::offered(key());
        for input in inputs {
            run = run.step(input).0;
        }
        let read: Run = serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap();
        prop_assert_eq!(&read, &run);
        prop_assert!(!read.resume().is_empty());
    }
}

#[test]
fn a_run_that_goes_well_takes_the_whole_way() {
    let mut run = Run::offered(key());
    let mut names = Vec::new();
    for input in [
        Input::Claimed,
        Input::Prepared(ReportState::Engine),
        Input::Announced,
        Input::Launched(handle()),
        exited(Exit::Code(0)),
        Input::ReportSettled,
        Input::CleanedUp,
    ] {
        let (next, effects) = run.step(input);
        run = next;
        names.extend(effects);
    }
    assert_eq!(
        names,
        [
            Effect::PersistSoon,
            Effect::Prepare,
            Effect::Announce,
            Effect::Persist,
            Effect::Launch,
            Effect::PersistSoon,
            Effect::RecordInfra(handle()),
            Effect::Watch(handle()),
            Effect::Persist,
            Effect::Report(Outcome::Settled(Exit::Code(0))),
            Effect::PersistSoon,
            Effect::Cleanup(handle()),
            Effect::Forget,
        ]
    );
}

#[test]
fn a_cancel_during_launch_kills_what_the_launch_made() {
    let (run, effects) = at(Phase::Launching).step(Input::Stop(StopReason::Cancelled));
    assert!(effects.is_empty(), "reporting now would leave what the launch makes");
    let (run, effects) = run.step(Input::Launched(handle()));
    assert_eq!(run.phase, Phase::Stopping(handle()));
    assert_eq!(effects.last(), Some(&Effect::Kill { handle: handle(), intent: KillIntent::Cancel }));
}

#[test]
fn a_shutdown_before_the_launch_gives_the_run_back() {
    for phase in [Phase::Preparing, Phase::Announcing] {
        let (_, effects) = at(phase).step(Input::Stop(StopReason::Shutdown));
        assert_eq!(effects, [Effect::Persist, Effect::Report(Outcome::Released)]);
    }
    let (claiming, _) = at(Phase::Claiming).step(Input::Stop(StopReason::Shutdown));
    assert_eq!(claiming.clone().step(Input::Refused).1, [Effect::Forget]);
    assert_eq!(claiming.step(Input::Claimed).1, [Effect::Persist, Effect::Report(Outcome::Released)]);
}

#[test]
fn a_lost_launch_answer_is_looked_up_and_never_launched_again() {
    let (run, effects) = at(Phase::Launching).step(Input::LaunchUnclear("busy".to_owned()));
    assert_eq!(effects, [Effect::PersistSoon, Effect::Find]);
    let (found, _) = run.clone().step(Input::Located(Some(handle())));
    assert_eq!(found.phase, Phase::Running(handle()));
    let (lost, _) = run.step(Input::Located(None));
    assert_eq!(lost.phase, Phase::Reporting(Outcome::Crashed(CrashCause::Submit("busy".to_owned())), None));
}

#[test]
fn a_launch_that_the_end_of_the_worker_interrupted_puts_the_run_back() {
    let interrupted = at(Phase::Launching);
    assert_eq!(interrupted.resume(), [Effect::Find]);
    let (run, effects) = interrupted.step(Input::Located(None));
    assert_eq!(run.phase, Phase::Reporting(Outcome::Released, None));
    assert_eq!(effects, [Effect::Persist, Effect::Report(Outcome::Released)]);
}

#[test]
fn a_claim_is_on_disk_before_it_is_made_and_asked_about_after_a_restart() {
    assert_eq!(Run::begin(), [Effect::Persist, Effect::Claim]);
    for phase in [Phase::Claiming, Phase::Preparing] {
        let run = at(phase);
        assert_eq!(run.resume(), [Effect::Recall]);
        let (ours, effects) = run.clone().step(Input::Claimed);
        assert_eq!(ours.phase, Phase::Preparing);
        assert_eq!(effects.last(), Some(&Effect::Prepare));
        assert_eq!(run.clone().step(Input::Refused).1, [Effect::Forget]);
    }
    for phase in [Phase::Claiming, Phase::Preparing] {
        let (cancelled, _) = at(phase.clone()).step(Input::FoundCancelled);
        assert_eq!(cancelled.phase, Phase::Reporting(Outcome::Cancelled(None), None));
        let (lost, _) = at(phase).step(Input::SubmitFailed("its pool is gone".to_owned()));
        assert!(matches!(lost.phase, Phase::Reporting(Outcome::Crashed(_), None)));
    }
}

#[test]
fn a_run_that_the_policy_refuses_is_over_before_anything_is_launched() {
    let (run, effects) = at(Phase::Preparing).step(Input::PolicyRefused("no".to_owned()));
    let outcome = Outcome::Crashed(CrashCause::Policy("no".to_owned()));
    assert_eq!(run.phase, Phase::Reporting(outcome.clone(), None));
    assert_eq!(effects, [Effect::Persist, Effect::Report(outcome)]);
    let (unmoved, effects) = at(Phase::Running(handle())).step(Input::PolicyRefused("no".to_owned()));
    assert_eq!((unmoved.phase, effects), (Phase::Running(handle()), Vec::new()));
}

#[test]
fn a_running_run_that_is_read_back_tells_the_api_again_what_may_not_have_arrived() {
    let engine = at(Phase::Running(handle()));
    assert_eq!(engine.resume(), [Effect::RecordInfra(handle()), Effect::Reattach(handle())]);
    let command = Run { report_state: ReportState::Worker, ..engine };
    assert!(command.resume().contains(&Effect::ReportRunning));
}

#[test]
fn infrastructure_that_outlives_its_run_is_stopped_and_nothing_is_reported() {
    let (stopping, effects) = at(Phase::Running(handle())).step(Input::Stop(StopReason::Over));
    assert_eq!(effects.last(), Some(&Effect::Kill { handle: handle(), intent: KillIntent::Shutdown }));
    let (run, _) = stopping.step(exited(Exit::Signal(15)));
    assert_eq!(run.phase, Phase::Reporting(Outcome::Settled(Exit::Signal(15)), Some(handle())));
}

#[test]
fn the_engine_owns_the_state_only_while_it_can_live() {
    assert_eq!(at(Phase::Launching).owner(), StateOwner::Worker);
    assert_eq!(at(Phase::Running(handle())).owner(), StateOwner::Engine);
    let own = Run { report_state: ReportState::Worker, ..at(Phase::Running(handle())) };
    assert_eq!(own.owner(), StateOwner::Worker);
    let (ended, _) = at(Phase::Running(handle())).step(exited(Exit::Code(3)));
    assert_eq!(ended.owner(), StateOwner::Worker);
}

#[test]
fn exits_are_judged_by_who_reports_and_what_the_engine_concluded() {
    use ReportState::{Engine, Worker};
    let crash = |report: ExitReport| Outcome::Crashed(CrashCause::Exited(report));
    let bare = ExitReport::bare;
    let cases = [
        (bare(Exit::Code(0)), Engine, None, Outcome::Settled(Exit::Code(0))),
        (bare(Exit::Code(1)), Engine, None, crash(bare(Exit::Code(1)))),
        (bare(Exit::Signal(9)), Engine, None, crash(bare(Exit::Signal(9)))),
        (concluded(Exit::Code(1), reported("FAILED")), Engine, None, Outcome::Settled(Exit::Code(1))),
        (bare(Exit::Code(0)), Worker, None, Outcome::Completed),
        (bare(Exit::Code(4)), Worker, None, Outcome::Failed(bare(Exit::Code(4)))),
        (bare(Exit::Signal(11)), Worker, None, crash(bare(Exit::Signal(11)))),
        (bare(Exit::Signal(15)), Engine, Some(StopReason::Cancelled), Outcome::Cancelled(Some(Exit::Signal(15)))),
        (
            concluded(Exit::Code(0), Conclusion::CancelAcknowledged),
            Engine,
            Some(StopReason::Cancelled),
            Outcome::Cancelled(Some(Exit::Code(0))),
        ),
        (
            concluded(Exit::Code(0), reported("COMPLETED")),
            Engine,
            Some(StopReason::Cancelled),
            Outcome::Settled(Exit::Code(0)),
        ),
        (
            concluded(Exit::Signal(15), reported("CRASHED")),
            Engine,
            Some(StopReason::Cancelled),
            Outcome::Cancelled(Some(Exit::Signal(15))),
        ),
        (
            bare(Exit::Signal(15)),
            Engine,
            Some(StopReason::Shutdown),
            Outcome::Crashed(CrashCause::WorkerStopped(Some(bare(Exit::Signal(15))))),
        ),
    ];
    for (report, report_state, stop, expected) in cases {
        assert_eq!(Outcome::of_exit(&report, report_state, stop), expected, "{report:?} {report_state:?} {stop:?}");
    }
}

#[test]
fn a_run_that_this_worker_cannot_kill_is_watched_on() {
    let (stopping, _) = at(Phase::Running(handle())).step(Input::Stop(StopReason::Cancelled));
    let (run, _) = stopping.step(Input::KillUnsupported);
    assert_eq!((&run.phase, run.stop), (&Phase::Running(handle()), None));
    let (run, _) = run.step(exited(Exit::Code(0)));
    assert_eq!(run.phase, Phase::Reporting(Outcome::Settled(Exit::Code(0)), Some(handle())));
}

#[test]
fn a_second_signal_during_the_launch_is_remembered() {
    let (run, _) = at(Phase::Launching).step(Input::Stop(StopReason::Shutdown));
    let (run, effects) = run.step(Input::StopNow);
    assert!(effects.is_empty());
    let (_, effects) = run.step(Input::Launched(handle()));
    assert_eq!(effects.last(), Some(&Effect::Kill { handle: handle(), intent: KillIntent::Force }));
}

#[test]
fn what_was_not_launched_is_given_back_rather_than_left() {
    for leaving in [Input::Detach, Input::Withdraw] {
        let (_, effects) = at(Phase::Preparing).step(leaving);
        assert_eq!(effects, [Effect::Persist, Effect::Report(Outcome::Released)]);
    }
    let running = at(Phase::Running(handle()));
    assert_eq!(running.clone().step(Input::Withdraw), (running, Vec::new()), "it may end by itself");
    let (claiming, _) = at(Phase::Claiming).step(Input::Detach);
    assert_eq!(claiming.step(Input::Claimed).1, [Effect::Persist, Effect::Report(Outcome::Released)]);
}

#[test]
fn a_second_signal_takes_the_grace_away() {
    let (_, effects) = at(Phase::Stopping(handle())).step(Input::StopNow);
    assert_eq!(effects, [Effect::Kill { handle: handle(), intent: KillIntent::Force }]);
}
