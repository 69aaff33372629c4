//! Objects that are kept for the next run.

use std::sync::{Arc, OnceLock};

use super::server::{SECRETS, Site, files, is_list, names, status};
use axum::response::Response;
use camino::{Utf8Path, Utf8PathBuf};
use code_storage::objects::{ObjectError, ObjectPull, Tree};
use code_storage::{Cache, CacheLimits};
use md5::Digest as _;

/// The store's own listings lack the tags, which a listing of Amazon's has: here they are, of what is in its directory.
async fn site() -> Site {
    let root: Arc<OnceLock<Utf8PathBuf>> = Arc::default();
    let store = Arc::clone(&root);
    let site = Site::behind(move |parts, _| is_list(parts).then(|| tagged_listing(store.get().unwrap(), parts))).await;
    let site = keeping(site);
    root.set(site.root.join("store/bucket")).unwrap();
    site
}

fn tagged_listing(bucket: &Utf8Path, parts: &http::request::Parts) -> Response {
    let mut query = parts.uri.query().unwrap_or_default().split('&');
    let folder = query.find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default().replace("%2F", "/");
    let found = files(bucket).into_iter().filter(|(key, _)| key.starts_with(&folder));
    let entries = found.fold(String::new(), |xml, (key, content)| {
        let tag = md5::Md5::digest(&content).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let size = content.len();
        xml + &format!("<Contents><Key>{key}</Key><ETag>\"{tag}\"</ETag><Size>{size}</Size></Contents>")
    });
    status(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"))
}

fn keeping(mut site: Site) -> Site {
    site.options.cache = Some(Cache::open(&site.root.join("cache"), CacheLimits::default()).unwrap());
    site.put("code/flow.py", "flow");
    site.put("code/inner/data", "data");
    site
}

async fn fetch(site: &Site, run: &str) -> Result<Tree, ObjectError> {
    let into = site.run().join(run);
    site.pull(ObjectPull::of_s3_step(&site.inputs("code")).unwrap(), &into).await
}

fn downloads(site: &Site) -> usize {
    site.requests().iter().filter(|request| !request.contains("list-type")).count()
}

#[tokio::test]
async fn only_what_changed_is_fetched_again_and_what_is_gone_is_forgotten() {
    let site = site().await;
    let first = fetch(&site, "one").await.unwrap();
    assert_eq!(downloads(&site), 2);
    let second = fetch(&site, "two").await.unwrap();
    assert_eq!(downloads(&site), 2, "all of it is kept");
    assert_eq!((second.revision, second.bytes), (first.revision, first.bytes));
    assert_eq!(files(&site.run().join("two")), files(&site.run().join("one")));

    site.put("code/flow.py", "other");
    fs_err::remove_file(site.root.join("store/bucket/code/inner/data")).unwrap();
    fetch(&site, "three").await.unwrap();
    assert_eq!(downloads(&site), 3);
    assert_eq!(files(&site.run().join("three")), [("flow.py".to_owned(), b"other".to_vec())].into());
    let entries = site.options.cache.as_ref().unwrap().list().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].source.as_str(), entries[0].size), ("s3://bucket/code/", 5));
}

#[tokio::test]
async fn what_a_run_writes_is_its_own() {
    let site = site().await;
    fetch(&site, "one").await.unwrap();
    fs_err::OpenOptions::new().append(true).open(site.run().join("one/flow.py")).unwrap().set_len(1).unwrap();
    fetch(&site, "two").await.unwrap();
    assert_eq!(files(&site.run().join("two"))["flow.py"], b"flow");
}

#[tokio::test]
async fn a_kept_object_that_lost_its_end_is_fetched_again() {
    let site = site().await;
    fetch(&site, "one").await.unwrap();
    let kept = names(&site.root.join("cache/objects"));
    let kept: Vec<_> = kept.iter().filter(|name| name.contains("/content/")).collect();
    assert_eq!(kept.len(), 2);
    for name in kept {
        fs_err::write(site.root.join("cache/objects").join(name), "f").unwrap();
    }
    fetch(&site, "two").await.unwrap();
    assert_eq!(files(&site.run().join("two"))["flow.py"], b"flow");
}

#[tokio::test]
async fn runs_that_start_together_fetch_once() {
    let site = site().await;
    let (one, two, three) = tokio::join!(fetch(&site, "one"), fetch(&site, "two"), fetch(&site, "three"));
    let revisions = [one.unwrap().revision, two.unwrap().revision, three.unwrap().revision];
    assert!(revisions.iter().all(|revision| *revision == revisions[0]));
    assert_eq!(downloads(&site), 2);
}

#[tokio::test]
async fn who_has_other_keys_gets_nothing_of_what_is_kept() {
    // Also where the listing is open to all, as it is here.
    let site = site().await;
    fetch(&site, "one").await.unwrap();
    let mut inputs = site.inputs("code");
    inputs["credentials"]["aws_secret_access_key"] = SECRETS[1].into();
    let into = site.run().join("two");
    let failed = site.pull(ObjectPull::of_s3_step(&inputs).unwrap(), &into).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::CredentialsRefused { .. }), "{failed}");
    assert!(!into.exists());
    for name in names(&site.root.join("cache")) {
        let content = fs_err::read(site.root.join("cache").join(&name)).unwrap();
        let shown = format!("{name} {}", String::from_utf8_lossy(&content));
        assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown}");
    }
}

#[tokio::test]
async fn an_object_that_changes_between_listing_and_fetch_is_not_kept_for_what_it_was() {
    let site = Site::behind(|parts, _| {
        is_list(parts).then(|| {
            let entry = "<Key>code/flow.py</Key><ETag>\"00000000000000000000000000000000\"</ETag><Size>4</Size>";
            let text = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents>{entry}</Contents></ListBucketResult>"
            );
            status(200, text)
        })
    })
    .await;
    let site = keeping(site);
    fetch(&site, "one").await.unwrap();
    assert_eq!(files(&site.run().join("one"))["flow.py"], b"flow");
    assert_eq!(site.options.cache.as_ref().unwrap().list().unwrap()[0].size, 0);
}

/// A disk of a mebibyte, in memory. Only root can make one.
struct SmallDisk(Utf8PathBuf);

impl SmallDisk {
    fn mounted(at: Utf8PathBuf) -> Self {
        fs_err::create_dir(&at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "small-disk", at.as_str()]);
        Self(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.as_str()]);
    }
}

fn run(program: &str, words: &[&str]) {
    let status = std::process::Command::new(program).args(words).status().unwrap();
    assert!(status.success(), "{program} {words:?}: {status}");
}

#[tokio::test]
async fn a_full_disk_is_freed_of_what_is_kept_and_a_run_comes_before_the_cache() {
    assert!(rustix::process::geteuid().is_root(), "only root can make a disk that is small enough to fill");
    let mut site = site().await;
    let disk = SmallDisk::mounted(site.root.join("disk"));
    let cache = Cache::open(&disk.0.join("cache"), CacheLimits::default()).unwrap();
    site.options.cache = Some(cache.clone());
    for (folder, kibibytes, kept) in [("old", 200, "old"), ("new", 450, "new"), ("large", 700, "none")] {
        site.put(&format!("{folder}/flow.py"), vec![b'x'; kibibytes << 10]);
        let into = disk.0.join("run");
        let tree = site.pull(ObjectPull::of_s3_step(&site.inputs(folder)).unwrap(), &into).await.unwrap();
        assert_eq!((tree.objects, names(&into)), (1, vec!["flow.py".to_owned()]), "{folder}");
        fs_err::remove_dir_all(&into).unwrap();
        let whole = cache.list().unwrap().into_iter().map(|entry| entry.source).filter(|source| !source.is_empty());
        let expected: Vec<String> =
            [kept].iter().filter(|kept| **kept != "none").map(|kept| format!("s3://bucket/{kept}/")).collect();
        assert_eq!(whole.collect::<Vec<_>>(), expected, "{folder}");
    }
    site.put("huge/flow.py", vec![b'x'; 2 << 20]);
    let into = disk.0.join("run");
    let failed = site.pull(ObjectPull::of_s3_step(&site.inputs("huge")).unwrap(), &into).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::DiskFull { directory, .. } if *directory == into), "{failed}");
}
