//! How long a run of this kind counts for the limit of its pool.

use central_api_wire::state::StateType;

use super::Bed;

#[tokio::test]
async fn a_slot_is_held_until_the_end_unless_it_is_given_back_at_the_launch() {
    for hold in ["until_end", "until_submitted"] {
        let bed = Bed::new().await;
        let first = bed.command(&bed.marks.held_command(0)).await;
        let _daemon = bed.daemon().args(["--limit", "1"]).env("WORKER_KUBERNETES_HOLD_SLOTS", hold).started().await;
        bed.marks.count(1).await;
        bed.it.lab.reaches(first, StateType::Running).await;
        let second = bed.command(&bed.marks.held_command(0)).await;
        if hold == "until_submitted" {
            bed.marks.count(2).await;
            bed.it.lab.reaches(second, StateType::Running).await;
        } else {
            bed.it.polls(&bed.pool.name, 3).await;
            assert_eq!(bed.it.lab.history(second).await, ["Scheduled"], "{hold}");
        }
        assert_eq!(bed.jobs_of(first).await.len(), 1, "{hold}");
        bed.marks.release();
        bed.it.lab.reaches(first, StateType::Completed).await;
        bed.it.lab.reaches(second, StateType::Completed).await;
        // Neither a crash nor what cannot be launched keeps a slot.
        let crashed = bed.engine("/none/such").await;
        bed.it.lab.reaches(crashed, StateType::Crashed).await;
        let last = bed.command(&bed.marks.command("last")).await;
        bed.it.lab.reaches(last, StateType::Completed).await;
        // A cluster that is busy may start a container twice; each run has one Job all the same.
        let mut made = bed.marks.made();
        made.dedup();
        assert_eq!(made, ["started", "last"], "{hold}");
    }
}
