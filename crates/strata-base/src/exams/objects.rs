//! The exam of the `Objects` and `Multipart` ports.

use std::collections::BTreeMap;

use crate::objects::{
    Attributes, Body, ByteStream, CopyObject, DeleteObject, Expected, ListObjects, ListUploads, Multipart,
    ObjectError, PartClaim, PartInfo, Precondition,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

/// Every question, on an empty store that is left empty, but for the bucket `exam`.
pub async fn all(store: &dyn Multipart) {
    buckets(store).await;
    store.create_bucket("exam").await.unwrap();
    whole_objects(store).await;
    any_key(store).await;
    digests(store).await;
    failing_bodies(store).await;
    preconditions(store).await;
    ranges(store).await;
    replaced_while_read(store).await;
    listing(store).await;
    tags(store).await;
    copies(store).await;
    deletions(store).await;
    uploads(store).await;
    upload_listing(store).await;
    concurrent_puts(store).await;
}

/// A body in pieces of 100,000 bytes.
pub fn body(bytes: impl Into<Bytes>) -> ByteStream {
    let bytes: Bytes = bytes.into();
    let pieces: Vec<std::io::Result<Bytes>> = (0..bytes.len())
        .step_by(100_000)
        .map(|at| Ok(bytes.slice(at..bytes.len().min(at + 100_000))))
        .collect();
    futures::stream::iter(pieces).boxed()
}

async fn put(store: &dyn Multipart, key: &str, bytes: impl Into<Bytes>) {
    store
        .put("exam", key, body(bytes), Attributes::default(), Expected::new(), Precondition::default())
        .await
        .unwrap();
}

async fn read(store: &dyn Multipart, key: &str) -> Vec<u8> {
    collect(store.get("exam", key, None).await.unwrap().1).await
}

async fn collect(stream: ByteStream) -> Vec<u8> {
    stream
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend(piece);
            Ok(all)
        })
        .await
        .unwrap()
}

async fn keys(store: &dyn Multipart, prefix: &str) -> Vec<String> {
    let query =
        ListObjects { bucket: "exam".into(), prefix: prefix.into(), limit: 10_000, ..Default::default() };
    store.list(&query).await.unwrap().objects.into_iter().map(|info| info.key).collect()
}

async fn buckets(store: &dyn Multipart) {
    assert!(store.buckets().await.unwrap().is_empty());
    store.create_bucket_in("beta", "eu-west-1").await.unwrap();
    store.create_bucket("alpha").await.unwrap();
    assert!(matches!(store.create_bucket("alpha").await, Err(ObjectError::BucketExists(_))));
    assert!(matches!(store.create_bucket("No").await, Err(ObjectError::InvalidName(_))));
    let names: Vec<String> = store.buckets().await.unwrap().into_iter().map(|bucket| bucket.name).collect();
    assert_eq!(names, ["alpha", "beta"]);
    assert_eq!(store.region("beta").await.unwrap(), "eu-west-1");
    assert_eq!(store.bucket("beta").await.unwrap().name, "beta");

    let attributes = Attributes::default();
    store.put("beta", "k", body("x"), attributes, Expected::new(), Precondition::default()).await.unwrap();
    assert!(matches!(store.delete_bucket("beta").await, Err(ObjectError::BucketNotEmpty(_))));
    store.delete("beta", "k").await.unwrap();
    store.start_upload("beta", "unfinished", Attributes::default(), None).await.unwrap();
    store.delete_bucket("beta").await.unwrap();
    store.delete_bucket("alpha").await.unwrap();
    assert!(matches!(store.delete_bucket("alpha").await, Err(ObjectError::NoBucket(_))));
    assert!(matches!(store.bucket("alpha").await, Err(ObjectError::NoBucket(_))));
    assert!(matches!(store.head("alpha", "k").await, Err(ObjectError::NoBucket(_))));
    assert!(matches!(
        store.list(&ListObjects { bucket: "alpha".into(), ..Default::default() }).await,
        Err(ObjectError::NoBucket(_))
    ));
}

async fn whole_objects(store: &dyn Multipart) {
    let attributes = Attributes {
        content_type: Some("text/csv".into()),
        user: BTreeMap::from([("made-by".to_string(), "exam".to_string())]),
        tags: BTreeMap::from([("stage".to_string(), "raw".to_string())]),
        ..Default::default()
    };
    let put =
        store.put("exam", "k", body("hello"), attributes.clone(), Expected::new(), Precondition::default());
    let put = put.await.unwrap();
    assert_eq!((put.size, put.etag.as_str()), (5, "5d41402abc4b2a76b9719d911017c592"));
    let head = store.head("exam", "k").await.unwrap();
    assert_eq!(head, put);
    assert_eq!(head.attributes, attributes);
    assert_eq!(read(store, "k").await, b"hello");
    let (info, path) = store.file("exam", "k").await.unwrap().expect("a file");
    assert_eq!((info, std::fs::read(path).unwrap()), (put, b"hello".to_vec()));

    store.delete("exam", "k").await.unwrap();
    store.delete("exam", "k").await.unwrap();
    assert!(matches!(store.head("exam", "k").await, Err(ObjectError::NoObject { .. })));
    assert!(matches!(store.get("exam", "k", None).await, Err(ObjectError::NoObject { .. })));
    assert!(matches!(store.delete("nowhere", "k").await, Err(ObjectError::NoBucket(_))));
    let put = store.put("nowhere", "k", body(""), attributes, Expected::new(), Precondition::default()).await;
    assert!(matches!(put, Err(ObjectError::NoBucket(_))));
}

async fn any_key(store: &dyn Multipart) {
    let long = "é".repeat(512);
    let names = ["a", "a/b", "a/", "/", "../../etc/passwd", "nul\0nul", "new\nline", "%2e", "🦀", " ", &long];
    for name in names {
        put(store, name, name.to_string()).await;
    }
    for name in names {
        assert_eq!(read(store, name).await, name.as_bytes(), "{name:?}");
    }
    let mut sorted: Vec<&str> = names.to_vec();
    sorted.sort_by_key(|name| name.as_bytes());
    assert_eq!(keys(store, "").await, sorted);
    for bad in ["", &"k".repeat(1025)] {
        let put =
            store.put("exam", bad, body(""), Attributes::default(), Expected::new(), Precondition::default());
        assert!(matches!(put.await, Err(ObjectError::InvalidName(_))));
    }
    for name in names {
        store.delete("exam", name).await.unwrap();
    }
    assert!(keys(store, "").await.is_empty());
}

async fn digests(store: &dyn Multipart) {
    let put = |expected: &[(&str, &str)], compute: &[&str], trailing: Option<&'static str>| {
        let pairs = expected.iter().map(|(name, sum)| (name.to_string(), sum.to_string()));
        let ask: crate::objects::Trailing = Box::new(move || {
            Ok(trailing.map(|sum| ("CRC32".to_string(), sum.to_string())).into_iter().collect())
        });
        let body = Body {
            stream: body("123456789"),
            expected: pairs.collect(),
            compute: compute.iter().map(|name| name.to_string()).collect(),
            trailing: Some(ask),
        };
        store.put_body("exam", "sum", body, Attributes::default(), Precondition::default())
    };
    let info = put(&[("MD5", "25f9e794323b453885f5181f1b624d0b"), ("CRC32", "y/Q5Jg==")], &["SHA1"], None)
        .await
        .unwrap();
    let names: Vec<&str> = info.checksums.keys().map(String::as_str).collect();
    assert_eq!(names, ["CRC32", "SHA1"]);
    assert_eq!(info.checksum_type.as_deref(), Some("FULL_OBJECT"));
    put(&[], &["CRC32"], Some("y/Q5Jg==")).await.unwrap();
    let before = store.head("exam", "sum").await.unwrap();
    for bad in [
        put(&[("MD5", "00")], &[], None).await,
        put(&[("CRC32", "AAAAAA==")], &[], None).await,
        put(&[], &["CRC32"], Some("AAAAAA==")).await,
    ] {
        assert!(matches!(bad, Err(ObjectError::Digest { .. })), "{bad:?}");
    }
    assert!(put(&[], &["CRC8"], None).await.is_err());
    assert_eq!(store.head("exam", "sum").await.unwrap(), before, "a refused body changes nothing");
    store.delete("exam", "sum").await.unwrap();
}

async fn failing_bodies(store: &dyn Multipart) {
    put(store, "kept", "old").await;
    let pieces = vec![Ok(Bytes::from(vec![7; 1_000_000])), Err(std::io::Error::other("the line broke"))];
    let broken = futures::stream::iter(pieces).boxed();
    let result =
        store.put("exam", "kept", broken, Attributes::default(), Expected::new(), Precondition::default());
    assert!(matches!(result.await, Err(ObjectError::Body(_))));
    assert_eq!(read(store, "kept").await, b"old");
    store.delete("exam", "kept").await.unwrap();
}

async fn preconditions(store: &dyn Multipart) {
    let put = |if_match: Option<&str>, if_none_match| {
        let precondition = Precondition { if_match: if_match.map(Into::into), if_none_match };
        store.put("exam", "once", body("x"), Attributes::default(), Expected::new(), precondition)
    };
    assert!(matches!(put(Some("e"), false).await, Err(ObjectError::NoObject { .. })));
    let etag = put(None, true).await.unwrap().etag;
    assert!(matches!(put(None, true).await, Err(ObjectError::Precondition(_))));
    assert!(matches!(put(Some("other"), false).await, Err(ObjectError::Precondition(_))));
    put(Some(&etag), false).await.unwrap();
    store.delete("exam", "once").await.unwrap();
    // Of many that want to be the first, one is.
    let all = futures::future::join_all((0..8).map(|_| put(None, true))).await;
    assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1);
    store.delete("exam", "once").await.unwrap();
}

async fn ranges(store: &dyn Multipart) {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
    put(store, "range", bytes.clone()).await;
    for (from, length) in
        [(0, 0), (0, 1), (2_999_999, 1), (524_287, 2), (1_000_000, 2_000_000), (0, 3_000_000)]
    {
        let stream = store.get("exam", "range", Some((from, length))).await.unwrap().1;
        assert_eq!(collect(stream).await, bytes[from as usize..(from + length) as usize], "{from} {length}");
    }
    store.delete("exam", "range").await.unwrap();
}

async fn replaced_while_read(store: &dyn Multipart) {
    let old = vec![1u8; 5_000_000];
    put(store, "moving", old.clone()).await;
    let opened = store.open("exam", "moving").await.unwrap();
    let (_, mut stream) = store.get("exam", "moving", None).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    put(store, "moving", vec![2u8; 10]).await;
    store.delete("exam", "moving").await.unwrap();
    let rest = collect(stream).await;
    assert_eq!([first.to_vec(), rest].concat(), old, "a reader keeps what it opened");
    assert_eq!(collect(opened.source.stream(0, opened.info.size)).await, old, "read late, still there");
}

async fn listing(store: &dyn Multipart) {
    let names = ["a", "a/1", "a/2", "b", "b/c/1", "b/c/2", "b/d", "c-x", "c/1"];
    for name in names {
        put(store, name, "x").await;
    }
    let page = |prefix: &str, delimiter: Option<&str>, after: Option<&str>, limit| {
        let query = ListObjects {
            bucket: "exam".into(),
            prefix: prefix.into(),
            delimiter: delimiter.map(Into::into),
            after: after.map(Into::into),
            limit,
        };
        async move {
            let page = store.list(&query).await.unwrap();
            let keys: Vec<String> = page.objects.into_iter().map(|info| info.key).collect();
            format!("{} | {} | {}", keys.join(" "), page.prefixes.join(" "), page.next.unwrap_or_default())
        }
    };
    assert_eq!(page("", None, None, 100).await, format!("{} |  | ", names.join(" ")));
    assert_eq!(page("", Some("/"), None, 100).await, "a b c-x | a/ b/ c/ | ");
    assert_eq!(page("b/", Some("/"), None, 100).await, "b/d | b/c/ | ");
    assert_eq!(page("b", None, None, 100).await, "b b/c/1 b/c/2 b/d |  | ");
    assert_eq!(page("", None, Some("b/c/1"), 2).await, "b/c/2 b/d |  | b/d");
    assert_eq!(page("", None, Some("b/d"), 2).await, "c-x c/1 |  | ");
    assert_eq!(page("", None, None, 0).await, " |  | ");
    assert_eq!(page("zz", None, None, 9).await, " |  | ");
    assert_eq!(page("", Some("-"), Some("b"), 9).await, "b/c/1 b/c/2 b/d c/1 | c- | ");
    // Page by page everything comes once.
    for limit in 1..6 {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let query = ListObjects {
                bucket: "exam".into(),
                delimiter: Some("/".into()),
                after,
                limit,
                ..Default::default()
            };
            let page = store.list(&query).await.unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= limit);
            all.extend(page.objects.into_iter().map(|info| info.key));
            all.extend(page.prefixes);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        all.sort();
        assert_eq!(all, ["a", "a/", "b", "b/", "c-x", "c/"], "limit {limit}");
    }
    let all: Vec<DeleteObject> = names.map(|name| DeleteObject { key: name.into(), if_match: None }).into();
    store.delete_all("exam", &all).await.unwrap();
    // More than one batch of a store, in one group.
    for i in 0..1100 {
        put(store, &format!("many/{i:04}"), "").await;
    }
    put(store, "most", "").await;
    assert_eq!(page("", Some("/"), None, 5).await, "most | many/ | ");
    assert_eq!(keys(store, "many/").await.len(), 1100);
    let many: Vec<DeleteObject> =
        keys(store, "m").await.into_iter().map(|key| DeleteObject { key, if_match: None }).collect();
    store.delete_all("exam", &many).await.unwrap();
}

async fn tags(store: &dyn Multipart) {
    put(store, "tagged", "x").await;
    let before = store.head("exam", "tagged").await.unwrap();
    let tags = BTreeMap::from([("k".to_string(), "v".to_string())]);
    store.set_tags("exam", "tagged", tags.clone()).await.unwrap();
    let after = store.head("exam", "tagged").await.unwrap();
    assert_eq!(after.attributes.tags, tags);
    assert_eq!((after.etag, after.modified), (before.etag, before.modified));
    assert!(matches!(store.set_tags("exam", "none", tags).await, Err(ObjectError::NoObject { .. })));
    store.delete("exam", "tagged").await.unwrap();
}

async fn copies(store: &dyn Multipart) {
    put(store, "from", "bytes").await;
    let copy = CopyObject {
        from_bucket: "exam".into(),
        from_key: "from".into(),
        bucket: "exam".into(),
        key: "to".into(),
        ..Default::default()
    };
    let info = store.copy(copy.clone()).await.unwrap();
    assert_eq!(info.etag, store.head("exam", "from").await.unwrap().etag);
    let attributes = Some(Attributes { content_type: Some("a/b".into()), ..Default::default() });
    let itself = CopyObject { from_key: "to".into(), attributes, ..copy.clone() };
    assert_eq!(store.copy(itself).await.unwrap().attributes.content_type.as_deref(), Some("a/b"));
    // The original goes, its bytes stay for the copy.
    store.delete("exam", "from").await.unwrap();
    assert_eq!(read(store, "to").await, b"bytes");
    assert!(matches!(store.copy(copy.clone()).await, Err(ObjectError::NoObject { .. })));
    let stale =
        CopyObject { from_key: "to".into(), key: "third".into(), from_etag: Some("other".into()), ..copy };
    assert!(matches!(store.copy(stale).await, Err(ObjectError::Precondition(_))));
    store.delete("exam", "to").await.unwrap();
}

async fn deletions(store: &dyn Multipart) {
    put(store, "one", "1").await;
    put(store, "two", "2").await;
    let object =
        |key: &str, etag: Option<&str>| DeleteObject { key: key.into(), if_match: etag.map(Into::into) };
    let objects = [object("one", None), object("two", Some("other")), object("three", None)];
    let results = store.delete_all("exam", &objects).await.unwrap();
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(results[1], Err(ObjectError::Precondition(_))));
    assert_eq!(keys(store, "").await, ["two"]);
    store.delete("exam", "two").await.unwrap();
}

async fn upload_part(store: &dyn Multipart, id: &str, number: u32, bytes: Vec<u8>) -> PartInfo {
    store.put_part("exam", "made", id, number, Body::new(body(bytes))).await.unwrap()
}

fn claim(part: &PartInfo) -> PartClaim {
    PartClaim { number: part.number, etag: part.etag.clone(), checksums: part.checksums.clone() }
}

async fn uploads(store: &dyn Multipart) {
    let checksum = Some(("CRC32".to_string(), "FULL_OBJECT".to_string()));
    let attributes = Attributes { content_type: Some("a/b".into()), ..Default::default() };
    let id = store.start_upload("exam", "made", attributes, checksum.clone()).await.unwrap();
    assert_eq!(store.upload("exam", "made", &id).await.unwrap().checksum, checksum);
    let bytes: Vec<u8> = (0..2_500_000u32).map(|i| (i / 9) as u8).collect();
    let third = upload_part(store, &id, 9, bytes[2_000_000..].to_vec()).await;
    upload_part(store, &id, 1, vec![0; 10]).await;
    let first = upload_part(store, &id, 1, bytes[..1_000_000].to_vec()).await;
    let second = upload_part(store, &id, 2, bytes[1_000_000..2_000_000].to_vec()).await;
    upload_part(store, &id, 5, vec![5; 100]).await;
    let numbers: Vec<u32> =
        store.parts("exam", "made", &id).await.unwrap().iter().map(|part| part.number).collect();
    assert_eq!(numbers, [1, 2, 5, 9]);
    assert!(matches!(store.head("exam", "made").await, Err(ObjectError::NoObject { .. })));

    let complete = |claims: Vec<PartClaim>, expected: Expected| {
        let id = id.clone();
        async move { store.complete_upload("exam", "made", &id, &claims, expected, Precondition::default()).await }
    };
    let wrong = PartClaim { etag: "0".repeat(32), ..claim(&first) };
    assert!(matches!(complete(vec![wrong], Expected::new()).await, Err(ObjectError::InvalidPart(_))));
    let missing = PartClaim { number: 77, ..claim(&first) };
    assert!(matches!(complete(vec![missing], Expected::new()).await, Err(ObjectError::InvalidPart(_))));
    let all = vec![claim(&first), claim(&second), claim(&third)];
    let false_sum = Expected::from([("CRC32".to_string(), "AAAAAA==".to_string())]);
    assert!(matches!(complete(all.clone(), false_sum).await, Err(ObjectError::Digest { .. })));

    let info = complete(all.clone(), Expected::new()).await.unwrap();
    assert_eq!((info.size, info.parts.as_slice()), (2_500_000, [1_000_000, 1_000_000, 500_000].as_slice()));
    assert!(info.etag.ends_with("-3"));
    assert_eq!(info.attributes.content_type.as_deref(), Some("a/b"));
    put(store, "same", bytes.clone()).await;
    let body_ = Body { compute: vec!["CRC32".into()], ..Body::new(body(bytes.clone())) };
    let whole =
        store.put_body("exam", "same", body_, Attributes::default(), Precondition::default()).await.unwrap();
    assert_eq!(info.checksums, whole.checksums, "the checksum of the parts is that of the whole");
    assert_eq!(store.head("exam", "made").await.unwrap(), info);
    assert_eq!(read(store, "made").await, bytes);
    for (from, length) in [(0, 1), (999_999, 2), (1_000_000, 1_000_000), (1_999_999, 500_001)] {
        let stream = store.get("exam", "made", Some((from, length))).await.unwrap().1;
        assert_eq!(collect(stream).await, bytes[from as usize..(from + length) as usize], "{from} {length}");
    }
    let again = complete(all.clone(), Expected::new()).await.unwrap();
    assert_eq!(again, info, "a lost answer is given again");
    assert!(matches!(store.upload("exam", "made", &id).await, Err(ObjectError::NoUpload(_))));
    assert_eq!(store.object_parts("exam", "made").await.unwrap(), [first, second, third]);

    // A reader of the parts goes on while they become one file, and while that goes.
    let reading = store.open("exam", "made").await.unwrap();
    let (_, path) = store.file("exam", "made").await.unwrap().expect("a file");
    assert_eq!(std::fs::read(path).unwrap(), bytes);
    assert_eq!(store.head("exam", "made").await.unwrap(), info);
    assert_eq!(read(store, "made").await, bytes);
    store.delete("exam", "made").await.unwrap();
    assert_eq!(collect(reading.source.stream(0, bytes.len() as u64)).await, bytes);
    let gone = complete(all, Expected::new()).await;
    assert!(matches!(gone, Err(ObjectError::NoUpload(_))));
    store.delete("exam", "same").await.unwrap();

    let id = store.start_upload("exam", "made", Attributes::default(), None).await.unwrap();
    upload_part(store, &id, 1, vec![1]).await;
    assert!(matches!(store.abort_upload("exam", "other", &id).await, Err(ObjectError::NoUpload(_))));
    store.abort_upload("exam", "made", &id).await.unwrap();
    assert!(matches!(store.abort_upload("exam", "made", &id).await, Err(ObjectError::NoUpload(_))));
    let late = store.put_part("exam", "made", &id, 2, Body::new(body("x"))).await;
    assert!(matches!(late, Err(ObjectError::NoUpload(_))));
}

async fn upload_listing(store: &dyn Multipart) {
    let mut started = Vec::new();
    for key in ["a", "b/1", "b/2", "c", "c"] {
        let id = store.start_upload("exam", key, Attributes::default(), None).await.unwrap();
        started.push((key.to_string(), id));
    }
    started.sort();
    for limit in 1..7 {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let query = ListUploads { bucket: "exam".into(), after, limit, ..Default::default() };
            let page = store.uploads(&query).await.unwrap();
            all.extend(page.uploads.into_iter().map(|upload| (upload.key, upload.id)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all, started, "limit {limit}");
    }
    let query =
        ListUploads { bucket: "exam".into(), delimiter: Some("/".into()), limit: 9, ..Default::default() };
    let page = store.uploads(&query).await.unwrap();
    assert_eq!((page.uploads.len(), page.prefixes), (3, vec!["b/".to_string()]));
    let query = ListUploads { after: Some(("b/1".into(), None)), delimiter: None, ..query };
    assert_eq!(store.uploads(&query).await.unwrap().uploads.len(), 3);
    for (key, id) in started {
        store.abort_upload("exam", &key, &id).await.unwrap();
    }
}

async fn concurrent_puts(store: &dyn Multipart) {
    let writers = futures::future::join_all((0..8u8).map(|i| async move {
        for _ in 0..5 {
            put(store, "contested", vec![i; 700_000]).await;
        }
    }));
    let readers = futures::future::join_all((0..4).map(|_| async move {
        for _ in 0..20 {
            let Ok((info, stream)) = store.get("exam", "contested", None).await else { continue };
            let bytes = collect(stream).await;
            assert_eq!(bytes.len() as u64, info.size);
            assert!(bytes.iter().all(|byte| Some(byte) == bytes.first()), "torn");
        }
    }));
    futures::future::join(writers, readers).await;
    store.delete("exam", "contested").await.unwrap();
}
