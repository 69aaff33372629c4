//! Where keys come from when the step has none: answers of Amazon's services for them, as they are documented, and a real
//! store that knows only the keys that they give.

use super::server::{SECRETS, Site, is_list, names, status};
use axum::response::Response;
use code_storage::objects::{ObjectError, ObjectPull};
use serde_json::{Value, json};

/// What STS says, with the keys of the store.
fn session(action: &str) -> Response {
    status(
        200,
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
             <AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser><Credentials><AccessKeyId>AKIATEST</AccessKeyId>\
             <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></{action}Result></{action}Response>",
            SECRETS[0], SECRETS[1]
        ),
    )
}

fn keys() -> Response {
    let keys = json!({
        "Code": "Success", "AccessKeyId": "AKIATEST", "SecretAccessKey": SECRETS[0], "Token": SECRETS[1],
        "Expiration": "2099-01-01T00:00:00Z",
    });
    status(200, keys.to_string())
}

fn environment(site: &mut Site, variables: &[(&str, &str)]) {
    let endpoint = site.endpoint();
    site.options.environment.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
    for (name, value) in variables {
        site.options.environment.insert((*name).to_owned(), value.replace("{endpoint}", &endpoint));
    }
    site.options.environment.insert("HOME".to_owned(), site.root.join("home").into_string());
    site.put("code/flow.py", "flow");
}

async fn pull(site: &Site, credentials: Value) -> Result<(), ObjectError> {
    let inputs = json!({"bucket": "bucket", "folder": "code", "credentials": credentials});
    let pull = ObjectPull::of_s3_step(inputs.as_object().unwrap()).unwrap();
    site.pull(pull, &site.run()).await.map(drop)
}

fn signed_by(parts: &http::request::Parts, key: &str) -> bool {
    parts.headers.get("authorization").is_some_and(|value| value.to_str().unwrap().contains(key))
}

#[tokio::test]
async fn a_role_is_assumed_with_the_keys_of_the_block() {
    let mut site = Site::behind(|parts, _| {
        (parts.method == "POST").then(|| {
            assert!(signed_by(parts, "Credential=AKIABASE/"));
            assert!(signed_by(parts, "/eu-west-1/sts/aws4_request"));
            session("AssumeRole")
        })
    })
    .await;
    environment(&mut site, &[]);
    let credentials = json!({
        "aws_access_key_id": "AKIABASE", "aws_secret_access_key": SECRETS[2], "region_name": "eu-west-1",
        "assume_role_arn": "arn:aws:iam::1:role/r", "assume_role_kwargs": {"ExternalId": "e"},
    });
    pull(&site, credentials).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py"]);
    assert_eq!(site.requests().iter().filter(|request| request.starts_with("POST")).count(), 1, "and kept");
}

#[tokio::test]
async fn a_role_that_is_refused_is_told() {
    let mut site = Site::behind(|parts, _| {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                    <Message>User: arn:u is not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";
        (parts.method == "POST").then(|| status(403, body))
    })
    .await;
    environment(&mut site, &[("AWS_ACCESS_KEY_ID", "AKIABASE"), ("AWS_SECRET_ACCESS_KEY", "x")]);
    let failed = pull(&site, json!({"assume_role_arn": "arn:aws:iam::1:role/r"})).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::Denied { detail, .. } if detail.contains("sts:AssumeRole")), "{failed}");
}

#[tokio::test]
async fn a_profile_with_a_role_and_a_source_is_followed() {
    let mut site = Site::behind(|parts, _| (parts.method == "POST").then(|| session("AssumeRole"))).await;
    environment(&mut site, &[]);
    let aws = site.root.join("home/.aws");
    fs_err::create_dir_all(&aws).unwrap();
    fs_err::write(aws.join("config"), "[profile dev]\nrole_arn = arn:r\nsource_profile = base\nregion = eu-west-3\n")
        .unwrap();
    fs_err::write(aws.join("credentials"), "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = x\n")
        .unwrap();
    pull(&site, json!({"profile_name": "dev"})).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py"]);

    let failed = pull(&site, json!({"profile_name": "nope"})).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::NoCredentials { detail, .. } if detail.contains("`nope`")), "{failed}");
}

#[tokio::test]
async fn what_a_profile_has_for_the_sdk_only_is_left_to_it() {
    let mut site = Site::new().await;
    environment(&mut site, &[]);
    let aws = site.root.join("home/.aws");
    fs_err::create_dir_all(&aws).unwrap();
    for setting in ["credential_process = x", "sso_session = x", "role_arn = a\nmfa_serial = x", "s3 =\n  a = b"] {
        fs_err::write(aws.join("config"), format!("[default]\n{setting}\n")).unwrap();
        let failed = pull(&site, json!({})).await.unwrap_err();
        assert!(matches!(&failed, ObjectError::LeftToPrefect { .. }), "{setting}: {failed}");
    }
    assert_eq!(site.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pod_s_identity_is_exchanged_for_keys() {
    let mut site =
        Site::behind(|parts, _| (parts.method == "POST").then(|| session("AssumeRoleWithWebIdentity"))).await;
    let token = site.root.join("token");
    fs_err::write(&token, SECRETS[2]).unwrap();
    environment(&mut site, &[("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()), ("AWS_ROLE_ARN", "arn:r")]);
    pull(&site, json!({})).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py"]);
}

#[tokio::test]
async fn a_container_s_role_is_asked_for_with_its_token() {
    let mut site = Site::behind(|parts, _| {
        (parts.uri.path() == "/creds").then(|| {
            assert_eq!(parts.headers["authorization"], SECRETS[2]);
            keys()
        })
    })
    .await;
    let token = site.root.join("token");
    fs_err::write(&token, SECRETS[2]).unwrap();
    environment(
        &mut site,
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{endpoint}/creds"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
        ],
    );
    pull(&site, json!({})).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py"]);
}

#[tokio::test]
async fn a_machine_s_role_is_asked_for_with_a_token_of_a_session() {
    let mut site = Site::behind(|parts, _| {
        let token = || assert_eq!(parts.headers["x-aws-ec2-metadata-token"], "metadata");
        match (parts.method.as_str(), parts.uri.path()) {
            ("PUT", "/latest/api/token") => Some(status(200, "metadata")),
            ("GET", "/latest/meta-data/iam/security-credentials/") => {
                token();
                Some(status(200, "the-role"))
            }
            ("GET", "/latest/meta-data/iam/security-credentials/the-role") => {
                token();
                Some(keys())
            }
            _ => None,
        }
    })
    .await;
    environment(&mut site, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{endpoint}")]);
    pull(&site, json!({})).await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py"]);
}

#[tokio::test]
async fn without_any_keys_that_is_said() {
    let mut site = Site::new().await;
    environment(&mut site, &[("AWS_EC2_METADATA_DISABLED", "true")]);
    let failed = pull(&site, json!({})).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::NoCredentials { .. }), "{failed}");
    assert!(failed.to_string().contains("bucket bucket"), "{failed}");
    assert_eq!(names(&site.run()), Vec::<String>::new());
}

#[tokio::test]
async fn an_anonymous_request_is_not_signed() {
    let mut site = Site::behind(|parts, _| {
        assert!(!parts.headers.contains_key("authorization"));
        is_list(parts).then(|| super::server::listing(&["code/flow.py"])).or_else(|| Some(status(200, "flow")))
    })
    .await;
    environment(&mut site, &[]);
    let settings = json!({"anon": true});
    let (pull, to) = ObjectPull::of_url("s3://bucket/code", settings.as_object().unwrap()).unwrap();
    let into = site.run().join(to);
    fs_err::create_dir_all(into.parent().unwrap()).unwrap();
    site.pull(pull, &into).await.unwrap();
    assert_eq!(names(&site.run()), ["bucket/code/flow.py"]);
}
