use serde_json::{Value, json};

use super::super::{AwsCredentials, AzureCredentials, GcpCredentials, ObjectPull, Store, Unreadable};
use super::map;

fn read(url: &str, settings: &Value) -> Result<(ObjectPull, String), Unreadable> {
    ObjectPull::of_url(url, &map(settings)).map(|(pull, to)| (pull, to.into_string()))
}

#[test]
fn the_destination_is_the_bucket_and_the_path() {
    for (url, to, shown) in [
        ("s3://bucket/my/code", "bucket/my/code", "s3://bucket/my/code/"),
        ("s3://bucket/my/code/", "bucket/my/code", "s3://bucket/my/code/"),
        ("gs://bucket", "bucket/", "gs://bucket/"),
        ("gcs://bucket/x", "bucket/x", "gs://bucket/x/"),
    ] {
        let (pull, destination) = read(url, &json!({})).unwrap();
        assert_eq!((destination.as_str(), pull.to_string().as_str()), (to, shown));
    }
}

#[test]
fn settings_of_s3fs_are_read() {
    let store = |settings: Value| match read("s3://b/f", &settings).map(|(pull, _)| pull.store) {
        Ok(Store::S3(s3)) => s3,
        other => panic!("{other:?}"),
    };
    let s3 = store(json!({
        "key": "id", "secret": "canary", "token": "canary", "endpoint_url": "http://h.test", "requires": "s3fs",
        "client_kwargs": {"region_name": "eu-west-1"}, "config_kwargs": {"s3": {"addressing_style": "path"}},
        "use_listings_cache": false, "requester_pays": true, "pull_interval": 60,
    }));
    assert!(matches!(&s3.credentials, AwsCredentials::Keys(keys) if keys.id == "id" && keys.token.is_some()));
    assert_eq!((s3.region.as_deref(), s3.requester_pays), (Some("eu-west-1"), true));
    assert!(s3.endpoint.is_some());
    assert!(!format!("{s3:?}").contains("canary"));
    assert_eq!(store(json!({"anon": true, "key": "a", "secret": "b"})).credentials, AwsCredentials::Anonymous);
    assert_eq!(store(json!({"profile": "dev"})).credentials, AwsCredentials::Profile("dev".to_owned()));
    let keys =
        json!({"client_kwargs": {"aws_access_key_id": "id", "aws_secret_access_key": "s", "endpoint_url": "http://h"}});
    assert!(matches!(store(keys).credentials, AwsCredentials::Keys(_)));
}

#[test]
fn settings_of_gcsfs_and_adlfs_are_read() {
    let gcs = |settings: Value| match read("gs://b/f", &settings).map(|(pull, _)| pull.store) {
        Ok(Store::Gcs(gcs)) => gcs.credentials,
        other => panic!("{other:?}"),
    };
    assert_eq!(gcs(json!({"token": "anon", "project": "p"})), GcpCredentials::Anonymous);
    assert_eq!(gcs(json!({"token": "/key.json"})), GcpCredentials::File("/key.json".into()));
    assert!(matches!(gcs(json!({"token": "ya29.canary"})), GcpCredentials::Token(_)));
    assert_eq!(gcs(json!({})), GcpCredentials::Ambient);
    let azure = |settings: Value| match read("az://c/f", &settings).map(|(pull, _)| pull.store) {
        Ok(Store::Azure(azure)) => azure,
        other => panic!("{other:?}"),
    };
    let keyed = azure(json!({"account_name": "acc", "account_key": "a2V5"}));
    assert_eq!(keyed.endpoint.as_str(), "https://acc.blob.core.windows.net/");
    assert!(matches!(keyed.credentials, AzureCredentials::AccountKey(_)));
    let signed = azure(json!({"account_name": "acc", "sas_token": "?sv=1&sig=canary"}));
    assert!(matches!(&signed.credentials, AzureCredentials::Signature(_)));
    assert_eq!(azure(json!({"account_name": "acc", "anon": true})).credentials, AzureCredentials::Anonymous);
    assert_eq!(azure(json!({"account_name": "acc"})).credentials, AzureCredentials::Ambient);
}

#[test]
fn what_is_not_known_here_is_left_to_the_sdk() {
    for (url, settings) in [
        ("file:///tmp/code", json!({})),
        ("memory://x", json!({})),
        ("bucket/path", json!({})),
        ("s3://user@bucket/x", json!({})),
        ("s3://bucket/a?versionId=1", json!({})),
        ("s3://bucket//a", json!({})),
        ("s3://bucket/a/../b", json!({})),
        ("s3://b/f", json!({"new": 1})),
        ("s3://b/f", json!({"key": "id"})),
        ("s3://b/f", json!({"key": "a", "secret": "b", "username": "c"})),
        ("s3://b/f", json!({"version_aware": true})),
        ("s3://b/f", json!({"s3_additional_kwargs": {"SSECustomerKey": "x"}})),
        ("s3://b/f", json!({"client_kwargs": {"verify": false}})),
        ("s3://b/f", json!({"endpoint_url": "http://a", "client_kwargs": {"endpoint_url": "http://b"}})),
        ("gs://b/f", json!({"project": "p"})),
        ("gs://b/f", json!({"token": "browser"})),
        ("gs://b/f", json!({"requester_pays": true, "token": "anon"})),
        ("az://c/f", json!({})),
        ("az://c/f", json!({"account_name": "a", "account_key": "k", "sas_token": "s=1"})),
        ("abfs://c@a.dfs.core.windows.net/f", json!({})),
        ("adl://c/f", json!({})),
    ] {
        assert!(read(url, &settings).is_err(), "{url} {settings}");
    }
}
