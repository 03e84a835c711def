//! The `Objects` port: buckets of immutable objects, as S3 means them.
//!
//! A put is atomic and durable: readers see the old object or the new one,
//! and an acknowledged object survives `kill -9`. Bodies stream both ways at
//! constant memory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A body in pieces. An error ends it, and a put that sees one stores nothing.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// What the caller attaches to an object and gets back unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_disposition: Option<String>,
    pub content_language: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    pub user: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectInfo {
    pub key: String,
    pub size: u64,
    /// Without quotes; MD5 hex, or `md5-of-md5s-N` for a multipart object.
    pub etag: String,
    pub modified: Timestamp,
    /// Checksums that the caller sent or asked for, base64, by name (`CRC32`, `CRC64NVME`, ...).
    pub checksums: BTreeMap<String, String>,
    /// `FULL_OBJECT` or `COMPOSITE`, where there are checksums.
    pub checksum_type: Option<String>,
    pub attributes: Attributes,
    /// Sizes of the parts of a multipart object, in order. Empty in listings, like `attributes`.
    pub parts: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BucketInfo {
    pub name: String,
    pub created: Timestamp,
}

/// What a put expects of the object that it replaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Precondition {
    /// Only if the object exists with this ETag.
    pub if_match: Option<String>,
    /// `*`: only if there is no object of this key.
    pub if_none_match: bool,
}

/// Checksums the body must have, base64 (`MD5` hex), by name; compared before the object appears.
pub type Expected = BTreeMap<String, String>;

#[derive(Clone, Debug, Default)]
pub struct ListObjects {
    pub bucket: String,
    pub prefix: String,
    /// Groups keys by the text up to and with the delimiter.
    pub delimiter: Option<String>,
    /// Only what sorts behind it (bytes order). A prefix that groups it is not listed again.
    pub after: Option<String>,
    /// Most keys and prefixes together.
    pub limit: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub objects: Vec<ObjectInfo>,
    pub prefixes: Vec<String>,
    /// Pass as `after` for the next page; absent on the last.
    pub next: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("bucket {0:?} does not exist")]
    NoBucket(String),
    #[error("bucket {0:?} exists already")]
    BucketExists(String),
    #[error("bucket {0:?} is not empty")]
    BucketNotEmpty(String),
    #[error("object {key:?} does not exist in bucket {bucket:?}")]
    NoObject { bucket: String, key: String },
    #[error("upload {0:?} does not exist")]
    NoUpload(String),
    #[error("{0}")]
    InvalidName(String),
    #[error("{0}")]
    InvalidPart(String),
    #[error("precondition failed: {0}")]
    Precondition(String),
    /// The body does not have the digest the caller promised.
    #[error("{name} of the body is {actual}, not {expected}")]
    Digest { name: String, expected: String, actual: String },
    /// The body ended early or its stream failed; nothing was stored.
    #[error("body: {0}")]
    Body(String),
    #[error("object store: {0}")]
    Store(String),
}

/// Buckets and whole objects: all that training and serving need. The rest is a matter of
/// the S3 crate and the store beneath it ([`Multipart`]).
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    async fn create_bucket(&self, bucket: &str) -> Result<(), ObjectError>;
    async fn delete_bucket(&self, bucket: &str) -> Result<(), ObjectError>;
    async fn bucket(&self, bucket: &str) -> Result<BucketInfo, ObjectError>;
    async fn buckets(&self) -> Result<Vec<BucketInfo>, ObjectError>;

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        body: ByteStream,
        attributes: Attributes,
        expected: Expected,
        precondition: Precondition,
    ) -> Result<ObjectInfo, ObjectError>;

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectInfo, ObjectError>;

    /// The object, from byte `range.0` and for `range.1` bytes where a range is given
    /// (already cut to the object's size by the caller).
    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<(ObjectInfo, ByteStream), ObjectError>;

    /// A file on this machine that holds the object's bytes and never changes, where the
    /// store has one. It may vanish when the object is replaced: open or link it at once.
    async fn file(&self, bucket: &str, key: &str) -> Result<Option<(ObjectInfo, PathBuf)>, ObjectError>;

    /// Removing what is not there is no error.
    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError>;

    async fn list(&self, query: &ListObjects) -> Result<Listing, ObjectError>;

    /// Replaces the object's tags.
    async fn set_tags(
        &self,
        bucket: &str,
        key: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), ObjectError>;
}

/// A body on its way in, with what is known of its digests.
pub struct Body {
    pub stream: ByteStream,
    /// Digests it must have.
    pub expected: Expected,
    /// Checksums to compute and keep with the object, beside the expected ones.
    pub compute: Vec<String>,
    /// Asked when the stream has ended: digests that came behind it (HTTP trailers). They are
    /// compared like the expected ones; their names must be among `compute`.
    pub trailing: Option<Trailing>,
}

pub type Trailing = Box<dyn FnOnce() -> Result<Expected, ObjectError> + Send>;

impl Body {
    /// A body of which nothing is promised.
    pub fn new(stream: ByteStream) -> Self {
        Self { stream, expected: Expected::new(), compute: Vec::new(), trailing: None }
    }
}

/// An object as it was when it was opened: it stays readable when the key is written again.
pub struct Opened {
    pub info: ObjectInfo,
    pub source: Box<dyn Source>,
}

/// The bytes of an opened object.
pub trait Source: Send + Sync {
    /// `length` bytes from byte `from` on, both within the object's size.
    fn stream(self: Box<Self>, from: u64, length: u64) -> ByteStream;
}

/// A copy inside the store.
#[derive(Clone, Debug, Default)]
pub struct CopyObject {
    pub from_bucket: String,
    pub from_key: String,
    /// The source must still have this ETag.
    pub from_etag: Option<String>,
    pub bucket: String,
    pub key: String,
    /// Replaces the source's attributes but for its tags.
    pub attributes: Option<Attributes>,
    /// Replaces the source's tags.
    pub tags: Option<BTreeMap<String, String>>,
    pub precondition: Precondition,
}

/// One object to remove, where it still has this ETag if one is given.
#[derive(Clone, Debug, Default)]
pub struct DeleteObject {
    pub key: String,
    pub if_match: Option<String>,
}

/// A multipart upload that has not ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UploadInfo {
    pub id: String,
    pub key: String,
    pub started: Timestamp,
    /// Algorithm and type of the checksum that the finished object shall carry.
    pub checksum: Option<(String, String)>,
}

/// One part of an upload, or of an object that was uploaded in parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartInfo {
    pub number: u32,
    pub size: u64,
    pub etag: String,
    pub modified: Timestamp,
    pub checksums: BTreeMap<String, String>,
}

/// A part as the caller names it when completing an upload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartClaim {
    pub number: u32,
    pub etag: String,
    /// Where the caller says them, they must be the part's.
    pub checksums: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub struct ListUploads {
    pub bucket: String,
    pub prefix: String,
    pub delimiter: Option<String>,
    /// Only uploads of keys behind it or, where an id is given too, of this key and behind the id.
    pub after: Option<(String, Option<String>)>,
    /// Most uploads and prefixes together.
    pub limit: usize,
}

#[derive(Clone, Debug, Default)]
pub struct UploadListing {
    /// By key, then by id.
    pub uploads: Vec<UploadInfo>,
    pub prefixes: Vec<String>,
    /// Pass as `after` for the next page; absent on the last.
    pub next: Option<(String, Option<String>)>,
}

/// What the S3 protocol asks of a store beyond [`Objects`]: uploads in parts (which become one
/// object at once, when completed), copies, deletions by the thousand, late checksums.
#[async_trait]
pub trait Multipart: Objects {
    /// Creates a bucket that says it is in `region`.
    async fn create_bucket_in(&self, bucket: &str, region: &str) -> Result<(), ObjectError>;

    /// The region it was created with; empty where none was said.
    async fn region(&self, bucket: &str) -> Result<String, ObjectError>;

    async fn put_body(
        &self,
        bucket: &str,
        key: &str,
        body: Body,
        attributes: Attributes,
        precondition: Precondition,
    ) -> Result<ObjectInfo, ObjectError>;

    async fn open(&self, bucket: &str, key: &str) -> Result<Opened, ObjectError>;

    /// Does not move bytes. The copy keeps ETag, checksums and parts of the source.
    async fn copy(&self, copy: CopyObject) -> Result<ObjectInfo, ObjectError>;

    /// Removes many objects at once; one result for each, in order.
    async fn delete_all(
        &self,
        bucket: &str,
        objects: &[DeleteObject],
    ) -> Result<Vec<Result<(), ObjectError>>, ObjectError>;

    /// The parts that an object was made of; none where it was put whole.
    async fn object_parts(&self, bucket: &str, key: &str) -> Result<Vec<PartInfo>, ObjectError>;

    /// `checksum`: the algorithm and type (`FULL_OBJECT`, `COMPOSITE`) that the finished object
    /// shall carry.
    async fn start_upload(
        &self,
        bucket: &str,
        key: &str,
        attributes: Attributes,
        checksum: Option<(String, String)>,
    ) -> Result<String, ObjectError>;

    async fn upload(&self, bucket: &str, key: &str, upload: &str) -> Result<UploadInfo, ObjectError>;

    async fn put_part(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: u32,
        body: Body,
    ) -> Result<PartInfo, ObjectError>;

    async fn parts(&self, bucket: &str, key: &str, upload: &str) -> Result<Vec<PartInfo>, ObjectError>;

    /// `parts`: ascending. `expected`: the checksum of the finished object, where the caller says
    /// it. Completing once more, with the object still there, answers as the first time.
    async fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        parts: &[PartClaim],
        expected: Expected,
        precondition: Precondition,
    ) -> Result<ObjectInfo, ObjectError>;

    async fn abort_upload(&self, bucket: &str, key: &str, upload: &str) -> Result<(), ObjectError>;

    async fn uploads(&self, query: &ListUploads) -> Result<UploadListing, ObjectError>;
}

/// Splits `s3://bucket/key/or/prefix`; also the `https://s3-region.amazonaws.com/bucket/key`
/// form that older SDKs write. `None` where the text is neither.
pub fn split_s3_uri(uri: &str) -> Option<(&str, &str)> {
    let rest = match uri.strip_prefix("s3://") {
        Some(rest) => rest,
        None => {
            let (host, rest) = uri.strip_prefix("https://")?.split_once('/')?;
            if !(host.starts_with("s3") && host.ends_with(".amazonaws.com")) {
                return None;
            }
            rest
        }
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, key))
}

#[cfg(test)]
mod tests {
    use super::split_s3_uri;

    #[test]
    fn s3_uris() {
        assert_eq!(split_s3_uri("s3://b/k/x.csv"), Some(("b", "k/x.csv")));
        assert_eq!(split_s3_uri("s3://b"), Some(("b", "")));
        assert_eq!(split_s3_uri("https://s3-us-east-1.amazonaws.com/b/k"), Some(("b", "k")));
        assert_eq!(split_s3_uri("https://example.com/b/k"), None);
        assert_eq!(split_s3_uri("s3:///k"), None);
    }
}
