//! Private repositories: what is let in, what is sent where, and that the secret is nowhere to be seen.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::origin::{Origin, Site, names, read};
use super::server::GitServer;
use camino::Utf8Path;
use code_storage::{CodeError, CodeSource as _, GitClone, GitSource, Login, Repository, Revision};
use rcgen::{CertificateParams, date_time_ymd};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

/// Looked for everywhere.
const CANARY: &str = "c4nary-s3cret";
const LOGIN: &str = "me:c4nary-s3cret";

/// Both ways of a pull.
fn sites() -> [Site; 2] {
    [Site::new(), Site::with_cache()]
}

/// Reads the arguments of every process of the machine, over and over.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: JoinHandle<BTreeSet<String>>,
}

impl Watch {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let seen = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stopping.load(Ordering::Relaxed) {
                for process in fs_err::read_dir("/proc").unwrap() {
                    let arguments = process.unwrap().path().join("cmdline");
                    if let Ok(arguments) = fs_err::read(arguments) {
                        seen.insert(String::from_utf8_lossy(&arguments).replace('\0', " "));
                    }
                }
            }
            seen
        });
        Self { stop, seen }
    }

    fn end(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.seen.join().unwrap()
    }
}

/// The files in a directory that have the text in them or in their names.
fn files_with(directory: &Utf8Path, text: &str) -> Vec<String> {
    let contains = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let (mut found, mut read, mut open) = (Vec::new(), 0, vec![directory.as_std_path().to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_symlink()
                || contains(path.as_os_str().as_bytes())
                || contains(&fs_err::read(&path).unwrap())
            {
                found.push(path.display().to_string());
            } else {
                read += 1;
            }
        }
    }
    assert!(read > 5, "there are files to look into");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_is_in_no_argument_and_in_no_file() {
    for mut site in sites() {
        let server = GitServer::with_tls(&mut site, LOGIN).await;
        let library = site.repository("library");
        let origin = site.repository("code");
        let object = lfs_file(&site, &origin, "large and real");
        let submodule = server.url("private/library/.git");
        origin.git(&["config", "--file", ".gitmodules", "submodule.lib.path", "lib"]);
        origin.git(&["config", "--file", ".gitmodules", "submodule.lib.url", &submodule]);
        origin.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},lib", library.head())]);
        origin.git(&["add", ".gitmodules"]);
        origin.git(&["commit", "--quiet", "--message", "a submodule"]);
        let watch = Watch::start();
        let inputs = || {
            json!({
                "repository": server.url_with(LOGIN, "private/code/.git"),
                "include_submodules": true,
                "clone_directory_name": "code",
            })
        };
        for run in ["one", "two", "one"] {
            let run = site.root.join(run);
            fs_err::create_dir_all(&run).unwrap();
            let pulled = site.git_clone(&run, inputs()).await.unwrap();
            assert!(!format!("{pulled:?}").contains(CANARY));
            assert_eq!(read(&run.join("code/lib/flow.py")), "one");
            assert_eq!(read(&run.join("code/large.bin")), "large and real", "{object}");
        }
        let failing = json!({"repository": server.url_with(LOGIN, "private/code/.git"), "branch": "nope"});
        let failed = site.git_clone(&site.root.join("one"), failing).await.unwrap_err();
        assert!(!format!("{failed} {failed:?}").contains(CANARY), "{failed}");
        let arguments = watch.end();
        let text = String::from_utf8_lossy(CANARY.as_bytes());
        assert_eq!(arguments.iter().filter(|line| line.contains(&*text)).collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(arguments.iter().any(|line| line.contains("credential.https://localhost")), "git was seen");
        assert_eq!(files_with(&site.root, CANARY), Vec::<String>::new());
        assert!(server.asked().iter().any(|asked| asked.login.as_deref() == Some(LOGIN)), "it was sent");
    }
}

/// Commits a file that is in LFS, and puts its content on the server.
fn lfs_file(site: &Site, origin: &Origin, content: &str) -> String {
    let object = format!("{:x}", Sha256::digest(content));
    fs_err::create_dir_all(site.root.join("lfs-objects")).unwrap();
    fs_err::write(site.root.join("lfs-objects").join(&object), content).unwrap();
    if !origin.path.join(".gitattributes").exists() {
        origin.commit(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    }
    let size = content.len();
    origin.commit(
        "large.bin",
        &format!("version https://git-lfs.github.com/spec/v1\noid sha256:{object}\nsize {size}\n"),
    );
    object
}

#[tokio::test]
async fn large_files_are_real_also_with_a_token_for_a_user_name() {
    for mut site in sites() {
        let server = GitServer::with_tls(&mut site, "t0ken:").await;
        let origin = site.repository("code");
        lfs_file(&site, &origin, "large and real");
        let run = site.run_directory("run");
        let inputs =
            json!({"repository": server.url_with("t0ken", "private/code/.git"), "clone_directory_name": "code"});
        site.git_clone(&run, inputs).await.unwrap();
        assert_eq!(read(&run.join("code/large.bin")), "large and real");

        fs_err::remove_dir_all(site.root.join("lfs-objects")).unwrap();
        lfs_file(&site, &origin, "lost");
        fs_err::remove_dir_all(site.root.join("lfs-objects")).unwrap();
        let run = site.run_directory("lost");
        let inputs =
            json!({"repository": server.url_with("t0ken", "private/code/.git"), "clone_directory_name": "code"});
        let failed = site.git_clone(&run, inputs).await.unwrap_err();
        assert!(matches!(failed, CodeError::Lfs { .. }), "{failed}");
        assert_eq!(names(&run), Vec::<String>::new());
    }
}

#[tokio::test]
async fn pointers_stay_where_git_lfs_is_not_installed() {
    let mut site = Site::with_cache();
    let origin = site.repository("code");
    lfs_file(&site, &origin, "large and real");
    site.replace_git("case \"$*\" in *'lfs version'*) exit 1;; esac\nexec $GIT \"$@\"");
    let run = site.run_directory("run");
    site.git_clone(&run, json!({"repository": origin.url()})).await.unwrap();
    assert!(read(&run.join("code/large.bin")).contains("oid sha256:"));
}

#[tokio::test]
async fn pointers_that_are_kept_give_way_to_files_once_git_lfs_is_installed() {
    let mut site = Site::with_cache();
    let server = GitServer::with_tls(&mut site, "t0ken:").await;
    let origin = site.repository("code");
    lfs_file(&site, &origin, "large and real");
    site.replace_git(
        "echo \"$*\" >> \"$SITE/calls\"\n\
         case \"$*\" in *'lfs version'*) [ -e \"$SITE/installed\" ] || exit 1;; esac\nexec $GIT \"$@\"",
    );
    let inputs =
        || json!({"repository": server.url_with("t0ken", "private/code/.git"), "clone_directory_name": "code"});
    let made = |site: &Site| read(&site.root.join("calls")).lines().filter(|call| call.contains(" init ")).count();
    for (run, real, clones) in [("one", false, 2), ("two", false, 2), ("three", true, 3), ("four", true, 3)] {
        if run == "three" {
            fs_err::write(site.root.join("installed"), "").unwrap();
        }
        let run = site.run_directory(run);
        site.git_clone(&run, inputs()).await.unwrap();
        assert_eq!(read(&run.join("code/large.bin")) == "large and real", real, "{run}");
        assert_eq!(made(&site), clones, "{run}");
        let cancel = CancellationToken::new();
        let damaged = site.open_cache().verify(&site.options, &cancel).await.unwrap();
        assert_eq!(damaged, Vec::new(), "{run}");
    }
}

#[tokio::test]
async fn an_access_token_is_sent_in_the_hosts_form_and_a_wrong_one_is_refused() {
    for mut site in sites() {
        site.options.attempts = 2;
        let server = GitServer::with_tls(&mut site, &format!("{CANARY}:")).await;
        let origin = site.repository("code");
        let (repository, _) = Repository::parse(&server.url("private/code/.git")).unwrap();
        let source = |token: &str| {
            let wanted = GitClone {
                login: Some(Login::of_access_token(&repository, token)),
                repository: repository.clone(),
                revision: Revision::DefaultBranch,
                include_submodules: false,
                directories: Vec::new(),
                directory_name: "code".to_owned(),
            };
            GitSource::new(wanted, site.options.clone())
        };
        let cancel = CancellationToken::new();
        let checkout = source(CANARY).fetch(&site.root.join("right"), &cancel).await.unwrap();
        assert_eq!((checkout.revision, checkout.source), (origin.head(), repository.to_string()));
        let failed = source("wr0ng-token").fetch(&site.root.join("wrong"), &cancel).await.unwrap_err();
        assert!(matches!(failed, CodeError::Refused { .. }), "{failed}");
        assert!(failed.to_string().contains(repository.as_str()) && failed.hint().contains("access_token"));
        assert!(!format!("{failed} {failed:?}").contains("wr0ng-token"), "{failed}");
        let failed = source("t0ken\nhost=evil").fetch(&site.root.join("odd"), &cancel).await.unwrap_err();
        assert!(matches!(failed, CodeError::Login { .. }), "{failed}");
    }
}

#[tokio::test]
async fn a_look_shows_whether_the_login_may_read_and_brings_nothing() {
    let mut site = Site::new();
    let server = GitServer::with_tls(&mut site, &format!("{CANARY}:")).await;
    let origin = site.repository("code");
    let (repository, _) = Repository::parse(&server.url("private/code/.git")).unwrap();
    let look = async |token: &str, branch: &str| {
        let wanted = GitClone {
            login: Some(Login::of_access_token(&repository, token)),
            repository: repository.clone(),
            revision: Revision::Branch(branch.to_owned()),
            include_submodules: false,
            directories: Vec::new(),
            directory_name: "code".to_owned(),
        };
        GitSource::new(wanted, site.options.clone()).look(&CancellationToken::new()).await
    };
    let before = names(&site.root);
    let branch = origin.git(&["branch", "--show-current"]);
    let found = look(CANARY, branch.trim()).await.unwrap().unwrap();
    assert!(found.ends_with(&format!("at {}", origin.head())) && !found.contains(CANARY), "{found}");
    let refused = look("wr0ng-token", branch.trim()).await.unwrap_err();
    assert!(matches!(refused, CodeError::Refused { .. }), "{refused}");
    assert!(matches!(look(CANARY, "gone").await.unwrap_err(), CodeError::RevisionMissing { .. }));
    assert_eq!(names(&site.root), before);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_told_the_login() {
    for mut site in sites() {
        site.options.attempts = 1;
        let own = GitServer::with_tls(&mut site, LOGIN).await;
        let other = GitServer::with_tls(&mut site, LOGIN).await;
        site.repository("code");
        own.redirects_to(&other.url("private"));
        let run = site.run_directory("run");
        let inputs = json!({"repository": own.url_with(LOGIN, "moved/code/.git"), "clone_directory_name": "code"});
        let failed = site.git_clone(&run, inputs).await.unwrap_err();
        assert!(matches!(failed, CodeError::Refused { .. }), "{failed}");
        assert!(own.asked().iter().any(|asked| asked.login.is_some()));
        assert!(!other.asked().is_empty(), "the redirect was followed");
        assert!(other.asked().iter().all(|asked| asked.login.is_none()), "{:?}", other.asked());
    }
}

#[tokio::test]
async fn a_submodule_on_another_host_is_not_told_the_login() {
    for mut site in sites() {
        site.options.attempts = 1;
        let own = GitServer::with_tls(&mut site, LOGIN).await;
        let other = GitServer::with_tls(&mut site, LOGIN).await;
        let library = site.repository("library");
        let origin = site.repository("code");
        origin.git(&["config", "--file", ".gitmodules", "submodule.lib.path", "lib"]);
        origin.git(&["config", "--file", ".gitmodules", "submodule.lib.url", &other.url("private/library/.git")]);
        origin.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},lib", library.head())]);
        origin.git(&["add", ".gitmodules"]);
        origin.git(&["commit", "--quiet", "--message", "a submodule"]);
        let run = site.run_directory("run");
        let inputs = json!({
            "repository": own.url_with(LOGIN, "private/code/.git"),
            "include_submodules": true,
            "clone_directory_name": "code",
        });
        let failed = site.git_clone(&run, inputs).await.unwrap_err();
        assert!(matches!(failed, CodeError::Submodules { .. }), "{failed}");
        assert!(other.asked().iter().any(|asked| asked.path.starts_with("/private/library")));
        assert!(other.asked().iter().all(|asked| asked.login.is_none()), "{:?}", other.asked());
    }
}

#[tokio::test]
async fn a_helper_of_the_machine_is_asked_only_without_a_login_and_never_told_one() {
    for mut site in sites() {
        let server = GitServer::with_tls(&mut site, LOGIN).await;
        site.repository("code");
        let helper = format!(
            "!f() {{ echo \"$1\" >> {0}/helped; cat >> {0}/helped; echo username=me; echo password={CANARY}; }}; f",
            site.root
        );
        let config = site.root.join("gitconfig");
        fs_err::write(&config, "").unwrap();
        super::origin::git_in(&site.root, &["config", "--file", config.as_str(), "credential.helper", &helper]);
        site.options.env.insert("GIT_CONFIG_GLOBAL".to_owned(), config.into_string());
        let own = json!({"repository": server.url_with(LOGIN, "private/code/.git"), "clone_directory_name": "code"});
        site.git_clone(&site.run_directory("own"), own).await.unwrap();
        assert!(!site.root.join("helped").exists());
        let machine = json!({"repository": server.url("private/code/.git"), "clone_directory_name": "code"});
        site.git_clone(&site.run_directory("machine"), machine).await.unwrap();
        assert!(read(&site.root.join("helped")).contains("host=localhost"));
    }
}

#[tokio::test]
async fn over_http_only_a_login_of_the_url_is_sent() {
    let site = Site::with_cache();
    let server = GitServer::without_tls(&site, LOGIN).await;
    site.repository("code");
    let inputs = json!({"repository": server.url_with(LOGIN, "private/code/.git"), "clone_directory_name": "code"});
    site.git_clone(&site.run_directory("url"), inputs).await.unwrap();
    server.forget();
    let (repository, _) = Repository::parse(&server.url("private/code/.git")).unwrap();
    let wanted = GitClone {
        login: Some(Login::of_access_token(&repository, CANARY)),
        repository,
        revision: Revision::DefaultBranch,
        include_submodules: false,
        directories: Vec::new(),
        directory_name: "code".to_owned(),
    };
    let source = GitSource::new(wanted, site.options.clone());
    let failed = source.fetch(&site.root.join("token"), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(failed, CodeError::Refused { .. }), "{failed}");
    assert!(server.asked().iter().all(|asked| asked.login.is_none()));
}

#[tokio::test]
async fn certificates_and_unreachable_hosts_have_errors_of_their_own() {
    for mut site in sites() {
        site.options.attempts = 1;
        site.repository("code");
        let mut expired = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        let server = GitServer::with_certificate(&mut site, LOGIN, expired).await;
        let inputs = |url: String| json!({"repository": url, "clone_directory_name": "code"});
        let run = site.run_directory("run");
        let failed = site.git_clone(&run, inputs(server.url("open/code/.git"))).await.unwrap_err();
        assert!(matches!(failed, CodeError::Certificate { .. }), "{failed}");
        assert!(failed.hint().contains("clock"), "{}", failed.hint());

        let server = GitServer::with_tls(&mut site, LOGIN).await;
        site.options.env.insert("GIT_SSL_CAINFO".to_owned(), site.root.join("nobody.pem").into_string());
        let nobody = rcgen::generate_simple_self_signed(["nobody.test".to_owned()]).unwrap();
        fs_err::write(site.root.join("nobody.pem"), nobody.cert.pem()).unwrap();
        let failed = site.git_clone(&run, inputs(server.url("open/code/.git"))).await.unwrap_err();
        assert!(matches!(failed, CodeError::Certificate { .. }), "{failed}");

        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failed = site.git_clone(&run, inputs(format!("https://localhost:{free}/code"))).await.unwrap_err();
        assert!(matches!(failed, CodeError::Unreachable { .. }), "{failed}");
        assert_eq!(names(&run), Vec::<String>::new());
    }
}
