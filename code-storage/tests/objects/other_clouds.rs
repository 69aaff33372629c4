//! Google Cloud Storage and Azure Blob Storage, by servers that speak what is documented of their protocols.

use super::server::{SECRETS, Site, files, names, status};
use axum::body::Body;
use axum::response::Response;
use code_storage::objects::{ObjectError, ObjectPull};
use serde_json::{Value, json};

fn google(site: &Site, folder: &str, token: &str) -> ObjectPull {
    let settings = json!({"token": token, "endpoint_url": site.endpoint()});
    ObjectPull::of_url(&format!("gs://bucket/{folder}"), settings.as_object().unwrap()).unwrap().0
}

fn object(content: &'static str, headers: &[(&'static str, &'static str)]) -> Response {
    let mut response = Response::new(Body::from(content));
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().unwrap());
    }
    response
}

/// The CRC-32C and the MD5 of "flow".
const FLOW_HASHES: [(&str, &str); 2] =
    [("x-goog-hash", "crc32c=srjs1g=="), ("x-goog-hash", "md5=z/VJcSEQTCuODLQe0gg6mw==")];

fn google_answers(parts: &http::request::Parts) -> Response {
    let token = parts.headers.get("authorization").unwrap().to_str().unwrap();
    assert_eq!(token, format!("Bearer ya29.{}", SECRETS[1]));
    let uri = parts.uri.to_string();
    match uri.as_str() {
        "/storage/v1/b/bucket/o?prefix=code%2F&fields=nextPageToken,items(name,generation,size)" => status(
            200,
            json!({"nextPageToken": "a b/c", "items": [{"name": "code/flow.py"}, {"name": "code/inner/"}]}).to_string(),
        ),
        "/storage/v1/b/bucket/o?prefix=code%2F&fields=nextPageToken,items(name,generation,size)&pageToken=a%20b%2Fc" => {
            status(200, json!({"items": [{"name": "code/inner/a b.txt"}]}).to_string())
        }
        "/download/storage/v1/b/bucket/o/code%2Fflow.py?alt=media" => object("flow", &FLOW_HASHES),
        "/download/storage/v1/b/bucket/o/code%2Finner%2Fa%20b.txt?alt=media" => object(
            "text",
            &[("x-goog-hash", "md5=z/VJcSEQTCuODLQe0gg6mw=="), ("x-goog-stored-content-encoding", "gzip")],
        ),
        _ => unreachable!("{uri}"),
    }
}

#[tokio::test]
async fn a_folder_of_google_comes_with_its_sums_checked() {
    let site = Site::behind(|parts, _| Some(google_answers(parts))).await;
    let tree = site.pull(google(&site, "code", &format!("ya29.{}", SECRETS[1])), &site.run()).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py", "inner/a b.txt"]);
    assert_eq!((tree.objects, tree.source.as_str()), (2, "gs://bucket/code/"));
}

#[tokio::test]
async fn failures_of_google_are_told_apart() {
    let said = |message: &str| json!({"error": {"code": 0, "message": message, "errors": []}}).to_string();
    for (code, expected) in [
        (404, "GCS bucket bucket does not exist: It says so."),
        (403, "access to GCS bucket bucket was denied: It says so."),
        (401, "GCS bucket bucket cannot be read because its credentials were not accepted: It says so."),
        (503, "GCS bucket bucket could not be reached: It says so."),
    ] {
        let site = Site::behind(move |_, _| Some(status(code, said("It says so.")))).await;
        let failed = site.pull(google(&site, "code", "anon"), &site.run()).await.unwrap_err();
        assert_eq!(failed.to_string(), expected);
    }
    let site = Site::behind(|parts, _| {
        let listing = || status(200, json!({"items": [{"name": "code/flow.py"}]}).to_string());
        Some(if parts.uri.path().starts_with("/storage") { listing() } else { object("flaw", &FLOW_HASHES) })
    })
    .await;
    let failed = site.pull(google(&site, "code", "anon"), &site.run()).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::Damaged { .. }), "{failed}");
}

#[tokio::test]
async fn a_service_account_signs_its_own_token() {
    let mut site = Site::behind(|parts, _| {
        let token = parts.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        assert_eq!(token.split('.').count(), 3);
        Some(status(200, json!({"items": [{"name": "code/flow.py"}]}).to_string()))
    })
    .await;
    let key = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    assert!(key.status.success());
    let info = json!({
        "type": "service_account", "private_key": String::from_utf8(key.stdout).unwrap(),
        "private_key_id": "id", "client_email": "flow@project.test",
    });
    site.options.environment.insert("STORAGE_EMULATOR_HOST".to_owned(), site.endpoint());
    let inputs = json!({"bucket": "bucket", "folder": "code", "credentials": {"service_account_info": info}});
    let pull = ObjectPull::of_gcs_step(inputs.as_object().unwrap()).unwrap();
    site.pull(pull, &site.run()).await.unwrap();
    // The same key as the file that the environment names.
    let file = site.root.join("key.json");
    fs_err::write(&file, info.to_string()).unwrap();
    site.options.environment.insert("GOOGLE_APPLICATION_CREDENTIALS".to_owned(), file.into_string());
    let inputs = json!({"bucket": "bucket", "folder": "code"});
    let pull = ObjectPull::of_gcs_step(inputs.as_object().unwrap()).unwrap();
    site.pull(pull, &site.run()).await.unwrap();
    assert_eq!(site.requests().len(), 4);
}

#[tokio::test]
async fn a_machine_of_google_has_an_account() {
    let mut site = Site::behind(|parts, _| {
        Some(match parts.uri.path() {
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                assert_eq!(parts.headers["metadata-flavor"], "Google");
                let token = format!("ya29.{}", SECRETS[1]);
                status(200, json!({"access_token": token, "expires_in": 3000, "token_type": "Bearer"}).to_string())
            }
            _ => google_answers(parts),
        })
    })
    .await;
    let host = site.endpoint().replace("http://", "");
    for (name, value) in [("STORAGE_EMULATOR_HOST", &site.endpoint()), ("GCE_METADATA_HOST", &host)] {
        site.options.environment.insert(name.to_owned(), value.clone());
    }
    let inputs = json!({"bucket": "bucket", "folder": "code"});
    let pull = ObjectPull::of_gcs_step(inputs.as_object().unwrap()).unwrap();
    site.pull(pull.clone(), &site.run()).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py", "inner/a b.txt"]);

    site.options.environment.insert("NO_GCE_CHECK".to_owned(), "true".to_owned());
    let failed = site.pull(pull, &site.run()).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::LeftToPrefect { .. }), "{failed}");
}

fn azure(site: &Site, credentials: &Value) -> ObjectPull {
    let credentials: Value =
        serde_json::from_str(&credentials.to_string().replace("{endpoint}", &site.endpoint())).unwrap();
    let inputs = json!({"container": "box", "folder": "code", "credentials": credentials});
    ObjectPull::of_azure_step(inputs.as_object().unwrap()).unwrap()
}

const LISTING: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <EnumerationResults ServiceEndpoint=\"http://x/\" ContainerName=\"box\"><Prefix>code/</Prefix><Blobs>\
    <Blob><Name>code/flow.py</Name><Properties><Content-MD5>x</Content-MD5></Properties><Metadata/></Blob>\
    <Blob><Name>code/inner</Name><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata></Blob>";

fn azure_answers(parts: &http::request::Parts) -> Response {
    let query = parts.uri.query().unwrap_or_default();
    match parts.uri.path() {
        "/acc/box" if query.contains("marker=2%21x") => status(
            200,
            "<EnumerationResults><Blobs><Blob><Name Encoded=\"true\">code/inner/a%20b</Name></Blob></Blobs>\
             <NextMarker/></EnumerationResults>",
        ),
        "/acc/box" => {
            assert!(query.starts_with("restype=container&comp=list&include=metadata&prefix=code%2F"), "{query}");
            status(200, format!("{LISTING}</Blobs><NextMarker>2!x</NextMarker></EnumerationResults>"))
        }
        "/acc/box/code/flow.py" => object("flow", &[("content-md5", "z/VJcSEQTCuODLQe0gg6mw=="), ("etag", "\"1\"")]),
        // A sum that the uploader has stated wrongly.
        "/acc/box/code/inner/a%20b" => {
            object("text", &[("content-md5", "z/VJcSEQTCuODLQe0gg6mw=="), ("etag", "\"2\"")])
        }
        other => unreachable!("{other}"),
    }
}

#[tokio::test]
async fn a_folder_of_azure_comes_with_a_key_or_a_signature() {
    let site = Site::behind(|parts, _| {
        assert!(parts.headers["authorization"].to_str().unwrap().starts_with("SharedKey acc:"));
        Some(azure_answers(parts))
    })
    .await;
    let keyed = json!({"connection_string": "AccountName=acc;AccountKey=Y2FuYXJ5;BlobEndpoint={endpoint}/acc;"});
    let tree = site.pull(azure(&site, &keyed), &site.run()).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py", "inner/a b"]);
    assert_eq!(tree.source, "az://box/code/");

    let site = Site::behind(|parts, _| {
        assert!(parts.uri.query().unwrap().contains(&format!("sig={}", SECRETS[2])));
        Some(azure_answers(parts))
    })
    .await;
    let connection = format!("SharedAccessSignature=sv=2023&sig={};BlobEndpoint={{endpoint}}/acc", SECRETS[2]);
    site.pull(azure(&site, &json!({"connection_string": connection})), &site.run()).await.unwrap();
    assert_eq!(files(&site.run())["inner/a b"], b"text");
}

#[tokio::test]
async fn failures_of_azure_are_told_apart_and_show_no_signature() {
    for (code, name, expected) in [
        (404, "ContainerNotFound", "Azure container box does not exist: ContainerNotFound: It says so."),
        (
            403,
            "AuthenticationFailed",
            "Azure container box cannot be read because its credentials were not accepted: \
             AuthenticationFailed: It says so.",
        ),
        (
            403,
            "AuthorizationPermissionMismatch",
            "access to Azure container box was denied: AuthorizationPermissionMismatch: It says so.",
        ),
        (503, "ServerBusy", "Azure container box could not be reached: ServerBusy: It says so."),
    ] {
        let site = Site::behind(move |_, _| {
            let mut response = status(
                code,
                format!("<?xml version=\"1.0\"?><Error><Code>{name}</Code><Message>It says so.\nRequestId:x</Message></Error>"),
            );
            response.headers_mut().insert("x-ms-error-code", name.parse().unwrap());
            Some(response)
        })
        .await;
        let connection = format!("SharedAccessSignature=sv=2023&sig={};BlobEndpoint={{endpoint}}/acc", SECRETS[2]);
        let failed = site.pull(azure(&site, &json!({"connection_string": connection})), &site.run()).await.unwrap_err();
        assert_eq!(failed.to_string(), expected);
    }
    // An endpoint that is not there must not put the signature into the message either.
    let mut site = Site::new().await;
    site.options.attempts = 1;
    let connection = format!("SharedAccessSignature=sv=2023&sig={};BlobEndpoint=http://127.0.0.1:1/acc", SECRETS[2]);
    let failed = site.pull(azure(&site, &json!({"connection_string": connection})), &site.run()).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::Unreachable { .. }), "{failed}");
}
