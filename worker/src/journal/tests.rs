//! The journal on a real disk.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;
use worker_core::handle::{Detail, Handle, PluginKind};
use worker_core::ids::{FlowId, InfraId, LaunchKey, RunId, TransitionId, WorkPoolId};
use worker_core::machine::{Phase, Run};
use worker_core::spec::ReportState;

use super::*;
use crate::timeline::Note;

fn folder() -> (TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    (directory, path)
}

fn key(number: u128) -> LaunchKey {
    LaunchKey { run: RunId(Uuid::from_u128(number)), claim: TransitionId(Uuid::from_u128(number + 1000)) }
}

fn record(number: u128) -> Record {
    let handle = Handle {
        cancels_itself: false,
        kind: PluginKind::new("process"),
        version: 2,
        key: key(number),
        infra_id: InfraId("42".to_owned()),
        report_state: ReportState::Engine,
        detail: Detail::of(&json!({"pid": 42})).unwrap(),
    };
    Record {
        format: FORMAT,
        run: Run { phase: Phase::Running(handle), ..Run::offered(key(number)) },
        facts: Facts {
            name: "calm-fox".to_owned(),
            flow_id: FlowId(Uuid::nil()),
            deployment_id: None,
            due: None,
            pool: "p".to_owned(),
            pool_id: WorkPoolId(Uuid::nil()),
            kind: PluginKind::new("process"),
            worker: "w".to_owned(),
            told: None,
            trace: None,
        },
        timeline: vec![Note { at: "2026-11-21T01:00:00Z".parse().unwrap(), text: "claimed".to_owned() }],
    }
}

fn opened(folder: &Utf8Path) -> Opened {
    open(folder).unwrap_or_else(|error| panic!("{error:?}"))
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.run.key.run);
    records
}

#[tokio::test]
async fn what_was_persisted_is_there_for_the_next_process_and_what_was_forgotten_is_not() {
    let (_kept, folder) = folder();
    let first = opened(&folder);
    assert!(first.records.is_empty() && first.is_complete);
    for number in 0..3 {
        first.journal.persist(&record(number)).await.unwrap();
    }
    first.journal.persist_soon(&record(3));
    first.journal.forget(key(1));
    drop(first);
    let second = opened(&folder);
    assert_eq!(sorted(second.records), [record(0), record(2), record(3)]);
    assert_eq!(sorted(second.journal.records().unwrap()), [record(0), record(2), record(3)]);
    let history = second.journal.history().unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].0, history[0].1.notes[0].text.as_str()), (key(1), "claimed"));
}

#[tokio::test]
async fn a_persisted_record_does_not_need_the_process_to_end_well() {
    let (_kept, folder) = folder();
    let first = opened(&folder);
    first.journal.persist(&record(1)).await.unwrap();
    // The copy is what a process finds that starts after this one was killed.
    let (_copy_kept, copy) = self::folder();
    fs_err::copy(folder.join(FILE), copy.join(FILE)).unwrap();
    assert_eq!(opened(&copy).records, [record(1)]);
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_a_new_one_takes_its_place() {
    let (_kept, folder) = folder();
    for damage in [b"no journal".to_vec(), vec![0; 100_000]] {
        fs_err::write(folder.join(FILE), &damage).unwrap();
        let opened = opened(&folder);
        assert!(opened.records.is_empty());
        assert_eq!(fs_err::read(opened.moved_aside.unwrap()).unwrap(), damage);
        opened.journal.persist(&record(1)).await.unwrap();
        drop(opened.journal);
        fs_err::remove_file(folder.join(FILE)).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_was_damaged_in_the_middle_loses_no_more_than_what_it_told() {
    let (_kept, folder) = folder();
    let first = opened(&folder);
    for number in 0..200 {
        first.journal.persist_soon(&record(number));
    }
    first.journal.persist(&record(200)).await.unwrap();
    drop(first);
    let mut bytes = fs_err::read(folder.join(FILE)).unwrap();
    for byte in bytes.iter_mut().skip(4096) {
        *byte ^= 0x5A;
    }
    fs_err::write(folder.join(FILE), bytes).unwrap();
    let second = opened(&folder);
    assert!(second.moved_aside.is_some());
    second.journal.persist(&record(1)).await.unwrap();
}

#[tokio::test]
async fn a_second_process_cannot_open_it() {
    let (_kept, folder) = folder();
    let _first = opened(&folder);
    let Err(error) = open(&folder) else { panic!("it was opened twice") };
    assert!(matches!(error, JournalError::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn the_daemon_remembers() {
    let (_kept, folder) = folder();
    let first = opened(&folder);
    assert_eq!(first.journal.recall::<bool>("cordoned"), None);
    first.journal.remember("cordoned", &true).await.unwrap();
    drop(first);
    assert_eq!(opened(&folder).journal.recall("cordoned"), Some(true));
}

/// Records of this form are on the disks of users. The next release must read them, whatever it writes itself.
#[test]
fn a_record_of_the_first_form_can_be_read() {
    let text = include_str!("tests/record-1.json");
    let read: Record = serde_json::from_str(text).unwrap();
    assert_eq!(read, record(7));
    let newer = text.replacen('{', r#"{"a_field_of_a_later_release": {"x": 1},"#, 1);
    assert_eq!(serde_json::from_str::<Record>(&newer).unwrap(), record(7));
}

#[test]
fn a_record_holds_no_job_variables() {
    let run = record(1).facts.flow_run(key(1));
    assert_eq!((run.job_variables, run.other.len()), (None, 0));
}
