//! Scenarios on a real Prefect server, some in one lane because such a server is slow to start. Where times of day or races
//! matter it is on PostgreSQL: with SQLite it may be blocked by its own writers for a minute at a time.

use worker_tests::harness::{Lab, PrefectServer};
use worker_tests::lane;

use crate::{
    bad_input, cancellation, docker, faults, kubernetes, lifecycle, pick_up, polling, process, sdk, submission, warm,
};

#[tokio::test]
async fn polling_and_slots() {
    let server = PrefectServer::on_postgres().await;
    let lab = &Lab::on_server(server.rest.api_url());
    lane!(
        lab,
        [
            polling::c042_a_missing_queue_is_an_empty_answer,
            polling::c043_only_the_named_queues_are_polled,
            polling::c044_priority_beats_lateness,
            polling::c046_the_limit_holds_and_a_free_slot_is_used,
            polling::c047_a_slot_is_freed_however_the_submission_ends,
            polling::c049_a_future_run_is_taken_early_and_starts_on_time,
            polling::a_future_run_beyond_the_prefetch_window_is_left_alone,
            polling::c050_nothing_is_started_from_a_paused_pool_or_queue,
            polling::c055_of_two_workers_exactly_one_starts_a_run,
            pick_up::a_created_run_is_taken_without_waiting_for_the_interval,
            pick_up::a_run_that_is_due_later_is_taken_when_it_is_due,
            polling::a_queue_limit_of_the_server_is_kept,
            polling::a_daemon_serves_several_pools,
            polling::a_broken_pool_does_not_stop_another,
        ]
    );
}

#[tokio::test]
async fn runs() {
    let server = PrefectServer::start().await;
    let lab = &Lab::on_server(server.rest.api_url());
    lane!(
        lab,
        [
            submission::c052_a_rejected_claim_starts_nothing_and_leaves_the_state_alone,
            submission::c056_a_run_whose_deployment_is_gone_is_cancelled,
            submission::c057_a_deleted_run_does_no_harm,
            submission::c058_submitting_is_announced_before_the_launch,
            submission::c059_a_run_is_labelled_with_worker_and_pool,
            submission::c060_the_pid_of_the_command_is_stored,
            submission::c061_a_run_that_cannot_be_started_is_crashed_with_the_reason,
            submission::c062_an_error_exit_crashes_the_run_with_code_explanation_and_hint,
            submission::c063_a_run_that_has_ended_is_not_overwritten,
            submission::c064_submitted_and_executed_events_say_all_they_concern,
            submission::a_bad_configuration_crashes_its_run_only,
            submission::the_worker_reports_for_a_command_that_cannot,
            process::c084_a_killed_or_exited_process_crashes_its_run_with_the_code,
            process::an_ended_run_leaves_no_process_and_no_directory,
            cancellation::c085_a_cancelled_run_is_terminated_then_killed_and_reported,
            cancellation::a_pending_run_with_a_process_is_killed_and_cancelled,
            cancellation::a_scheduled_run_that_is_cancelled_is_never_started,
            cancellation::cancelling_one_run_leaves_the_others_alone,
            cancellation::c123_a_resumed_run_is_submitted_like_a_new_one,
        ]
    );
}

#[tokio::test]
async fn lifecycle_and_bad_input() {
    let server = PrefectServer::on_postgres().await;
    let lab = &Lab::on_server(server.rest.api_url());
    lane!(
        lab,
        [
            lifecycle::c014_a_missing_pool_is_created_with_type_and_template,
            lifecycle::a_missing_pool_is_created_with_the_template_that_was_given,
            lifecycle::c017_an_empty_template_is_filled_and_another_is_left_alone,
            lifecycle::c018_a_pool_of_another_type_is_warned_about_and_served,
            lifecycle::c036_started_and_stopped_events_name_worker_and_pool,
            bad_input::odd_names_of_pools_are_served,
            bad_input::a_broken_template_crashes_its_runs_until_it_is_mended,
            bad_input::oversized_values_do_no_harm,
            process::the_environment_of_a_run_names_it_and_the_api,
            process::output_is_copied_unless_it_is_not_wanted,
        ]
    );
}

#[tokio::test]
async fn misbehaviour_is_ridden_out() {
    faults::misbehaviour(&PrefectServer::on_postgres().await).await;
}

#[tokio::test]
async fn flows_of_the_sdk() {
    sdk::flows(&PrefectServer::start().await).await;
}

#[tokio::test]
async fn warm_flows_of_the_sdk() {
    sdk::warm_flows(&PrefectServer::on_postgres().await).await;
}

#[tokio::test]
async fn warm_and_cold_starts() {
    let server = PrefectServer::on_postgres().await;
    warm::a_flow_cannot_tell_whether_it_started_warm(&server).await;
    warm::nothing_is_lost_with_a_zygote(&server).await;
}

#[tokio::test]
async fn flows_that_are_stopped() {
    sdk::stopped_flows(&PrefectServer::start().await).await;
}

#[tokio::test]
async fn flows_without_their_worker() {
    let server = PrefectServer::start().await;
    sdk::stubborn_flows(&server).await;
    sdk::a_flow_whose_worker_was_killed_is_cancelled_by_the_next(&server).await;
}

#[tokio::test]
async fn many_flows_at_once() {
    sdk::many_flows_at_once(&PrefectServer::on_postgres().await).await;
}

#[tokio::test]
async fn flows_in_containers() {
    docker::flows_in_containers(&PrefectServer::start().await).await;
}

#[tokio::test]
async fn flows_in_pods() {
    kubernetes::flows_in_pods(&PrefectServer::start().await).await;
}
