//! The worker kills itself at each point between two writes of a run, and its successor brings every run to its right end.

use worker_tests::chaos::{Arena, FAILPOINTS, Plan, play};
use worker_tests::harness::workspace_root;

async fn is_survived(point: &'static str) {
    assert!(FAILPOINTS.contains(&point));
    // The first time there is nothing else; the third time other runs are on their way.
    for plan in [Plan::with_failpoint(point, 1), Plan::with_failpoint(point, 3), Plan::with_cancellation_at(point)] {
        let report = play(&Arena::in_memory(0).await, &plan).await;
        report.expect_no_violation(&plan);
        assert_eq!(report.kills, 1);
    }
}

macro_rules! killed_at {
    ($($name:ident: $point:literal),+ $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            is_survived($point).await;
        })+

        #[test]
        fn every_point_has_a_test() {
            assert_eq!([$($point),+], FAILPOINTS);
        }
    };
}

killed_at![
    before_the_claim_is_written: "claim.before-persist",
    before_the_claim_is_proposed: "claim.persisted",
    after_the_claim_was_accepted: "claim.accepted",
    after_the_claim_was_written: "claimed.persisted",
    after_the_preparation: "prepared",
    after_the_announcement: "announced",
    before_the_launch: "launch.persisted",
    after_the_launch: "launch.done",
    after_the_launch_was_written: "launched.persisted",
    before_the_report: "report.persisted",
    after_the_report_was_accepted: "report.accepted",
    before_the_cleanup: "cleanup.persisted",
    after_the_cleanup: "cleaned-up",
    after_the_run_was_forgotten: "forgotten",
];

#[test]
fn the_points_are_those_of_the_worker() {
    let source = fs_err::read_to_string(workspace_root().join("worker/src/failpoint.rs")).unwrap();
    let names = source.split_once("NAMES").and_then(|(_, rest)| rest.split_once("];")).unwrap().0;
    let names: Vec<_> = names.split('"').skip(1).step_by(2).collect();
    assert_eq!(names, FAILPOINTS);
}
