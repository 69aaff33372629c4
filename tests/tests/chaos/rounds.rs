//! Rounds of fixed seeds.

use worker_tests::chaos::{Arena, Plan, play};

async fn is_survived(seed: u64) {
    let plan = Plan::seeded(seed);
    play(&Arena::in_memory(seed).await, &plan).await.expect_no_violation(&plan);
}

macro_rules! seeds {
    ($($name:ident: $seed:literal),+ $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            is_survived($seed).await;
        })+
    };
}

seeds![
    round_1: 1,
    round_1010: 1010,
    round_1012: 1012,
    round_1019: 1019,
];
