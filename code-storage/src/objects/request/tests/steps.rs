use camino::Utf8PathBuf;
use serde_json::{Value, json};

use super::super::{
    Addressing, AwsCredentials, AzureCredentials, GcpCredentials, ObjectPull, Store, Trust, Unreadable,
};
use super::map;

fn s3(inputs: &Value) -> Result<ObjectPull, Unreadable> {
    let mut all = map(&json!({"bucket": "b", "folder": "f", "requires": "prefect-aws>=0.5", "id": "pull"}));
    all.extend(map(inputs));
    ObjectPull::of_s3_step(&all)
}

fn s3_store(inputs: &Value) -> super::super::S3 {
    match s3(inputs).map(|pull| pull.store) {
        Ok(Store::S3(s3)) => s3,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_data_of_a_block_of_aws_are_read_as_the_api_gives_them() {
    let s3 = s3_store(&json!({"credentials": {
        "aws_access_key_id": "id", "aws_secret_access_key": "canary", "aws_session_token": null, "profile_name": null,
        "region_name": "eu-west-1", "assume_role_arn": null, "block_type_slug": "aws-credentials",
        "aws_client_parameters": {"api_version": null, "use_ssl": true, "verify": true, "verify_cert_path": null,
            "endpoint_url": "https://minio.test:9000/", "config": {"s3": {"addressing_style": "virtual"}, "retries": {"a": 1}}},
        "assume_role_kwargs": {"RoleSessionName": null},
    }}));
    assert_eq!(s3.region.as_deref(), Some("eu-west-1"));
    assert_eq!(s3.endpoint.as_ref().map(url::Url::as_str), Some("https://minio.test:9000/"));
    assert_eq!((s3.trust.clone(), s3.addressing, s3.tls), (Trust::Default, Addressing::Virtual, true));
    assert!(matches!(&s3.credentials, AwsCredentials::Keys(keys) if keys.id == "id" && keys.token.is_none()));
    assert!(!format!("{s3:?}").contains("canary"));
}

#[test]
fn the_parameters_of_the_step_are_for_credentials_without_their_own() {
    let parameters = json!({"endpoint_url": "http://step.test"});
    let with =
        |credentials: Value| s3_store(&json!({"credentials": credentials, "client_parameters": parameters})).endpoint;
    let keys = json!({"minio_root_user": "id", "minio_root_password": "secret"});
    assert!(with(keys.clone()).is_some());
    let mut own = keys;
    own["aws_client_parameters"] = json!({"use_ssl": true});
    assert!(with(own).is_none());
}

#[test]
fn roles_profiles_and_unsigned_requests_are_read() {
    let role = json!({"assume_role_arn": "arn:x", "assume_role_kwargs": {"ExternalId": "e", "DurationSeconds": 900}});
    let role = s3_store(&json!({"credentials": role})).role.expect("a role");
    assert_eq!(role.parameters, [("ExternalId", "e"), ("DurationSeconds", "900")].map(|(a, b)| (a.into(), b.into())));
    let profile = s3_store(&json!({"credentials": {"profile_name": "dev"}})).credentials;
    assert_eq!(profile, AwsCredentials::Profile("dev".to_owned()));
    let unsigned = s3_store(&json!({"client_parameters": {"config": {"signature_version": "unsigned"}}}));
    assert_eq!(unsigned.credentials, AwsCredentials::Anonymous);
    assert_eq!(s3_store(&json!({})).credentials, AwsCredentials::Ambient);
    let trust = s3_store(&json!({"client_parameters": {"verify": true, "verify_cert_path": "/ca.pem"}})).trust;
    assert_eq!(trust, Trust::File(Utf8PathBuf::from("/ca.pem")));
}

#[test]
fn what_is_not_known_here_is_left_to_the_sdk() {
    for inputs in [
        json!({"bucket": "arn:aws:s3:eu-west-1:1:accesspoint/x"}),
        json!({"bucket": "zone--x-s3"}),
        json!({"bucket": null}),
        json!({"folder": "./code"}),
        json!({"folder": "a/../b"}),
        json!({"folder": "/code"}),
        json!({"folder": "{{ folder }}"}),
        json!({"folder": 1}),
        json!({"new_input": true}),
        json!({"credentials": "{{ prefect.blocks.aws-credentials.x }}"}),
        json!({"credentials": {"aws_access_key_id": "id"}}),
        json!({"credentials": {"aws_access_key_id": "id", "aws_secret_access_key": "s", "profile_name": "p"}}),
        json!({"credentials": {"aws_access_key_id": "id", "minio_root_password": "s"}}),
        json!({"credentials": {"assume_role_arn": "arn", "assume_role_kwargs": {"Tags": [{"Key": "a"}]}}}),
        json!({"credentials": {"new": "x"}}),
        json!({"client_parameters": {"verify": false}}),
        json!({"client_parameters": {"endpoint_url": "http://user:pass@h.test"}}),
        json!({"client_parameters": {"config": {"signature_version": "s3"}}}),
        json!({"client_parameters": {"config": {"proxies": {"https": "x"}}}}),
        json!({"client_parameters": {"config": {"s3": {"use_accelerate_endpoint": true}}}}),
    ] {
        assert!(s3(&inputs).is_err(), "{inputs}");
    }
}

#[test]
fn steps_of_google_have_an_account_or_what_the_machine_has() {
    let step = |credentials: Value| {
        let inputs = json!({"bucket": "b", "folder": "f/", "project": "p", "credentials": credentials});
        ObjectPull::of_gcs_step(&map(&inputs)).map(|pull| {
            let Store::Gcs(gcs) = pull.store else { panic!("{pull}") };
            gcs.credentials
        })
    };
    let key = json!({"type": "service_account", "private_key": "canary", "private_key_id": "i", "client_email": "e"});
    let account =
        step(json!({"project": "p", "service_account_info": key, "service_account_file": null})).expect("read");
    assert!(matches!(account, GcpCredentials::ServiceAccount(_)));
    assert!(!format!("{account:?}").contains("canary"));
    assert_eq!(step(Value::Null), Ok(GcpCredentials::Ambient));
    assert_eq!(step(json!({"service_account_file": "/k"})), Ok(GcpCredentials::File("/k".into())));
    for left in [
        json!({"service_account_file": "~/k"}),
        json!({"service_account_info": {"type": "external_account"}}),
        json!({"service_account_info": "text"}),
        json!({"new": 1}),
    ] {
        assert!(step(left.clone()).is_err(), "{left}");
    }
}

#[test]
fn steps_of_azure_have_a_connection_string_or_an_account() {
    let step = |credentials: Value| {
        let inputs = json!({"container": "c", "folder": "f", "credentials": credentials});
        ObjectPull::of_azure_step(&map(&inputs)).map(|pull| {
            let Store::Azure(azure) = pull.store else { panic!("{pull}") };
            azure
        })
    };
    let connection = |text: &str| step(json!({"connection_string": text, "account_url": null}));
    let azure =
        connection("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=x.test").unwrap();
    assert_eq!((azure.account.as_str(), azure.endpoint.as_str()), ("acc", "https://acc.blob.x.test/"));
    assert!(matches!(azure.credentials, AzureCredentials::AccountKey(_)));
    let azure =
        connection("AccountName=dev;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/dev;QueueEndpoint=q").unwrap();
    assert_eq!((azure.account.as_str(), azure.endpoint.as_str()), ("dev", "http://127.0.0.1:1/dev"));
    let azure =
        connection("BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=canary").unwrap();
    assert_eq!(azure.account, "acc");
    assert!(matches!(&azure.credentials, AzureCredentials::Signature(_)));
    assert!(!format!("{azure:?}").contains("canary"));
    let azure = step(json!({"account_url": "https://acc.blob.core.windows.net/"})).unwrap();
    assert_eq!((azure.account.as_str(), azure.credentials), ("acc", AzureCredentials::Ambient));
    let principal =
        json!({"account_url": "https://a.test", "tenant_id": "t", "client_id": "c", "client_secret": "canary"});
    let azure = step(principal).unwrap();
    assert!(matches!(&azure.credentials, AzureCredentials::ServicePrincipal { tenant, .. } if tenant == "t"));
    assert!(!format!("{azure:?}").contains("canary"));
    for left in [
        json!({}),
        json!({"connection_string": "UseDevelopmentStorage=true"}),
        json!({"connection_string": "AccountName=a"}),
        json!({"account_url": "https://a.test/?sig=x"}),
        json!({"account_url": "https://a.test", "client_id": "c"}),
    ] {
        assert!(step(left.clone()).is_err(), "{left}");
    }
}
