//! Directories of the worker's machine, as the block "Local File System" has them.

use super::server::{Site, files, names};
use code_storage::objects::{ObjectError, ObjectPull, ObjectSource};
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn block(directory: &camino::Utf8Path) -> ObjectPull {
    inner(directory, None)
}

fn inner(directory: &camino::Utf8Path, path: Option<&str>) -> ObjectPull {
    let data = json!({"basepath": directory});
    ObjectPull::of_block("local-file-system", data.as_object().unwrap(), path).unwrap()
}

#[tokio::test]
async fn files_are_copied_and_links_stay_links() {
    let site = Site::new().await;
    let code = site.root.join("code");
    fs_err::create_dir_all(code.join("inner")).unwrap();
    fs_err::write(code.join("inner/flow.py"), "flow").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", code.join("link")).unwrap();
    fs_err::create_dir_all(code.join("empty/inside")).unwrap();
    let tree = site.pull(block(&code), &site.run()).await.unwrap();
    assert!(site.run().join("empty/inside").is_dir());
    assert_eq!((tree.objects, tree.bytes, tree.source.as_str()), (2, 4, code.as_str()));
    assert_eq!(files(&site.run())["link"], b"/etc/hostname");
    assert_eq!(names(&site.run()), ["inner/flow.py", "link"]);
    let times =
        [code, site.run()].map(|root| fs_err::metadata(root.join("inner/flow.py")).unwrap().modified().unwrap());
    assert_eq!(times[0], times[1]);
    let again = site.pull(block(&site.root.join("code")), &site.run()).await.unwrap();
    assert_eq!(again.revision, tree.revision);
}

#[tokio::test]
async fn what_only_the_sdk_can_copy_is_left_to_it() {
    let site = Site::new().await;
    let code = site.root.join("code");
    fs_err::create_dir(&code).unwrap();
    fs_err::write(code.join(".prefectignore"), "*.txt").unwrap();
    for directory in [&code, &site.root] {
        let failed = site.pull(block(directory), &site.run()).await.unwrap_err();
        assert!(matches!(&failed, ObjectError::LeftToPrefect { .. }), "{failed}");
    }
    assert_eq!(names(&site.run()), Vec::<String>::new());
    let failed = site.pull(block(&site.root.join("nope")), &site.run()).await.unwrap_err();
    assert!(failed.to_string().contains("/nope"), "{failed}");
}

#[tokio::test]
async fn a_path_is_copied_only_if_it_is_in_its_blocks_directory() {
    let site = Site::new().await;
    let code = site.root.join("code");
    fs_err::create_dir_all(code.join("inner")).unwrap();
    fs_err::write(code.join("inner/flow.py"), "flow").unwrap();
    std::os::unix::fs::symlink("/etc", code.join("link")).unwrap();
    std::os::unix::fs::symlink(code.join("inner"), code.join("within")).unwrap();
    for path in ["link", "/etc", "..", "inner/../../store"] {
        let failed = site.pull(inner(&code, Some(path)), &site.run()).await.unwrap_err();
        assert!(matches!(&failed, ObjectError::LeftToPrefect { .. }), "{path}: {failed}");
    }
    assert_eq!(names(&site.run()), Vec::<String>::new());
    for path in ["inner", "within", "inner/../inner", code.join("inner").as_str()] {
        site.pull(inner(&code, Some(path)), &site.run()).await.unwrap();
        assert_eq!(names(&site.run()), ["flow.py"], "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_to_its_end_is_an_error_and_not_waited_for() {
    for (make, said) in [("mkfifo pipe", "it is a named pipe"), ("python3 -c \"$BIND\"", "it is a socket")] {
        let site = Site::new().await;
        let code = site.root.join("code");
        fs_err::create_dir(&code).unwrap();
        let bind = "import socket; socket.socket(socket.AF_UNIX).bind('socket')";
        let made = std::process::Command::new("sh").args(["-c", make]).env("BIND", bind).current_dir(&code).status();
        assert!(made.unwrap().success());
        let copying = async { site.pull(block(&code), &site.run()).await.unwrap_err() };
        let failed = tokio::time::timeout(std::time::Duration::from_secs(30), copying).await.unwrap();
        assert!(failed.to_string().contains(said), "{failed}");
        assert_eq!(fs_err::read_dir(site.run()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn names_that_only_python_has_are_left_to_the_sdk() {
    let site = Site::new().await;
    let code = site.root.join("code");
    fs_err::create_dir(&code).unwrap();
    fs_err::write(code.as_std_path().join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff")), "")
        .unwrap();
    let failed = site.pull(block(&code), &site.run()).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::LeftToPrefect { .. }), "{failed}");
}

#[tokio::test]
async fn a_copy_that_is_cancelled_ends_in_the_middle_of_a_file_and_leaves_nothing() {
    let site = Site::new().await;
    let code = site.root.join("code");
    fs_err::create_dir(&code).unwrap();
    // Without blocks on the disk; as a copy it would fill it.
    fs_err::File::create(code.join("huge")).unwrap().into_file().set_len(1 << 42).unwrap();
    let cancel = CancellationToken::new();
    let source = ObjectSource::new(block(&code), site.options.clone());
    let run = site.run();
    let stop = async {
        let unfinished = run.join(".objects.partial/huge");
        while !fs_err::metadata(&unfinished).is_ok_and(|file| file.len() > 0) {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let both = async { tokio::join!(source.fetch(&run, &cancel), stop).0 };
    let ended = tokio::time::timeout(std::time::Duration::from_mins(1), both).await.unwrap();
    assert!(matches!(&ended, Err(ObjectError::Cancelled { .. })), "{ended:?}");
    assert_eq!(fs_err::read_dir(&run).unwrap().count(), 0);
}
