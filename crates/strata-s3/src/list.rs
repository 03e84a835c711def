//! Listings: objects in both versions, and their one version each.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TOKEN;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result};
use strata_base::objects::{ListObjects, Listing, ObjectInfo};

use crate::conditions::{shown, strong};
use crate::fault::{OrFault, invalid};
use crate::objects::page;
use crate::server::Server;

impl Server {
    pub async fn list_v1(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let text = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page(input.max_keys)?;
        let marker = input.marker.clone().filter(|marker| !marker.is_empty());
        let listing = self.page(&input.bucket, &input.prefix, &input.delimiter, marker, limit).await?;
        let next = listing.next.clone().filter(|_| has(&input.delimiter));
        let (contents, prefixes) = self.shapes(listing, text, true);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(text.show(&input.prefix.unwrap_or_default())),
            marker: Some(text.show(&input.marker.unwrap_or_default())),
            max_keys: Some(limit as i32),
            is_truncated: Some(contents.next.is_some()),
            contents: Some(contents.objects),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter.map(|delimiter| text.show(&delimiter)),
            // Without a delimiter the last key is the marker, as in AWS.
            next_marker: next.map(|next| text.show(&next)),
            encoding_type: input.encoding_type,
            request_charged: None,
        }))
    }

    pub async fn list_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let text = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page(input.max_keys)?;
        let after = match &input.continuation_token {
            Some(token) => Some(open_token(token)?),
            None => input.start_after.clone().filter(|after| !after.is_empty()),
        };
        let listing = self.page(&input.bucket, &input.prefix, &input.delimiter, after, limit).await?;
        let (contents, prefixes) = self.shapes(listing, text, input.fetch_owner.unwrap_or_default());
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(text.show(&input.prefix.unwrap_or_default())),
            max_keys: Some(limit as i32),
            key_count: Some((contents.objects.len() + prefixes.len()) as i32),
            continuation_token: input.continuation_token,
            is_truncated: Some(contents.next.is_some()),
            next_continuation_token: contents.next.map(|next| TOKEN.encode(next)),
            contents: Some(contents.objects),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter.map(|delimiter| text.show(&delimiter)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.map(|after| text.show(&after)),
            request_charged: None,
        }))
    }

    pub async fn list_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let text = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page(input.max_keys)?;
        let marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
        let listing = self.page(&input.bucket, &input.prefix, &input.delimiter, marker, limit).await?;
        let next = listing.next.clone();
        let owner = self.owner();
        let versions = listing.objects.into_iter().map(|info| ObjectVersion {
            e_tag: Some(strong(&info.etag)),
            is_latest: Some(true),
            key: Some(text.show(&info.key)),
            last_modified: Some(shown(info.modified)),
            owner: Some(owner.clone()),
            size: Some(info.size as i64),
            storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
            version_id: Some("null".into()),
            ..Default::default()
        });
        Ok(S3Response::new(ListObjectVersionsOutput {
            name: Some(input.bucket),
            prefix: Some(text.show(&input.prefix.unwrap_or_default())),
            key_marker: Some(text.show(&input.key_marker.unwrap_or_default())),
            max_keys: Some(limit as i32),
            is_truncated: Some(next.is_some()),
            next_version_id_marker: next.as_ref().map(|_| "null".into()),
            next_key_marker: next.map(|next| text.show(&next)),
            versions: Some(versions.collect()),
            common_prefixes: Some(text.prefixes(listing.prefixes)),
            delimiter: input.delimiter.map(|delimiter| text.show(&delimiter)),
            encoding_type: input.encoding_type,
            version_id_marker: input.version_id_marker,
            ..Default::default()
        }))
    }

    async fn page(
        &self,
        bucket: &str,
        prefix: &Option<String>,
        delimiter: &Option<String>,
        after: Option<String>,
        limit: usize,
    ) -> S3Result<Listing> {
        let query = ListObjects {
            bucket: bucket.into(),
            prefix: prefix.clone().unwrap_or_default(),
            delimiter: delimiter.clone(),
            after,
            limit,
        };
        self.objects.list(&query).await.or_fault()
    }

    fn shapes(&self, listing: Listing, text: Encoding, owner: bool) -> (Contents, Vec<CommonPrefix>) {
        let owner = owner.then(|| self.owner());
        let objects = listing.objects.into_iter().map(|info| shape(info, text, owner.clone())).collect();
        (Contents { objects, next: listing.next }, text.prefixes(listing.prefixes))
    }
}

struct Contents {
    objects: Vec<Object>,
    next: Option<String>,
}

fn shape(info: ObjectInfo, text: Encoding, owner: Option<Owner>) -> Object {
    let algorithms = info.checksums.into_keys().map(ChecksumAlgorithm::from).collect::<Vec<_>>();
    Object {
        checksum_algorithm: (!algorithms.is_empty()).then_some(algorithms),
        checksum_type: crate::checksums::kind(info.checksum_type.as_ref()),
        e_tag: Some(strong(&info.etag)),
        key: Some(text.show(&info.key)),
        last_modified: Some(shown(info.modified)),
        owner,
        restore_status: None,
        size: Some(info.size as i64),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
    }
}

fn has(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn open_token(token: &str) -> S3Result<String> {
    let text = TOKEN.decode(token).ok().and_then(|raw| String::from_utf8(raw).ok());
    text.ok_or_else(|| invalid("The continuation token provided is incorrect"))
}

/// How keys are written: as they are, or percent-encoded, for XML cannot hold every key.
#[derive(Clone, Copy)]
pub enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    pub fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some("url") => Ok(Self::Url),
            Some(_) => Err(invalid("Invalid Encoding Method specified in Request")),
        }
    }

    pub fn show(self, text: &str) -> String {
        const KEPT: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');
        match self {
            Self::Plain => text.into(),
            Self::Url => utf8_percent_encode(text, KEPT).to_string(),
        }
    }

    pub fn prefixes(self, prefixes: Vec<String>) -> Vec<CommonPrefix> {
        prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(self.show(prefix)) }).collect()
    }
}
