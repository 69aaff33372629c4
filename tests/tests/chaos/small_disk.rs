//! A full disk.

use worker_tests::chaos::{Arena, Plan, play};
use worker_tests::harness::Disk;

#[tokio::test]
async fn a_full_disk_is_survived() {
    assert!(rustix::process::geteuid().is_root(), "only root can make a disk that is small enough to fill");
    let disk = Disk::of_mib(12);
    let plan = Plan::on_small_disk(1);
    let arena = Arena::in_memory(1).await.with_state_in(disk.path());
    play(&arena, &plan).await.expect_no_violation(&plan);
}
