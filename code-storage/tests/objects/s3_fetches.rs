//! Fetches that succeed.

use std::collections::BTreeMap;

use super::server::{Site, files, is_list, listing, names, status};
use code_storage::objects::{ObjectError, ObjectPull, ObjectSource, Placement};
use serde_json::json;

#[tokio::test]
async fn a_folder_comes_without_the_folder_whose_name_starts_alike() {
    let site = Site::new().await;
    site.put("my-folder/flow.py", "flow");
    site.put("my-folder/inner/deep/a b+c%d&ü.txt", "text");
    site.put("my-folder/empty", "");
    site.put("my-folder-2/flow.py", "other");
    site.put("flow.py", "top");
    let tree = site.fetch("my-folder").await.unwrap();
    let expected: BTreeMap<String, Vec<u8>> =
        [("flow.py", "flow"), ("inner/deep/a b+c%d&ü.txt", "text"), ("empty", "")]
            .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
            .into();
    assert_eq!(files(&site.run()), expected);
    assert_eq!((tree.objects, tree.bytes, tree.source.as_str()), (3, 8, "s3://bucket/my-folder/"));
    assert_eq!(tree.root, site.run());
}

#[tokio::test]
async fn an_empty_folder_is_the_whole_bucket() {
    let site = Site::new().await;
    site.put("a/flow.py", "flow");
    site.put("b", "b");
    site.fetch("").await.unwrap();
    assert_eq!(names(&site.run()), ["a/flow.py", "b"]);
}

#[tokio::test]
async fn more_keys_than_fit_into_one_answer_all_come() {
    let site = Site::new().await;
    for number in 0..1200 {
        site.put(&format!("many/{number:04}"), number.to_string());
    }
    let tree = site.fetch("many").await.unwrap();
    assert_eq!(tree.objects, 1200);
    let files = files(&site.run());
    assert_eq!(files.len(), 1200);
    assert_eq!(files["1199"], b"1199");
    assert_eq!(site.requests().iter().filter(|request| request.contains("list-type")).count(), 2);
}

#[tokio::test]
async fn a_large_object_comes_whole() {
    let site = Site::new().await;
    let content: Vec<u8> = (0_u32..10_000_000).flat_map(u32::to_le_bytes).collect();
    site.put("large/file", &content);
    let tree = site.fetch("large").await.unwrap();
    assert_eq!(tree.bytes, 40_000_000);
    assert!(files(&site.run())["file"] == content);
}

#[tokio::test]
async fn the_revision_is_that_of_the_content() {
    let site = Site::new().await;
    site.put("code/flow.py", "one");
    let first = site.fetch("code").await.unwrap().revision;
    assert_eq!(site.fetch("code").await.unwrap().revision, first);
    site.put("code/flow.py", "two");
    assert_ne!(site.fetch("code").await.unwrap().revision, first);
}

#[tokio::test]
async fn files_that_are_there_stay_unless_an_object_has_their_name() {
    let site = Site::new().await;
    site.put("code/flow.py", "new");
    site.put("code/inner/b", "b");
    fs_err::create_dir(site.run().join("inner")).unwrap();
    for (name, text) in [("flow.py", "old"), ("inner/a", "a"), ("data", "data")] {
        fs_err::write(site.run().join(name), text).unwrap();
    }
    site.fetch("code").await.unwrap();
    let files = files(&site.run());
    assert_eq!(files.keys().collect::<Vec<_>>(), ["data", "flow.py", "inner/a", "inner/b"]);
    assert_eq!(files["flow.py"], b"new");
}

#[tokio::test]
async fn what_a_block_replaces_is_gone() {
    let site = Site::new().await;
    site.put("code/flow.py", "new");
    let into = site.run().join("s3-bucket-code");
    let mut pull = ObjectPull::of_s3_step(&site.inputs("code")).unwrap();
    pull.placement = Placement::Replace;
    site.pull(pull.clone(), &into).await.unwrap();
    fs_err::write(into.join("old"), "old").unwrap();
    site.pull(pull, &into).await.unwrap();
    assert_eq!(names(&site.run()), ["s3-bucket-code/flow.py"]);
}

#[tokio::test]
async fn marks_of_folders_are_no_files_and_two_slashes_are_one() {
    let site = Site::behind(|parts, _| {
        is_list(parts).then(|| listing(&["code/", "code/a/", "code/b//c"])).or_else(|| Some(status(200, "content")))
    })
    .await;
    site.fetch("code").await.unwrap();
    assert_eq!(names(&site.run()), ["b/c"]);
    assert!(site.requests().iter().any(|request| request == "GET /bucket/code/b//c"));
}

#[tokio::test]
async fn keys_of_the_environment_are_used_and_so_is_its_endpoint() {
    let mut site = Site::new().await;
    site.put("code/flow.py", "flow");
    let endpoint = site.endpoint();
    site.options.environment = [
        ("AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("AWS_SECRET_ACCESS_KEY", super::server::SECRETS[0]),
        ("AWS_ENDPOINT_URL", &endpoint),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let inputs = json!({"bucket": "bucket", "folder": "code"});
    let pull = ObjectPull::of_s3_step(inputs.as_object().unwrap()).unwrap();
    site.pull(pull, &site.run()).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py"]);
}

#[tokio::test]
async fn a_look_lists_the_folder_and_brings_nothing() {
    let site = Site::new().await;
    site.put("flows/a.py", "a");
    let look = async |folder: &str| {
        let pull = ObjectPull::of_s3_step(&site.inputs(folder)).unwrap();
        ObjectSource::new(pull, site.options.clone()).look().await
    };
    assert_eq!(look("flows").await.unwrap(), "s3://bucket/flows/ can be listed");
    let empty = look("other").await.unwrap_err();
    assert!(matches!(empty, ObjectError::Empty { .. }), "{empty}");
    assert!(site.requests().iter().all(|request| request.contains("list-type")), "{:?}", site.requests());
    assert_eq!(names(&site.run()), Vec::<String>::new());
}
