//! A server for S3 that keeps its buckets in a directory, and what can be put before it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use camino::{Utf8Path, Utf8PathBuf};
use code_storage::objects::{FetchOptions, ObjectError, ObjectPull, ObjectSource, Tree};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// Words that must never be shown.
pub(crate) const SECRETS: [&str; 3] = ["canary-secret-key", "canary-token", "canary-signature"];

type Before = dyn Fn(&http::request::Parts, usize) -> Option<Response> + Send + Sync;

/// The server, and a directory for what is fetched from it.
pub(crate) struct Site {
    pub(crate) root: Utf8PathBuf,
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    pub(crate) options: FetchOptions,
    _directory: tempfile::TempDir,
    _server: tokio_util::sync::DropGuard,
}

#[derive(Clone)]
struct Shared {
    s3: S3Service,
    before: Arc<Before>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::behind(|_, _| None).await
    }

    /// A server before which `before` sees each request, with how many like it there were, and may answer instead.
    pub(crate) async fn behind(
        before: impl Fn(&http::request::Parts, usize) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
        for made in ["store", "store/bucket", "run"] {
            fs_err::create_dir(root.join(made)).unwrap();
        }
        let mut s3 = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.join("store")).unwrap());
        s3.set_auth(SimpleAuth::from_single("AKIATEST", SECRETS[0]));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared { s3: s3.build(), before: Arc::new(before), requests: Arc::clone(&requests) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let app = axum::Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await });
        let options = FetchOptions { first_back_off: std::time::Duration::from_millis(1), ..FetchOptions::default() };
        Self { root, address, requests, options, _directory: directory, _server: stop.drop_guard() }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes an object of the bucket.
    pub(crate) fn put(&self, key: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join("store/bucket").join(key);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    /// What was asked for, as method, path and query.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn run(&self) -> Utf8PathBuf {
        self.root.join("run")
    }

    /// The inputs of a `pull_from_s3` with the server's keys.
    pub(crate) fn inputs(&self, folder: &str) -> Map<String, Value> {
        let inputs = json!({
            "bucket": "bucket",
            "folder": folder,
            "credentials": {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": SECRETS[0]},
            "client_parameters": {"endpoint_url": self.endpoint()},
        });
        inputs.as_object().unwrap().clone()
    }

    pub(crate) async fn fetch(&self, folder: &str) -> Result<Tree, ObjectError> {
        self.pull(ObjectPull::of_s3_step(&self.inputs(folder)).unwrap(), &self.run()).await
    }

    pub(crate) async fn pull(&self, pull: ObjectPull, into: &Utf8Path) -> Result<Tree, ObjectError> {
        let source = ObjectSource::new(pull, self.options.clone());
        shows_no_secret(&source);
        let fetched = source.fetch(into, &CancellationToken::new()).await;
        shows_no_secret(&fetched);
        if let Err(error) = &fetched {
            shows_no_secret(&format!("{error} {}", error.hint()));
        }
        fetched
    }
}

fn shows_no_secret(value: &impl fmt::Debug) {
    let shown = format!("{value:?}");
    assert!(!SECRETS.iter().any(|secret| shown.contains(secret)), "{shown}");
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let like = {
        let mut requests = shared.requests.lock().unwrap();
        let line = format!("{} {}", parts.method, parts.uri);
        let like = requests.iter().filter(|other| **other == line).count();
        requests.push(line);
        like
    };
    if let Some(response) = (shared.before)(&parts, like) {
        return response;
    }
    let request = http::Request::from_parts(parts, s3s::Body::http_body_unsync(body));
    shared.s3.call(request).await.unwrap().map(Body::new)
}

/// An answer of a status with a text.
pub(crate) fn status(status: u16, text: impl Into<String>) -> Response {
    http::Response::builder().status(status).body(Body::from(text.into())).unwrap()
}

/// The answer with which S3 refuses.
pub(crate) fn refusal(code: u16, name: &str) -> Response {
    status(
        code,
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{name}</Code><Message>Says {name}.</Message>\
             <StringToSign>{}</StringToSign></Error>",
            SECRETS[2]
        ),
    )
}

/// A listing of these keys.
pub(crate) fn listing(keys: &[&str]) -> Response {
    let contents = keys.iter().fold(String::new(), |xml, key| xml + &format!("<Contents><Key>{key}</Key></Contents>"));
    status(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"))
}

pub(crate) fn is_list(parts: &http::request::Parts) -> bool {
    parts.uri.query().is_some_and(|query| query.contains("list-type=2"))
}

/// The files below a directory, by their relative paths.
pub(crate) fn files(directory: &Utf8Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in next.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path().to_owned());
            } else {
                let path = entry.path().strip_prefix(directory).unwrap().to_string();
                let content = entry.path().read_link_utf8().map(|to| to.into_string().into_bytes());
                files.insert(path, content.unwrap_or_else(|_| fs_err::read(entry.path()).unwrap()));
            }
        }
    }
    files
}

pub(crate) fn names(directory: &Utf8Path) -> Vec<String> {
    files(directory).into_keys().collect()
}
