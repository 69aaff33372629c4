//! What is kept: whether it is whole, room for it, and who holds it.

use super::cached::{mirror_of, packs, pull};
use super::origin::{Site, names, read};
use camino::Utf8PathBuf;
use code_storage::CodeError;
use code_storage::cache::EntryKind;
use serde_json::json;

#[tokio::test]
async fn damaged_entries_are_found_and_removed() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    fs_err::create_dir(origin.path.join("inner")).unwrap();
    origin.commit("inner/more.py", "more");
    let inputs = [json!({}), json!({"directories": ["inner"]}), json!({"include_submodules": true})];
    for (number, inputs) in inputs.into_iter().enumerate() {
        let mut inputs = inputs;
        inputs["repository"] = json!(origin.url());
        pull(&site, &format!("run-{number}"), inputs).await.unwrap();
    }
    let cache = site.open_cache();
    let cancel = tokio_util::sync::CancellationToken::new();
    assert_eq!(cache.verify(&site.options, &cancel).await.unwrap(), Vec::new());
    for pack in packs(&mirror_of(&site)) {
        fs_err::remove_file(pack).unwrap();
    }
    let damaged = cache.verify(&site.options, &cancel).await.unwrap();
    assert_eq!(damaged.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::Git]);
    assert_eq!(cache.list().unwrap().len(), 3);
}

#[tokio::test]
async fn a_file_of_a_cached_clone_that_is_not_as_it_was_written_is_found() {
    type Damage = fn(&Utf8PathBuf);
    let damages: [(&str, Damage); 4] = [
        ("empty", |clone| fs_err::write(clone.join("flow.py"), "").unwrap()),
        ("gone", |clone| fs_err::remove_file(clone.join("flow.py")).unwrap()),
        ("as long and as old", |clone| {
            let path = clone.join("flow.py");
            let written = fs_err::metadata(&path).unwrap().modified().unwrap();
            let mut file = std::fs::File::options().write(true).open(&path).unwrap();
            std::io::Write::write_all(&mut file, b"two").unwrap();
            file.set_modified(written).unwrap();
        }),
        ("without an index", |clone| fs_err::remove_file(clone.join(".git/index")).unwrap()),
    ];
    for (what, damage) in damages {
        let site = Site::with_cache();
        let origin = site.repository("code");
        pull(&site, "first", json!({"repository": origin.url()})).await.unwrap();
        let checkouts = site.cache_directory().join("checkouts");
        let [name] = names(&checkouts).try_into().unwrap();
        damage(&checkouts.join(name).join("content"));
        let cache = site.open_cache();
        let cancel = tokio_util::sync::CancellationToken::new();
        let damaged = cache.verify(&site.options, &cancel).await.unwrap();
        assert_eq!(damaged.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::Checkout], "{what}");
        pull(&site, "second", json!({"repository": origin.url()})).await.unwrap();
        assert_eq!(read(&site.root.join("second/code/flow.py")), "one", "{what}");
    }
}

/// Has `git` find no room for a clone in the cache while this shell test succeeds.
fn fill_disk(site: &mut Site, test: &str) {
    site.replace_git(&format!(
        "case \"$*\" in *pack-objects*) if {test}; then\n\
         echo 'fatal: write error: No space left on device' >&2; exit 128; fi;;\n\
         *' clone '*) echo >> \"$SITE/calls\"; [ -e \"$SITE/fuller\" ] &&\n\
         echo 'fatal: write error: No space left on device' >&2 && exit 128;; esac\nexec $GIT \"$@\""
    ));
}

#[tokio::test]
async fn a_full_disk_is_freed_of_what_is_kept_and_not_in_use() {
    let mut site = Site::with_cache();
    let (old, origin) = (site.repository("old"), site.repository("code"));
    pull(&site, "before", json!({"repository": old.url()})).await.unwrap();
    fill_disk(&mut site, "ls -d \"$SITE\"/cache/checkouts/old-* > /dev/null 2>&1");
    assert_eq!(pull(&site, "first", json!({"repository": origin.url()})).await.unwrap().revision, origin.head());
    assert_eq!(site.calls(), 0, "it came by way of the cache");
    let kept = site.open_cache().list().unwrap();
    assert_eq!(kept.iter().filter(|entry| entry.source == origin.url()).count(), 2);
    assert_eq!(kept.len(), 2, "{kept:?}");
}

#[tokio::test]
async fn a_full_disk_leaves_a_run_its_own_clone_and_the_next_one_finds_nothing_half_made() {
    let mut site = Site::with_cache();
    let origin = site.repository("code");
    fill_disk(&mut site, "[ ! -e \"$SITE/freed\" ]");
    let inputs = || json!({"repository": origin.url()});
    assert_eq!(pull(&site, "first", inputs()).await.unwrap().revision, origin.head());
    assert_eq!(read(&site.root.join("first/code/flow.py")), "one");
    assert_eq!(site.calls(), 1);
    fs_err::write(site.root.join("freed"), "").unwrap();
    assert_eq!(pull(&site, "second", inputs()).await.unwrap().revision, origin.head());
    assert_eq!((site.calls(), site.open_cache().list().unwrap().len()), (1, 2));
}

#[tokio::test]
async fn a_disk_that_is_too_full_for_the_runs_own_clone_is_named() {
    let mut site = Site::with_cache();
    let origin = site.repository("code");
    fill_disk(&mut site, "true");
    fs_err::write(site.root.join("fuller"), "").unwrap();
    let failed = pull(&site, "first", json!({"repository": origin.url()})).await.unwrap_err();
    let place = site.root.join("first/code");
    assert!(matches!(&failed, CodeError::DiskFull { directory, .. } if *directory == place), "{failed}");
    assert_eq!(names(&site.root.join("first")), Vec::<String>::new());
}

#[tokio::test]
async fn every_git_that_writes_to_the_cache_holds_the_lock_of_what_it_writes_to() {
    let mut site = Site::with_cache();
    let origin = site.repository("code");
    origin.commit(".gitattributes", "*.bin filter=lfs -text\n");
    site.replace_git(
        "echo \"$(readlink /proc/self/fd/0) $*\" >> \"$SITE/calls\"\n\
         case \"$*\" in *'lfs version'*|*'lfs pull'*) exit 0;; esac\nexec $GIT \"$@\"",
    );
    for number in 0..12 {
        origin.commit("flow.py", &number.to_string());
        let inputs = json!({"repository": origin.url(), "include_submodules": true});
        pull(&site, &format!("run-{number}"), inputs).await.unwrap();
    }
    let calls = read(&site.root.join("calls"));
    for (command, kind) in [
        (" fetch ", "git"),
        (" repack ", "git"),
        (" submodule --quiet update ", "checkouts"),
        (" submodule --quiet foreach ", "checkouts"),
        (" lfs pull", "checkouts"),
        (" checkout ", "checkouts"),
    ] {
        let lines: Vec<&str> = calls.lines().filter(|line| line.contains(command)).collect();
        assert!(!lines.is_empty(), "{command}: {calls}");
        for line in lines {
            let held = line.split(' ').next().unwrap();
            let entry = held.strip_prefix(site.cache_directory().join(kind).as_str());
            assert!(entry.is_some_and(|entry| entry.ends_with("/lock")), "{line}");
        }
    }
}
