//! A server of git repositories: `git http-backend` behind HTTP or TLS, with logins, redirects, LFS objects and a record
//! of what was asked.

use std::convert::Infallible;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::origin::Site;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// `user:password` of basic authentication.
    pub(crate) login: Option<String>,
    /// Whether it asked for objects rather than for the names of branches.
    pub(crate) fetches: bool,
}

/// Under `/open/` everybody reads, under `/private/` the login is wanted, and `/moved/` leads who has it to `moved_to`.
#[derive(Debug)]
pub(crate) struct GitServer {
    pub(crate) port: u16,
    scheme: &'static str,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    repositories: Utf8PathBuf,
    scheme: &'static str,
    login: String,
    moved_to: Mutex<Option<String>>,
    asked: Mutex<Vec<Asked>>,
    stalled: tokio::sync::watch::Sender<bool>,
}

impl GitServer {
    /// A server of the repositories in the site's directory, whose private ones want the login `user:password`. Clients of
    /// the site trust its certificate.
    pub(crate) async fn with_tls(site: &mut Site, login: &str) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        Self::with_certificate(site, login, CertificateParams::new(names).unwrap()).await
    }

    pub(crate) async fn with_certificate(site: &mut Site, login: &str, certificate: CertificateParams) -> Self {
        let signing_key = KeyPair::generate().unwrap();
        let certificate = certificate.self_signed(&signing_key).unwrap();
        let trusted = site.root.join(format!("ca-{}.pem", uuid()));
        let mut trust = site
            .options
            .env
            .remove("GIT_SSL_CAINFO")
            .map_or_else(String::new, |file| fs_err::read_to_string(file).unwrap());
        trust.push_str(&certificate.pem());
        fs_err::write(&trusted, trust).unwrap();
        site.options.env.insert("GIT_SSL_CAINFO".to_owned(), trusted.into_string());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self::start(&site.root, login, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(crate) async fn without_tls(site: &Site, login: &str) -> Self {
        Self::start(&site.root, login, None).await
    }

    async fn start(repositories: &Utf8Path, login: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            repositories: repositories.to_owned(),
            scheme,
            login: login.to_owned(),
            moved_to: Mutex::new(None),
            asked: Mutex::new(Vec::new()),
            stalled: tokio::sync::watch::Sender::new(false),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone(), Arc::clone(&serving)));
            }
        });
        Self { port, scheme, state }
    }

    /// The URL of something on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}/{path}", self.scheme, self.port)
    }

    /// The URL with a login in it.
    pub(crate) fn url_with(&self, login: &str, path: &str) -> String {
        format!("{}://{login}@localhost:{}/{path}", self.scheme, self.port)
    }

    pub(crate) fn redirects_to(&self, base: &str) {
        *self.state.moved_to.lock().unwrap() = Some(base.to_owned());
    }

    /// Sends one half of the objects that are asked for, and the other when it is told to go on.
    pub(crate) fn stall(&self, stalled: bool) {
        self.state.stalled.send_replace(stalled);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.state.asked.lock().unwrap().clear();
    }

    /// How many requests asked for objects.
    pub(crate) fn fetches(&self) -> usize {
        self.asked().iter().filter(|asked| asked.fetches).count()
    }
}

fn uuid() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(request).await) }
    });
    let builder = hyper::server::conn::http1::Builder::new();
    // A client that goes away in the middle is none of the server's business.
    match tls {
        None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            }
        }
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return status(StatusCode::BAD_REQUEST) };
        let body = body.to_bytes();
        let path = parts.uri.path().to_owned();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let login = header("authorization")
            .strip_prefix("Basic ")
            .map(|encoded| String::from_utf8_lossy(&BASE64.decode(encoded).unwrap_or_default()).into_owned());
        // A request of the second version of the protocol names its command first.
        let fetches = path.ends_with("/git-upload-pack") && contains(&body, b"command=fetch");
        self.asked.lock().unwrap().push(Asked { path: path.clone(), login: login.clone(), fetches });
        let is_private = path.starts_with("/private/") || path.starts_with("/moved/");
        if is_private && login.as_deref() != Some(self.login.as_str()) {
            let mut answer = status(StatusCode::UNAUTHORIZED);
            answer.headers_mut().insert("www-authenticate", "Basic realm=\"git\"".parse().unwrap());
            return answer;
        }
        if let Some(rest) = path.strip_prefix("/moved/") {
            let base = self.moved_to.lock().unwrap().clone().unwrap();
            let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            let mut answer = status(StatusCode::MOVED_PERMANENTLY);
            answer.headers_mut().insert("location", format!("{base}/{rest}{query}").parse().unwrap());
            return answer;
        }
        if path.ends_with("/info/lfs/objects/batch") {
            return self.lfs_batch(header("host"), &path, &body);
        }
        if let Some((_, object)) = path.split_once("/lfs-objects/") {
            return match fs_err::read(self.repositories.join("lfs-objects").join(object)) {
                Ok(content) => Response::new(Body::from(content)),
                Err(_) => status(StatusCode::NOT_FOUND),
            };
        }
        let path = path.strip_prefix("/open").or(path.strip_prefix("/private")).unwrap_or(&path).to_owned();
        let answer = self.backend(&path, &parts, &body).await;
        if !fetches {
            return answer;
        }
        let mut stalled = self.stalled.subscribe();
        let go_on = Box::pin(async move { drop(stalled.wait_for(|stalled| !stalled).await) });
        answer.map(|body| body.in_two_parts(go_on))
    }

    fn lfs_batch(&self, host: &str, path: &str, body: &Bytes) -> Response<Body> {
        let batch: Value = serde_json::from_slice(body).unwrap();
        let base = path.split_once("/info/lfs/").unwrap().0;
        let objects = batch.get("objects").and_then(Value::as_array).unwrap();
        let objects: Vec<Value> = objects
            .iter()
            .map(|object| {
                let (oid, size) = (object.get("oid").and_then(Value::as_str).unwrap(), object.get("size"));
                let href = format!("{}://{host}{base}/lfs-objects/{oid}", self.scheme);
                json!({"oid": oid, "size": size, "actions": {"download": {"href": href}}})
            })
            .collect();
        let mut answer =
            Response::new(Body::from(json!({"transfer": "basic", "objects": objects}).to_string().into_bytes()));
        answer.headers_mut().insert("content-type", "application/vnd.git-lfs+json".parse().unwrap());
        answer
    }

    /// Runs `git http-backend` as a CGI program.
    async fn backend(&self, path: &str, parts: &http::request::Parts, body: &Bytes) -> Response<Body> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut child = Command::new("git")
            .args(["-c", "safe.directory=*", "-c", "uploadpack.allowAnySHA1InWant=true"])
            .args(["-c", "uploadpack.allowFilter=true", "http-backend"])
            .env("GIT_PROJECT_ROOT", &self.repositories)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("REQUEST_METHOD", parts.method.as_str())
            .env("PATH_INFO", path)
            .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let ((), output) = tokio::join!(
            async move {
                // What the program does not read is not sent.
                drop(stdin.write_all(body).await);
            },
            child.wait_with_output()
        );
        parse(&output.unwrap().stdout)
    }
}

fn parse(output: &[u8]) -> Response<Body> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let (head, body) = output.split_at(end + 4);
    let mut answer = Response::new(Body::from(body.to_vec()));
    for line in String::from_utf8_lossy(head).lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        if name.eq_ignore_ascii_case("status") {
            *answer.status_mut() = StatusCode::from_bytes(value.split(' ').next().unwrap().as_bytes()).unwrap();
        } else {
            answer
                .headers_mut()
                .insert(hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
    }
    answer
}

fn status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::from(Vec::new()));
    *answer.status_mut() = status;
    answer
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
