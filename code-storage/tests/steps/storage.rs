//! Code from storage: a directory of this machine stands for every kind, each of which has tests of its own.

use serde_json::{Value, json};

use super::bed::{Bed, step, told};

fn pull_with(name: &str) -> Value {
    step("pull_with_block", json!({"id": "code", "block_document_name": name, "block_type_slug": "local-file-system"}))
}

#[tokio::test]
async fn a_block_is_pulled_to_a_directory_of_its_name_in_place_of_what_was_there() {
    let mut bed = Bed::new();
    let stored = bed.run_directory("stored");
    fs_err::create_dir(stored.join("lib")).unwrap();
    fs_err::write(stored.join("lib/code.py"), "code").unwrap();
    bed.blocks.insert("local-file-system/flows".to_owned(), json!({"basepath": stored}));
    let run = bed.run_directory("run/local-file-system-flows");
    fs_err::write(run.join("old.py"), "old").unwrap();
    let run = bed.root.join("run");
    let steps = json!([
        pull_with("flows"),
        step("run_shell_script", json!({"script": "record {{ code.directory }} {{ directory }}"})),
        step("set_working_directory", json!({"directory": "{{ code.directory }}/lib"})),
    ]);
    let pulled = bed.pull(&run, &steps).await.unwrap();
    let there = run.join("local-file-system-flows");
    assert_eq!(fs_err::read_to_string(there.join("lib/code.py")).unwrap(), "code");
    assert!(!there.join("old.py").exists());
    assert_eq!(
        fs_err::read_to_string(run.join("args")).unwrap(),
        "<local-file-system-flows><local-file-system-flows>\n"
    );
    assert_eq!(pulled.code.directory, there.join("lib"));
    let [checkout] = pulled.checkouts.as_slice() else { panic!("{pulled:?}") };
    assert_eq!((&checkout.root, checkout.source.as_str()), (&there, stored.as_str()));
    assert!(!checkout.revision.is_empty() && checkout.without_network);
    fs_err::write(stored.join("lib/code.py"), "other").unwrap();
    let again = bed.pull(&run, &steps).await.unwrap();
    assert_ne!(again.checkouts[0].revision, checkout.revision);
}

#[tokio::test]
async fn a_directory_that_only_the_sdk_copies_is_left_to_it() {
    let mut bed = Bed::new();
    let stored = bed.run_directory("stored");
    fs_err::write(stored.join(".prefectignore"), "*.pyc").unwrap();
    bed.blocks.insert("local-file-system/flows".to_owned(), json!({"basepath": stored}));
    let run = bed.run_directory("run");
    let failure = bed.pull(&run, &json!([pull_with("flows")])).await.unwrap_err();
    assert!(failure.is_left_to_engine(), "{}", told(&failure));
    bed.blocks.insert("local-file-system/flows".to_owned(), json!({"basepath": bed.root.join("nowhere")}));
    let failure = bed.pull(&run, &json!([pull_with("flows")])).await.unwrap_err();
    assert!(!failure.is_left_to_engine());
    assert!(told(&failure).contains("nowhere"), "{}", told(&failure));
}
