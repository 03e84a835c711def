//! Objects: put, get, head, delete, and what is known of them.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http::header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use s3s::dto::*;
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use strata_base::objects::{Attributes, DeleteObject, ObjectInfo};

use crate::checksums::{self, Claims, Failure, claimed, show};
use crate::conditions::{self, Conditions, Verdict, cut, precondition, shown, strong};
use crate::fault::{OrFault, fault, from_store, invalid, refused};
use crate::incoming::Trace;
use crate::server::Server;
use crate::tags;

/// The largest body of one request, as in AWS; larger objects come in parts.
pub const LARGEST_BODY: i64 = 5 << 30;

/// Objects that one DeleteObjects request may name.
const MOST_DELETIONS: usize = 1000;

/// User metadata: names and values together.
const MOST_METADATA: usize = 2048;

/// The attributes in a request's members.
macro_rules! attributes {
    ($input:expr) => {
        $crate::objects::gather(
            [
                $input.content_type.take(),
                $input.content_encoding.take(),
                $input.content_disposition.take(),
                $input.content_language.take(),
                $input.cache_control.take(),
            ],
            $input.expires.take(),
            $input.metadata.take(),
            $input.tagging.as_deref(),
        )
    };
}

pub(crate) use attributes;

pub fn gather(
    [content_type, content_encoding, content_disposition, content_language, cache_control]: [Option<String>;
        5],
    expires: Option<Timestamp>,
    metadata: Option<Metadata>,
    tagging: Option<&str>,
) -> S3Result<Attributes> {
    let user: std::collections::BTreeMap<String, String> = metadata.unwrap_or_default().into_iter().collect();
    if user.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MOST_METADATA {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(fault(S3ErrorCode::MetadataTooLarge, message));
    }
    Ok(Attributes {
        content_type,
        content_encoding: content_encoding.and_then(without_chunking),
        content_disposition,
        content_language,
        cache_control,
        expires: expires.map(|at| http_date(&at)).transpose()?,
        user,
        tags: tags::parse(tagging)?,
    })
}

/// `aws-chunked` is about the transfer, not about the object.
fn without_chunking(encoding: String) -> Option<String> {
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

fn http_date(at: &Timestamp) -> S3Result<String> {
    let mut text = Vec::new();
    at.format(TimestampFormat::HttpDate, &mut text).map_err(S3Error::internal_error)?;
    String::from_utf8(text).map_err(S3Error::internal_error)
}

impl Server {
    pub async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = request.input;
        check_length(input.content_length)?;
        let attributes = attributes!(input)?;
        let precondition = precondition(input.if_match, input.if_none_match)?;
        let claims = Claims {
            sums: claimed!(input),
            md5: input.content_md5,
            algorithm: checksums::algorithm(input.checksum_algorithm.as_ref())?,
            trailer: Claims::trailer_names(&request.headers),
            trailing: request.trailing_headers,
        };
        let failure = Failure::default();
        let body = claims.body(input.body, &failure, Some(checksums::DEFAULT))?;
        let info = self.objects.put_body(&input.bucket, &input.key, body, attributes, precondition).await;
        let info = info.map_err(|error| failure.explain(error))?;
        let mut output = PutObjectOutput {
            e_tag: Some(strong(&info.etag)),
            checksum_type: checksums::kind(info.checksum_type.as_ref()),
            ..Default::default()
        };
        show!(output, &info.checksums);
        Ok(S3Response::new(output))
    }

    pub async fn get(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let opened = self.objects.open(&input.bucket, &input.key).await.or_fault()?;
        let info = opened.info;
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        obey(&conditions, &info)?;
        let span = Span::of(&info, input.range.as_ref(), input.part_number)?;
        let stream = opened.source.stream(span.from, span.length);
        let body = Outgoing { stream: Mutex::new(stream), left: span.length };
        let attributes = info.attributes;
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".into()),
            body: Some(StreamingBlob::new(body)),
            cache_control: attributes.cache_control,
            content_disposition: attributes.content_disposition,
            content_encoding: attributes.content_encoding,
            content_language: attributes.content_language,
            content_length: Some(span.length as i64),
            content_range: span.header(info.size),
            content_type: Some(attributes.content_type.unwrap_or_else(default_type)),
            e_tag: Some(strong(&info.etag)),
            expires: expires(attributes.expires.as_deref()),
            last_modified: Some(shown(info.modified)),
            metadata: Some(attributes.user.into_iter().collect()),
            parts_count: span.parts_count(input.part_number, info.parts.len()),
            tag_count: (!attributes.tags.is_empty()).then_some(attributes.tags.len() as i32),
            ..Default::default()
        };
        if wants_checksums(input.checksum_mode.as_ref()) && !span.partial {
            show!(output, &info.checksums);
            output.checksum_type = checksums::kind(info.checksum_type.as_ref());
        }
        Ok(S3Response::new(output))
    }

    pub async fn head(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let info = self.objects.head(&input.bucket, &input.key).await.or_fault()?;
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        obey(&conditions, &info)?;
        let span = Span::of(&info, input.range.as_ref(), input.part_number)?;
        let attributes = info.attributes;
        let content_type = input.response_content_type.or(attributes.content_type);
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".into()),
            cache_control: input.response_cache_control.or(attributes.cache_control),
            content_disposition: input.response_content_disposition.or(attributes.content_disposition),
            content_encoding: input.response_content_encoding.or(attributes.content_encoding),
            content_language: input.response_content_language.or(attributes.content_language),
            content_length: Some(span.length as i64),
            content_range: span.header(info.size),
            content_type: Some(content_type.unwrap_or_else(default_type)),
            e_tag: Some(strong(&info.etag)),
            expires: input.response_expires.or_else(|| expires(attributes.expires.as_deref())),
            last_modified: Some(shown(info.modified)),
            metadata: Some(attributes.user.into_iter().collect()),
            parts_count: span.parts_count(input.part_number, info.parts.len()),
            ..Default::default()
        };
        if wants_checksums(input.checksum_mode.as_ref()) && !span.partial {
            show!(output, &info.checksums);
            output.checksum_type = checksums::kind(info.checksum_type.as_ref());
        }
        let mut response = S3Response::new(output);
        if !attributes.tags.is_empty() {
            response.headers.insert("x-amz-tagging-count", HeaderValue::from(attributes.tags.len()));
        }
        Ok(response)
    }

    pub async fn delete(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let object = DeleteObject { key: input.key, if_match: input.if_match.map(conditions::wanted) };
        let results = self.objects.delete_all(&input.bucket, &[object]).await.or_fault()?;
        results.into_iter().collect::<Result<(), _>>().or_fault()?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    pub async fn delete_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let document = request.extensions.get::<Trace>().map(Trace::text).unwrap_or_default();
        checksums::check_document(&request.headers, &document)?;
        let input = request.input;
        let named = input.delete.objects;
        if named.is_empty() || named.len() > MOST_DELETIONS {
            let message =
                "The XML you provided was not well-formed or did not validate against our published schema";
            return Err(fault(S3ErrorCode::MalformedXML, message));
        }
        let mut objects = Vec::new();
        let mut errors = Vec::new();
        for object in named {
            let version = object.version_id.filter(|version| version != "null");
            if object.size.is_some() || object.last_modified_time.is_some() {
                return Err(refused("deleting by size or time is not implemented: use the ETag"));
            }
            match version {
                None => objects
                    .push(DeleteObject { key: object.key, if_match: object.e_tag.map(ETag::into_value) }),
                Some(version) => errors.push(Error {
                    code: Some("NoSuchVersion".into()),
                    key: Some(object.key),
                    message: Some("The specified version does not exist.".into()),
                    version_id: Some(version),
                }),
            }
        }
        let results = self.objects.delete_all(&input.bucket, &objects).await.or_fault()?;
        let mut deleted = Vec::new();
        for (object, result) in objects.into_iter().zip(results) {
            match result.map_err(from_store) {
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..Default::default() }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().into()),
                    key: Some(object.key),
                    message: error.message().map(Into::into),
                    version_id: None,
                }),
            }
        }
        let deleted = (!input.delete.quiet.unwrap_or_default()).then_some(deleted);
        let errors = (!errors.is_empty()).then_some(errors);
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, request_charged: None }))
    }

    pub async fn describe(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = request.input;
        let info = self.objects.head(&input.bucket, &input.key).await.or_fault()?;
        let wanted = |name: &str| {
            let mut lists = input.object_attributes.iter().flat_map(|list| list.as_str().split(','));
            lists.any(|asked| asked.trim() == name)
        };
        let mut output = GetObjectAttributesOutput {
            last_modified: Some(shown(info.modified)),
            e_tag: wanted("ETag").then(|| strong(&info.etag)),
            object_size: wanted("ObjectSize").then_some(info.size as i64),
            storage_class: wanted("StorageClass").then(|| StorageClass::from_static(StorageClass::STANDARD)),
            ..Default::default()
        };
        if wanted("Checksum") {
            let mut checksum = Checksum {
                checksum_type: checksums::kind(info.checksum_type.as_ref()),
                ..Default::default()
            };
            show!(checksum, &info.checksums);
            output.checksum = Some(checksum);
        }
        if wanted("ObjectParts") && !info.parts.is_empty() {
            let limit = page(input.max_parts)?;
            let marker = input.part_number_marker.unwrap_or_default().max(0) as u32;
            let all = self.objects.object_parts(&input.bucket, &input.key).await.or_fault()?;
            let total = all.len();
            let mut rest = all.into_iter().filter(|part| part.number > marker).peekable();
            let mut parts = Vec::new();
            while parts.len() < limit
                && let Some(part) = rest.next()
            {
                let mut shape = ObjectPart {
                    part_number: Some(part.number as i32),
                    size: Some(part.size as i64),
                    ..Default::default()
                };
                show!(shape, &part.checksums);
                parts.push(shape);
            }
            output.object_parts = Some(GetObjectAttributesParts {
                is_truncated: Some(rest.peek().is_some()),
                max_parts: Some(limit as i32),
                next_part_number_marker: parts.last().and_then(|part| part.part_number),
                part_number_marker: Some(marker as i32),
                total_parts_count: Some(total as i32),
                parts: Some(parts),
            });
        }
        Ok(S3Response::new(output))
    }
}

pub fn check_length(length: Option<i64>) -> S3Result<()> {
    match length {
        Some(length) if length > LARGEST_BODY => {
            Err(fault(S3ErrorCode::EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"))
        }
        _ => Ok(()),
    }
}

/// Most entries of a page: up to 1000, which is also what is meant by nothing.
pub fn page(asked: Option<i32>) -> S3Result<usize> {
    match asked {
        None => Ok(1000),
        Some(asked @ 0..) => Ok(asked.min(1000) as usize),
        Some(_) => Err(invalid("the size of a page must be an integer between 0 and 2147483647")),
    }
}

fn obey(conditions: &Conditions, info: &ObjectInfo) -> S3Result<()> {
    match conditions.judge(&info.etag, info.modified) {
        Verdict::Go => Ok(()),
        Verdict::Failed => Err(conditions::failed()),
        Verdict::NotModified => {
            let mut error = fault(S3ErrorCode::NotModified, "Not Modified");
            let mut headers = HeaderMap::new();
            if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", info.etag)) {
                headers.insert(ETAG, etag);
            }
            if let Ok(modified) = HeaderValue::from_str(&http_date(&shown(info.modified))?) {
                headers.insert(LAST_MODIFIED, modified);
            }
            error.set_headers(headers);
            Err(error)
        }
    }
}

/// Which bytes of an object are asked for.
struct Span {
    from: u64,
    length: u64,
    partial: bool,
}

impl Span {
    fn of(info: &ObjectInfo, range: Option<&Range>, part: Option<i32>) -> S3Result<Self> {
        match (range, part) {
            (None, None) => Ok(Self { from: 0, length: info.size, partial: false }),
            (Some(_), Some(_)) => {
                let message = "Cannot specify both Range header and partNumber query parameter";
                Err(fault(S3ErrorCode::InvalidRequest, message))
            }
            (Some(range), None) => {
                let (from, length) = cut(range, info.size).map_err(|mut error| {
                    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", info.size)) {
                        error.set_headers(HeaderMap::from_iter([(CONTENT_RANGE, value)]));
                    }
                    error
                })?;
                Ok(Self { from, length, partial: true })
            }
            (None, Some(number)) => Self::part(info, number),
        }
    }

    fn part(info: &ObjectInfo, number: i32) -> S3Result<Self> {
        if !(1..=10_000).contains(&number) {
            return Err(invalid("Part number must be an integer between 1 and 10000, inclusive"));
        }
        let place = number as usize - 1;
        if info.parts.is_empty() && place == 0 {
            return Ok(Self { from: 0, length: info.size, partial: info.size > 0 });
        }
        let Some(length) = info.parts.get(place) else {
            let message = "The requested partnumber is not satisfiable";
            return Err(crate::fault::other(416, "InvalidPartNumber", message));
        };
        Ok(Self { from: info.parts.iter().take(place).sum(), length: *length, partial: *length > 0 })
    }

    fn header(&self, size: u64) -> Option<String> {
        self.partial.then(|| format!("bytes {}-{}/{size}", self.from, self.from + self.length - 1))
    }

    fn parts_count(&self, asked: Option<i32>, parts: usize) -> Option<i32> {
        (asked.is_some() && parts > 0).then_some(parts as i32)
    }
}

fn wants_checksums(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str().eq_ignore_ascii_case(ChecksumMode::ENABLED))
}

fn default_type() -> String {
    "binary/octet-stream".into()
}

fn expires(text: Option<&str>) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text?).ok()
}

/// The port's stream as `s3s` wants it: shareable, and of a known length.
struct Outgoing {
    stream: Mutex<strata_base::objects::ByteStream>,
    left: u64,
}

impl Stream for Outgoing {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.stream.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let next = std::task::ready!(stream.as_mut().poll_next(cx));
        Poll::Ready(next.map(|piece| {
            let bytes = piece.inspect_err(|error| tracing::error!(%error, "could not read an object"))?;
            self.left = self.left.saturating_sub(bytes.len() as u64);
            Ok(bytes)
        }))
    }
}

impl ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(self.left as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        assert_eq!(without_chunking("aws-chunked".into()), None);
        assert_eq!(without_chunking("gzip, aws-chunked".into()).as_deref(), Some("gzip"));
        assert_eq!(without_chunking("gzip,br".into()).as_deref(), Some("gzip,br"));
    }

    #[test]
    fn metadata_is_bounded() {
        let metadata = |length: usize| Some(Metadata::from([("k".to_string(), "v".repeat(length))]));
        assert!(gather(Default::default(), None, metadata(2047), None).is_ok());
        assert!(gather(Default::default(), None, metadata(2048), None).is_err());
    }
}
