//! Clones by way of the cache.

use std::sync::Arc;

use super::origin::{Site, git_in, names, read};
use super::server::GitServer;
use camino::Utf8PathBuf;
use code_storage::cache::EntryKind;
use code_storage::{Checkout, CodeError};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const LOGIN: &str = "me:s3cret";

/// Pulls to a directory of its own.
pub(crate) async fn pull(site: &Site, run: &str, inputs: Value) -> Result<Checkout, CodeError> {
    let run = site.run_directory(run);
    site.git_clone(&run, inputs).await.map(|mut pulled| pulled.checkouts.remove(0))
}

#[tokio::test]
async fn a_cached_clone_is_a_clone_like_any_other() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    origin.git(&["tag", "light"]);
    origin.git(&["tag", "--annotate", "--message", "x", "v1"]);
    let first = origin.head();
    origin.git(&["checkout", "--quiet", "-b", "feature/x"]);
    let second = origin.commit("flow.py", "two");
    origin.git(&["checkout", "--quiet", "trunk"]);
    for (number, inputs, head, commit) in [
        (0, json!({}), "trunk", &first),
        (1, json!({"branch": "feature/x"}), "feature/x", &second),
        (2, json!({"branch": "v1"}), "HEAD", &first),
        (3, json!({"branch": "light"}), "HEAD", &first),
        (4, json!({"commit_sha": second}), "HEAD", &second),
        (5, json!({"commit_sha": second.split_at(8).0}), "HEAD", &second),
        (6, json!({}), "trunk", &first),
    ] {
        let mut inputs = inputs;
        inputs["repository"] = json!(origin.url());
        let checkout = pull(&site, &format!("run-{number}"), inputs).await.unwrap();
        assert_eq!(&checkout.revision, commit);
        assert_eq!(checkout.source, origin.url());
        let root = &checkout.root;
        assert_eq!(&git_in(root, &["rev-parse", "HEAD"]), commit);
        assert_eq!(git_in(root, &["rev-parse", "--abbrev-ref", "HEAD"]), head);
        assert_eq!(git_in(root, &["config", "remote.origin.url"]), origin.url());
        assert_eq!(git_in(root, &["status", "--porcelain"]), "");
        git_in(root, &["fsck", "--strict"]);
        assert_eq!(read(&root.join("flow.py")), origin.git(&["show", &format!("{commit}:flow.py")]));
        assert_eq!(names(root), [".git", "flow.py"]);
    }
}

#[tokio::test]
async fn a_run_and_the_cache_cannot_harm_each_other() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    let inputs = || json!({"repository": origin.url()});
    let first = pull(&site, "first", inputs()).await.unwrap();
    // What the run does to its own files, also to those that git has made read-only.
    let mut open = vec![first.root.clone()];
    while let Some(directory) = open.pop() {
        for entry in directory.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() {
                open.push(path);
            } else {
                let mut mode = fs_err::metadata(&path).unwrap().permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o600);
                fs_err::set_permissions(&path, mode).unwrap();
                fs_err::write(&path, "spoilt").unwrap();
            }
        }
    }
    let second = pull(&site, "second", inputs()).await.unwrap();
    assert_eq!(read(&second.root.join("flow.py")), "one");
    fs_err::remove_dir_all(site.cache_directory()).unwrap();
    git_in(&second.root, &["fsck", "--strict"]);
    assert_eq!(git_in(&second.root, &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn branches_are_followed_and_deleted_ones_are_missing() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    let first = origin.head();
    origin.commit("flow.py", "to be rewritten");
    origin.git(&["branch", "gone"]);
    let inputs = |branch: &str| json!({"repository": origin.url(), "branch": branch});
    pull(&site, "one", inputs("trunk")).await.unwrap();
    pull(&site, "two", inputs("gone")).await.unwrap();

    origin.git(&["reset", "--quiet", "--hard", &first]);
    assert_eq!(pull(&site, "back", inputs("trunk")).await.unwrap().revision, first);
    let rewritten = origin.commit("flow.py", "rewritten");
    assert_eq!(pull(&site, "three", inputs("trunk")).await.unwrap().revision, rewritten);
    origin.git(&["branch", "--delete", "--force", "gone"]);
    origin.git(&["branch", "gone/below"]);
    let failed = pull(&site, "four", inputs("gone")).await.unwrap_err();
    assert!(matches!(failed, CodeError::RevisionMissing { .. }), "{failed}");
    pull(&site, "five", inputs("gone/below")).await.expect("the old branch is not in its way");
    origin.git(&["checkout", "--quiet", "-b", "other"]);
    let other = origin.commit("flow.py", "another default");
    let checkout = pull(&site, "six", json!({"repository": origin.url()})).await.unwrap();
    assert_eq!((checkout.revision, read(&checkout.root.join("flow.py"))), (other, "another default".to_owned()));
}

#[tokio::test]
async fn a_commit_that_no_branch_leads_to_is_fetched_and_a_missing_one_is_said_to_be() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    origin.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let first = origin.head();
    let lost = origin.commit("flow.py", "lost");
    origin.git(&["reset", "--quiet", "--hard", &first]);
    let inputs = |id: &str| json!({"repository": origin.url(), "commit_sha": id});
    assert_eq!(pull(&site, "lost", inputs(&lost)).await.unwrap().revision, lost);
    for id in ["0123456789012345678901234567890123456789", "0123456"] {
        let failed = pull(&site, id, inputs(id)).await.unwrap_err();
        assert!(matches!(&failed, CodeError::RevisionMissing { revision, .. } if revision.contains(id)), "{failed}");
        assert_eq!(names(&site.root.join(id)), Vec::<String>::new());
    }
}

#[tokio::test]
async fn one_commit_is_fetched_and_the_history_only_if_it_is_needed() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    let first = origin.head();
    origin.commit("flow.py", "two");
    let head = origin.commit("flow.py", "three");
    let commits = || git_in(&mirror_of(&site), &["rev-list", "--all", "--count"]);
    assert_eq!(pull(&site, "head", json!({"repository": origin.url()})).await.unwrap().revision, head);
    assert_eq!(commits(), "1");
    let inputs = json!({"repository": origin.url(), "commit_sha": first.split_at(8).0});
    assert_eq!(pull(&site, "short", inputs).await.unwrap().revision, first);
    assert_eq!(commits(), "3");
    let next = origin.commit("flow.py", "four");
    assert_eq!(pull(&site, "next", json!({"repository": origin.url()})).await.unwrap().revision, next);
}

/// As servers with the first version of the protocol are.
#[tokio::test]
async fn a_server_that_gives_no_single_commits_gives_all() {
    let mut site = Site::with_cache();
    for (name, value) in
        [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "protocol.version"), ("GIT_CONFIG_VALUE_0", "0")]
    {
        site.options.env.insert(name.to_owned(), value.to_owned());
    }
    let origin = site.repository("code");
    let first = origin.head();
    origin.commit("flow.py", "two");
    let inputs = json!({"repository": origin.url(), "commit_sha": first});
    assert_eq!(pull(&site, "run", inputs).await.unwrap().revision, first);
    assert_eq!(git_in(&mirror_of(&site), &["rev-list", "--all", "--count"]), "2");
}

#[tokio::test]
async fn directories_and_submodules_come_through_the_cache() {
    let site = Site::with_cache();
    let library = site.repository("library");
    let origin = site.repository("code");
    origin.commit("flows/a.py", "a");
    origin.commit("data/big.bin", "big");
    origin.git(&["submodule", "--quiet", "add", &library.url(), "lib"]);
    origin.commit("flow.py", "two");
    for run in ["one", "two"] {
        let inputs = json!({"repository": origin.url(), "directories": ["flows"], "include_submodules": true});
        let root = pull(&site, run, inputs).await.unwrap().root;
        assert_eq!(names(&root), [".git", ".gitmodules", "flow.py", "flows", "lib"]);
        assert_eq!(read(&root.join("lib/flow.py")), "one");
        assert_eq!(git_in(&root.join("lib"), &["rev-parse", "HEAD"]), library.head());
        assert_eq!(git_in(&root, &["status", "--porcelain"]), "");
    }
    let whole = pull(&site, "whole", json!({"repository": origin.url()})).await.unwrap().root;
    assert_eq!(names(&whole), [".git", ".gitmodules", "data", "flow.py", "flows", "lib"]);
}

#[tokio::test]
async fn a_hundred_pulls_at_once_fetch_once() {
    let mut site = Site::with_cache();
    let server = GitServer::with_tls(&mut site, LOGIN).await;
    let origin = site.repository("code");
    let site = Arc::new(site);
    let pulls = async |round: &str| {
        let mut pulls = JoinSet::new();
        for number in 0..100 {
            let (site, url) = (Arc::clone(&site), server.url_with(LOGIN, "private/code/.git"));
            let run = format!("{round}-{number}");
            pulls.spawn(async move {
                let inputs = json!({"repository": url, "clone_directory_name": "code"});
                pull(&site, &run, inputs).await.unwrap().revision
            });
        }
        pulls.join_all().await
    };
    assert_eq!(pulls("first").await, vec![origin.head(); 100]);
    assert_eq!(server.fetches(), 1);
    server.forget();
    assert_eq!(pulls("second").await, vec![origin.head(); 100]);
    assert_eq!(server.fetches(), 0, "nothing is new");
    assert!(server.asked().len() <= 10, "the tip is asked for once or twice, and not {:?}", server.asked());
    let head = origin.commit("flow.py", "two");
    assert_eq!(pulls("third").await, vec![head; 100]);
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn two_workers_share_one_fetch() {
    let mut site = Site::with_cache();
    let server = GitServer::with_tls(&mut site, LOGIN).await;
    let origin = site.repository("code");
    let inputs = || json!({"repository": server.url("open/code/.git"), "clone_directory_name": "code"});
    let mut other = site.options.clone();
    other.cache = Some(site.open_cache());
    let (one, two) = (site.run_directory("one"), site.run_directory("two"));
    let elsewhere = site.with_options(other);
    let (first, second) = tokio::join!(site.git_clone(&one, inputs()), elsewhere.git_clone(&two, inputs()));
    assert_eq!(first.unwrap().checkouts[0].revision, origin.head());
    assert_eq!(second.unwrap().checkouts[0].revision, origin.head());
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn a_commit_that_is_there_needs_no_network_but_a_login_that_was_let_in() {
    let mut site = Site::with_cache();
    let server = GitServer::with_tls(&mut site, LOGIN).await;
    let origin = site.repository("code");
    let inputs = |login: &str| json!({"repository": server.url_with(login, "private/code/.git"), "commit_sha": origin.head(), "clone_directory_name": "code"});
    assert!(!pull(&site, "first", inputs(LOGIN)).await.unwrap().without_network);
    server.forget();
    let again = pull(&site, "again", inputs(LOGIN)).await.unwrap();
    assert!(again.without_network && !again.stale);
    assert_eq!(server.asked().len(), 0);

    let failed = pull(&site, "guess", inputs("me:guess")).await.unwrap_err();
    assert!(matches!(failed, CodeError::Refused { .. }), "{failed}");
    let bare = json!({"repository": server.url("private/code/.git"), "commit_sha": origin.head(), "clone_directory_name": "code"});
    assert!(matches!(pull(&site, "bare", bare).await.unwrap_err(), CodeError::Refused { .. }));
    assert!(server.asked().iter().all(|asked| !asked.fetches));
}

#[tokio::test]
async fn what_was_last_known_is_used_only_if_that_is_allowed_and_the_host_is_unreachable() {
    let mut site = Site::with_cache();
    let origin = site.repository("code");
    let hidden = site.root.join("hidden");
    let inputs = || json!({"repository": "https://h.test/code"});
    site.options.offline_fallback = true;
    site.options.attempts = 1;
    site.replace_git(&format!(
        "case \"$*\" in *h.test*) ;; *) exec $GIT \"$@\";; esac\n\
         if [ -e {hidden} ]; then cat {hidden} >&2; exit 128; fi\n\
         exec $GIT -c url.{}.insteadOf=https://h.test/code \"$@\"",
        origin.url()
    ));
    assert!(!pull(&site, "first", inputs()).await.unwrap().stale);
    fs_err::write(&hidden, "fatal: unable to access 'https://h.test/': Could not resolve host: h.test\n").unwrap();
    let stale = pull(&site, "second", inputs()).await.unwrap();
    assert_eq!((stale.stale, stale.revision), (true, origin.head()));
    let never_seen = json!({"repository": "https://h.test/code", "branch": "other"});
    assert!(matches!(pull(&site, "third", never_seen).await.unwrap_err(), CodeError::Unreachable { .. }));
    fs_err::write(&hidden, "fatal: Authentication failed for 'https://h.test/code/'\n").unwrap();
    assert!(matches!(pull(&site, "fourth", inputs()).await.unwrap_err(), CodeError::Refused { .. }));
    fs_err::write(&hidden, "fatal: unable to access 'https://h.test/': Could not resolve host: h.test\n").unwrap();
    site.options.offline_fallback = false;
    assert!(matches!(pull(&site, "fifth", inputs()).await.unwrap_err(), CodeError::Unreachable { .. }));
}

pub(crate) fn mirror_of(site: &Site) -> Utf8PathBuf {
    let git = site.cache_directory().join("git");
    let [name] = names(&git).try_into().unwrap();
    git.join(name).join("content")
}

pub(crate) fn packs(mirror: &Utf8PathBuf) -> Vec<Utf8PathBuf> {
    let packs = mirror.join("objects/pack");
    let packs = packs.read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    packs.filter(|path| path.extension() == Some("pack")).collect()
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew() {
    type Damage = fn(&Utf8PathBuf);
    let damages: [(&str, Damage); 5] = [
        ("no HEAD", |mirror| fs_err::remove_file(mirror.join("HEAD")).unwrap()),
        ("a cut pack", |mirror| {
            for pack in packs(mirror) {
                let whole = fs_err::read(&pack).unwrap();
                fs_err::remove_file(&pack).unwrap();
                fs_err::write(&pack, whole.split_at(whole.len() / 2).0).unwrap();
            }
        }),
        ("no objects", |mirror| fs_err::remove_dir_all(mirror.join("objects")).unwrap()),
        ("half a configuration", |mirror| fs_err::write(mirror.join("config"), "[core\n").unwrap()),
        ("locks of a killed git", |mirror| {
            for lock in ["packed-refs.lock", "config.lock", "HEAD.lock", "refs/heads/trunk.lock", "shallow.lock"] {
                fs_err::create_dir_all(mirror.join(lock).parent().unwrap()).unwrap();
                fs_err::write(mirror.join(lock), "").unwrap();
            }
        }),
    ];
    for (number, (what, damage)) in damages.into_iter().enumerate() {
        let site = Site::with_cache();
        let origin = site.repository("code");
        let inputs = || json!({"repository": origin.url()});
        pull(&site, "first", inputs()).await.unwrap();
        damage(&mirror_of(&site));
        let head = origin.commit("flow.py", "two");
        assert_eq!(pull(&site, "second", inputs()).await.expect(what).revision, head, "{what} {number}");
        let (old, again) = (origin.git(&["rev-parse", "HEAD~1"]), json!({"repository": origin.url(), "branch": "old"}));
        origin.git(&["branch", "old", &old]);
        assert_eq!(pull(&site, "third", again).await.expect(what).revision, old, "{what}");
    }
}

#[tokio::test]
async fn the_cache_lists_what_it_has_and_removes_what_is_not_used() {
    let site = Site::with_cache();
    let origin = site.repository("code");
    pull(&site, "first", json!({"repository": origin.url()})).await.unwrap();
    let cache = site.open_cache();
    let kinds: Vec<_> =
        cache.list().unwrap().into_iter().map(|entry| (entry.kind, entry.source, entry.size > 0)).collect();
    for kind in [EntryKind::Git, EntryKind::Checkout] {
        assert!(kinds.contains(&(kind, origin.url(), true)), "{kinds:?}");
    }
    assert_eq!(kinds.len(), 2);
    let none = code_storage::CacheLimits { size: Some(0), age: None };
    let pruned = cache.prune(none).unwrap();
    assert_eq!((pruned.entries, cache.list().unwrap().len()), (2, 0));
    pull(&site, "second", json!({"repository": origin.url()})).await.expect("it is made anew");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(site.cache_directory()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_cache_that_is_smaller_than_one_repository_still_serves_it() {
    let mut site = Site::with_cache();
    let origin = site.repository("code");
    let limits = code_storage::CacheLimits { size: Some(1), age: None };
    let cache = code_storage::Cache::open(&site.cache_directory(), limits).unwrap();
    site.options.cache = Some(cache.clone());
    for run in ["one", "two"] {
        let checkout = pull(&site, run, json!({"repository": origin.url()})).await.unwrap();
        assert_eq!(checkout.revision, origin.head());
        assert_eq!(cache.list().unwrap(), Vec::new());
    }
}

#[tokio::test]
async fn entries_that_are_old_go_and_those_in_use_stay() {
    let site = Site::with_cache();
    let (old, new) = (site.repository("old"), site.repository("new"));
    for origin in [&old, &new] {
        pull(&site, &format!("run-{}", origin.path.file_name().unwrap()), json!({"repository": origin.url()}))
            .await
            .unwrap();
    }
    let cache = site.open_cache();
    let day = std::time::Duration::from_hours(24);
    for entry in cache.list().unwrap().iter().filter(|entry| entry.source == old.url()) {
        let directory = if entry.kind == EntryKind::Git { "git" } else { "checkouts" };
        let record = site.cache_directory().join(directory).join(&entry.name).join("entry.json");
        let file = std::fs::File::options().append(true).open(record).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * day).unwrap();
    }
    let limits = code_storage::CacheLimits { size: None, age: Some(day) };
    let used =
        cache.list().unwrap().into_iter().find(|entry| entry.source == old.url() && entry.kind == EntryKind::Git);
    let lock = site.cache_directory().join("git").join(used.unwrap().name).join("lock");
    let lock = std::fs::File::open(lock).unwrap();
    lock.lock_shared().unwrap();
    assert_eq!(cache.prune(limits).unwrap().entries, 1, "one of the old ones is in use");
    drop(lock);
    assert_eq!(cache.prune(limits).unwrap().entries, 1);
    assert!(cache.list().unwrap().iter().all(|entry| entry.source == new.url()));
    assert_eq!(cache.list().unwrap().len(), 2);
}
