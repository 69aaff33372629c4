use serde_json::{Value, json};

use super::super::{ObjectPull, Unreadable};
use super::map;

fn shown(slug: &str, data: &Value, path: Option<&str>) -> Result<String, Unreadable> {
    ObjectPull::of_block(slug, &map(data), path).map(|pull| pull.to_string())
}

#[test]
fn each_block_finds_its_folder_in_its_own_way() {
    let s3 = json!({"bucket_name": "b", "bucket_folder": "base", "credentials": {"region_name": "x"}});
    let gcs = json!({"bucket": "b", "bucket_folder": "base", "gcp_credentials": {"project": "p"}});
    let azure = json!({"container_name": "c", "base_folder": "base", "credentials": {"account_url": "https://a.test"}});
    let remote = json!({"basepath": "s3://b/base/", "settings": {"anon": true}});
    let local = json!({"basepath": "/srv/flows"});
    for (slug, data, path, expected) in [
        ("s3-bucket", &s3, None, "s3://b/base/"),
        ("s3-bucket", &s3, Some("other"), "s3://b/other/"),
        ("gcs-bucket", &gcs, None, "gs://b/base/"),
        ("gcs-bucket", &gcs, Some("inner"), "gs://b/base/inner/"),
        ("gcs-bucket", &gcs, Some("base/inner"), "gs://b/base/inner/"),
        ("gcs-bucket", &gcs, Some("base-2"), "gs://b/base/base-2/"),
        ("gcs-bucket", &gcs, Some("base"), "gs://b/base/base/"),
        ("azure-blob-storage-container", &azure, None, "az://c/base/"),
        ("azure-blob-storage-container", &azure, Some("inner"), "az://c/base/inner/"),
        ("remote-file-system", &remote, None, "s3://b/base/"),
        ("remote-file-system", &remote, Some("inner"), "s3://b/base/inner/"),
        ("local-file-system", &local, None, "/srv/flows"),
        ("local-file-system", &local, Some("inner"), "/srv/flows/inner"),
        ("local-file-system", &local, Some("/srv/flows/inner"), "/srv/flows/inner"),
    ] {
        assert_eq!(shown(slug, data, path).as_deref(), Ok(expected), "{slug} {path:?}");
    }
}

#[test]
fn what_is_not_known_here_is_left_to_the_sdk() {
    for (slug, data, path) in [
        ("s3", json!({"bucket_path": "b/x"}), None),
        ("s3-bucket", json!({"bucket_name": "b", "new": 1}), None),
        ("s3-bucket", json!({"bucket_name": "b"}), Some("")),
        ("s3-bucket", json!({"bucket_name": "b"}), Some(".")),
        ("azure-blob-storage-container", json!({"container_name": "c"}), None),
        ("remote-file-system", json!({"basepath": "s3://b", "settings": {}}), Some("s3://c/x")),
        ("remote-file-system", json!({"basepath": "smb://b"}), None),
        ("local-file-system", json!({"basepath": "~/flows"}), None),
        ("local-file-system", json!({"basepath": null}), None),
        ("local-file-system", json!({"basepath": "/srv"}), Some("~/flows")),
        ("remote-file-system", json!({"basepath": "s3://b", "settings": {}}), Some("//c/x")),
    ] {
        assert!(shown(slug, &data, path).is_err(), "{slug} {data} {path:?}");
    }
}
