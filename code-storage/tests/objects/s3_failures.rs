//! Servers that fail, and what they must not make of a pull.

use std::time::Duration;

use super::server::{SECRETS, Site, files, is_list, listing, names, refusal, status};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use code_storage::objects::{ObjectError, ObjectPull, ObjectSource};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// A body that breaks off after some bytes of those that it was to have.
fn cut(content: &'static [u8], after: usize) -> Response {
    let first = futures::stream::iter([Ok(Bytes::from_static(content).slice(..after))]);
    // Only what stands still for a moment is sent.
    let then = futures::stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut"))
    });
    http::Response::builder()
        .header("content-length", content.len())
        .header("etag", "\"one\"")
        .body(Body::from_stream(futures::StreamExt::chain(first, then)))
        .unwrap()
}

#[tokio::test]
async fn an_empty_folder_names_the_bucket_and_what_to_do() {
    let site = Site::new().await;
    site.put("other/flow.py", "flow");
    let failed = site.fetch("code").await.unwrap_err();
    assert_eq!(failed.to_string(), "S3 bucket bucket has no objects in the folder `code/`");
    assert!(failed.hint().contains("`folder`"));
    assert_eq!(names(&site.run()), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_key_and_a_missing_bucket_are_told_apart() {
    let site = Site::new().await;
    site.put("code/flow.py", "flow");
    let refused = async |key: &str, secret: &str, bucket: &str| {
        let inputs = json!({
            "bucket": bucket,
            "folder": "code",
            "credentials": {"aws_access_key_id": key, "aws_secret_access_key": secret},
            "client_parameters": {"endpoint_url": site.endpoint()},
        });
        let pull = ObjectPull::of_s3_step(inputs.as_object().unwrap()).unwrap();
        site.pull(pull, &site.run()).await.unwrap_err()
    };
    let failed = refused("AKIATEST", SECRETS[1], "bucket").await;
    assert!(matches!(&failed, ObjectError::CredentialsRefused { .. }), "{failed}");
    assert!(failed.to_string().contains("SignatureDoesNotMatch"), "{failed}");
    assert!(matches!(refused("AKIAOTHER", SECRETS[0], "bucket").await, ObjectError::CredentialsRefused { .. }));
    let failed = refused("AKIATEST", SECRETS[0], "nope").await;
    assert!(matches!(&failed, ObjectError::NoSuchBucket { .. }), "{failed}");
    assert!(failed.to_string().contains("nope"));
    assert_eq!(site.requests().len(), 3, "none is tried again");
}

#[tokio::test]
async fn denied_access_and_expired_tokens_are_named_by_what_the_server_says() {
    for (code, expected) in [
        ("AccessDenied", "access to S3 bucket bucket was denied: AccessDenied: Says AccessDenied."),
        (
            "ExpiredToken",
            "S3 bucket bucket cannot be read because its credentials were not accepted: \
             ExpiredToken: Says ExpiredToken.",
        ),
    ] {
        let site = Site::behind(move |_, _| Some(refusal(403, code))).await;
        assert_eq!(site.fetch("code").await.unwrap_err().to_string(), expected);
        assert_eq!(site.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_throttled_server_is_asked_again() {
    let site = Site::behind(|_, like| (like < 2).then(|| refusal(503, "SlowDown"))).await;
    site.put("code/flow.py", "flow");
    site.fetch("code").await.unwrap();
    assert_eq!(names(&site.run()), ["flow.py"]);
    assert_eq!(site.requests().len(), 6);
}

#[tokio::test]
async fn a_server_that_stays_throttled_is_given_up() {
    let site = Site::behind(|parts, _| (!is_list(parts)).then(|| refusal(503, "SlowDown"))).await;
    site.put("code/flow.py", "flow");
    let failed = site.fetch("code").await.unwrap_err();
    assert!(matches!(&failed, ObjectError::Unreachable { detail, .. } if detail.contains("code/flow.py")), "{failed}");
    assert_eq!(site.requests().len(), 6);
    assert_eq!(names(&site.run()), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_taken_up_where_it_did() {
    let site = Site::behind(|parts, like| {
        if is_list(parts) {
            return Some(listing(&["code/flow.py"]));
        }
        if like == 0 {
            return Some(cut(b"0123456789", 4));
        }
        assert_eq!(parts.headers["range"], "bytes=4-");
        assert_eq!(parts.headers["if-match"], "\"one\"");
        let rest =
            http::Response::builder().status(206).header("content-range", "bytes 4-9/10").header("etag", "\"one\"");
        Some(rest.body(Body::from("456789")).unwrap())
    })
    .await;
    let tree = site.fetch("code").await.unwrap();
    assert_eq!(tree.bytes, 10);
    assert_eq!(files(&site.run())["flow.py"], b"0123456789");
}

#[tokio::test]
async fn an_object_that_changes_meanwhile_is_fetched_anew() {
    let site = Site::behind(|parts, like| {
        if is_list(parts) {
            return Some(listing(&["code/flow.py"]));
        }
        Some(match like {
            0 => cut(b"0123456789", 4),
            1 => refusal(412, "PreconditionFailed"),
            _ => http::Response::builder().header("etag", "\"two\"").body(Body::from("other")).unwrap(),
        })
    })
    .await;
    site.fetch("code").await.unwrap();
    assert_eq!(files(&site.run())["flow.py"], b"other");
}

#[tokio::test]
async fn damage_is_noticed_and_repaired_or_told() {
    // The CRC-32 of "flow".
    let answer = |content: &'static str| {
        http::Response::builder().header("x-amz-checksum-crc32", "UsDWcA==").body(Body::from(content)).unwrap()
    };
    let site = Site::behind(move |parts, like| {
        Some(if is_list(parts) { listing(&["code/flow.py"]) } else { answer(if like == 0 { "flaw" } else { "flow" }) })
    })
    .await;
    site.fetch("code").await.unwrap();
    assert_eq!(files(&site.run())["flow.py"], b"flow");

    let site =
        Site::behind(move |parts, _| Some(if is_list(parts) { listing(&["code/flow.py"]) } else { answer("flaw") }))
            .await;
    let failed = site.fetch("code").await.unwrap_err();
    assert!(matches!(&failed, ObjectError::Damaged { key, .. } if key == "code/flow.py"), "{failed}");
    assert_eq!(names(&site.run()), Vec::<String>::new());
}

#[tokio::test]
async fn a_tag_that_looks_like_a_sum_and_is_none_is_no_damage() {
    let tag = "\"0123456789abcdef0123456789abcdef\"";
    let site = Site::behind(move |parts, _| {
        let object = || http::Response::builder().header("etag", tag).body(Body::from("flow")).unwrap();
        Some(if is_list(parts) { listing(&["code/flow.py"]) } else { object() })
    })
    .await;
    site.fetch("code").await.unwrap();
    assert_eq!(site.requests().len(), 3, "fetched twice to tell");
}

#[tokio::test]
async fn a_bucket_of_another_region_is_asked_there() {
    let site = Site::behind(|parts, _| {
        let signed_for = parts.headers["authorization"].to_str().unwrap();
        (!signed_for.contains("/eu-west-9/s3/")).then(|| {
            let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-9</Region></Error>";
            status(400, body)
        })
    })
    .await;
    site.put("code/flow.py", "flow");
    site.fetch("code").await.unwrap();
    assert_eq!(site.requests().len(), 3, "only the first request goes astray");

    let site = Site::behind(|_, _| Some(status(301, ""))).await;
    let failed = site.fetch("code").await.unwrap_err();
    assert!(matches!(&failed, ObjectError::WrongRegion { .. }), "{failed}");
}

#[tokio::test]
async fn keys_that_lead_elsewhere_or_exclude_each_other_are_named_and_nothing_is_written() {
    for (keys, named) in [
        (&["code/ok", "code/../../outside"][..], "code/../../outside"),
        (&["code/..", "code/ok"][..], "code/.."),
        (&["code/a", "code/a/b"][..], "code/a/b"),
        (&["code/a/b", "code/a//b"][..], "code/a//b"),
        (&["elsewhere/a"][..], "elsewhere/a"),
    ] {
        let site =
            Site::behind(move |parts, _| Some(if is_list(parts) { listing(keys) } else { status(200, "x") })).await;
        let failed = site.fetch("code").await.unwrap_err();
        assert!(matches!(&failed, ObjectError::Key { key, .. } if key == named), "{failed}");
        assert_eq!(names(&site.root), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_absolute_or_windows_like_key_stays_inside() {
    let keys = &["code//etc/passwd", "code/..\\..\\x", "code/C:\\y"];
    let site = Site::behind(move |parts, _| Some(if is_list(parts) { listing(keys) } else { status(200, "x") })).await;
    site.fetch("code").await.unwrap();
    assert_eq!(names(&site.root), ["run/..\\..\\x", "run/C:\\y", "run/etc/passwd"]);
}

#[tokio::test]
async fn a_link_in_the_way_is_not_followed() {
    let site = Site::new().await;
    site.put("code/inner/flow.py", "flow");
    site.put("code/top.py", "top");
    let outside = site.root.join("outside");
    fs_err::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, site.run().join("inner")).unwrap();
    let failed = site.fetch("code").await.unwrap_err();
    assert!(matches!(&failed, ObjectError::Key { key, .. } if key == "code/inner/flow.py"), "{failed}");
    assert_eq!(names(&outside), Vec::<String>::new());
    assert_eq!(names(&site.run()), ["inner"], "and nothing else was moved either");

    fs_err::remove_file(site.run().join("inner")).unwrap();
    fs_err::write(outside.join("file"), "kept").unwrap();
    std::os::unix::fs::symlink(outside.join("file"), site.run().join("top.py")).unwrap();
    std::os::unix::fs::symlink(&outside, site.run().join(".objects.partial")).unwrap();
    site.fetch("code").await.unwrap();
    assert_eq!(files(&outside), [("file".to_owned(), b"kept".to_vec())].into());
    assert_eq!(files(&site.run())["top.py"], b"top");
}

#[tokio::test]
async fn a_cancelled_fetch_and_one_that_takes_too_long_leave_nothing() {
    let mut site = Site::behind(|parts, _| {
        if is_list(parts) {
            return Some(listing(&["code/flow.py"]));
        }
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"begin"))]);
        let never = futures::stream::pending();
        Some(http::Response::new(Body::from_stream(futures::StreamExt::chain(first, never))))
    })
    .await;
    site.options.time_limit = Duration::from_millis(300);
    let failed = site.fetch("code").await.unwrap_err();
    assert_eq!(failed.to_string(), "S3 bucket bucket was not fetched within 0.3 s");
    assert_eq!(names(&site.root), Vec::<String>::new());

    site.options.time_limit = Duration::from_mins(1);
    let source = ObjectSource::new(ObjectPull::of_s3_step(&site.inputs("code")).unwrap(), site.options.clone());
    let cancel = CancellationToken::new();
    let run = site.run();
    let unfinished = run.join(".objects.partial/flow.py");
    let (failed, ()) = tokio::join!(source.fetch(&run, &cancel), async {
        while !unfinished.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        cancel.cancel();
    });
    assert_eq!(failed.unwrap_err().to_string(), "the fetch of S3 bucket bucket was cancelled");
    assert_eq!(names(&site.root), Vec::<String>::new());
}

#[tokio::test]
async fn a_fetch_that_was_killed_shows_nothing_and_the_next_one_succeeds() {
    let site = Site::behind(|parts, like| {
        let stuck = || http::Response::new(Body::from_stream(futures::stream::pending::<std::io::Result<Bytes>>()));
        (!is_list(parts) && like == 0 && parts.uri.path().ends_with("b.py")).then(stuck)
    })
    .await;
    site.put("code/a.py", "a");
    site.put("code/b.py", "b");
    let into = site.run().join("code");
    let pull = ObjectPull::of_s3_step(&site.inputs("code")).unwrap();
    let source = ObjectSource::new(pull.clone(), site.options.clone());
    let unfinished = site.run().join(".code.partial/a.py");
    let cancel = CancellationToken::new();
    tokio::select! {
        ended = source.fetch(&into, &cancel) => panic!("{ended:?}"),
        () = async {
            while !fs_err::read(&unfinished).is_ok_and(|content| content == b"a") {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        } => {}
    }
    assert!(!into.exists());
    site.pull(pull, &into).await.unwrap();
    assert_eq!(names(&site.run()), ["code/a.py", "code/b.py"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unreachable() {
    let site = Site::new().await;
    let mut inputs = site.inputs("code");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    inputs["client_parameters"] = json!({"endpoint_url": format!("http://{closed}")});
    let failed = site.pull(ObjectPull::of_s3_step(&inputs).unwrap(), &site.run()).await.unwrap_err();
    assert!(matches!(&failed, ObjectError::Unreachable { .. }), "{failed}");
    assert!(failed.to_string().contains("onnection refused"), "{failed}");
}
