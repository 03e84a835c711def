//! Copies: of whole objects, which move no bytes, and into parts of an upload, which do.

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};
use strata_base::objects::{Body, CopyObject, Opened};

use crate::checksums::{self, show};
use crate::conditions::{Conditions, precondition, shown, strong};
use crate::fault::{OrFault, fault, invalid, refused};
use crate::objects::attributes;
use crate::server::Server;
use crate::tags;

impl Server {
    pub async fn copy(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        // Members of the newer model, which `s3s` does not read.
        let precondition = precondition(
            condition(&request.headers, IF_MATCH)?,
            condition(&request.headers, IF_NONE_MATCH)?,
        )?;
        let mut input = request.input;
        let (from_bucket, from_key) = source(&input.copy_source)?;
        let replaces = |directive: Option<&str>, what: &str| match directive {
            None | Some("COPY") => Ok(false),
            Some("REPLACE") => Ok(true),
            Some(_) => Err(invalid(format!("Unknown {what} directive."))),
        };
        let metadata =
            replaces(input.metadata_directive.as_ref().map(MetadataDirective::as_str), "metadata")?;
        let tagging = replaces(input.tagging_directive.as_ref().map(TaggingDirective::as_str), "tagging")?;
        let algorithm = checksums::algorithm(input.checksum_algorithm.as_ref())?;
        if from_bucket == input.bucket
            && from_key == input.key
            && !metadata
            && !tagging
            && algorithm.is_none()
        {
            let message = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";
            return Err(fault(S3ErrorCode::InvalidRequest, message));
        }
        let info = self.objects.head(&from_bucket, &from_key).await.or_fault()?;
        let conditions = Conditions {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        conditions.judge_source(&info.etag, info.modified)?;
        if info.size > crate::objects::LARGEST_BODY as u64 {
            let message = "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120";
            return Err(fault(S3ErrorCode::InvalidRequest, message));
        }
        let new_tags = tagging.then(|| tags::parse(input.tagging.as_deref())).transpose()?;
        let new_attributes = metadata.then(|| attributes!(input)).transpose()?;
        let (bucket, key) = (input.bucket, input.key);
        let copied = match algorithm.filter(|name| !info.checksums.contains_key(name)) {
            None => {
                let copy = CopyObject {
                    from_bucket,
                    from_key,
                    from_etag: Some(info.etag),
                    bucket,
                    key,
                    attributes: new_attributes,
                    tags: new_tags,
                    precondition,
                };
                self.objects.copy(copy).await.or_fault()?
            }
            // A checksum that the source does not have: its bytes must be read.
            Some(name) => {
                let Opened { info, source } = self.objects.open(&from_bucket, &from_key).await.or_fault()?;
                let body = Body { compute: vec![name], ..Body::new(source.stream(0, info.size)) };
                let mut attributes = info.attributes;
                if let Some(new) = new_attributes {
                    attributes = strata_base::objects::Attributes { tags: attributes.tags, ..new };
                }
                attributes.tags = new_tags.unwrap_or(attributes.tags);
                self.objects.put_body(&bucket, &key, body, attributes, precondition).await.or_fault()?
            }
        };
        let mut result = CopyObjectResult {
            e_tag: Some(strong(&copied.etag)),
            last_modified: Some(shown(copied.modified)),
            checksum_type: checksums::kind(copied.checksum_type.as_ref()),
            ..Default::default()
        };
        show!(result, &copied.checksums);
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() }))
    }

    pub async fn copy_part(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = request.input;
        let (from_bucket, from_key) = source(&input.copy_source)?;
        let number = crate::uploads::part_number(input.part_number)?;
        let Opened { info, source } = self.objects.open(&from_bucket, &from_key).await.or_fault()?;
        let conditions = Conditions {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        conditions.judge_source(&info.etag, info.modified)?;
        let (from, length) = match &input.copy_source_range {
            None => (0, info.size),
            Some(range) => copy_range(range, info.size)?,
        };
        crate::objects::check_length(Some(length as i64))?;
        let body = Body::new(source.stream(from, length));
        let part = self.objects.put_part(&input.bucket, &input.key, &input.upload_id, number, body).await;
        let part = part.or_fault()?;
        let mut result = CopyPartResult {
            e_tag: Some(strong(&part.etag)),
            last_modified: Some(shown(part.modified)),
            ..Default::default()
        };
        show!(result, &part.checksums);
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() }))
    }
}

fn condition(headers: &HeaderMap, name: HeaderName) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(&name) else { return Ok(None) };
    let condition = ETagCondition::parse_http_header(value.as_bytes());
    condition.map(Some).map_err(|_| invalid(format!("the header {name} is not an ETag")))
}

fn source(source: &CopySource) -> S3Result<(String, String)> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => match version_id.as_deref() {
            None | Some("null") => Ok((bucket.to_string(), key.to_string())),
            Some(_) => Err(invalid("Invalid version id specified")),
        },
        _ => Err(refused("copies from access points are not implemented: name the bucket")),
    }
}

/// Unlike the Range header, this one must be exact.
fn copy_range(text: &str, size: u64) -> S3Result<(u64, u64)> {
    let parse = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    };
    let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
    let (first, last) = parse().filter(|(first, last)| first <= last).ok_or_else(|| invalid(message))?;
    if last >= size {
        let message = format!("Range specified is not valid for source object of size: {size}");
        return Err(invalid(message));
    }
    Ok((first, last - first + 1))
}

#[cfg(test)]
mod tests {
    use super::copy_range;

    #[test]
    fn copy_ranges_are_exact() {
        assert_eq!(copy_range("bytes=0-4", 5).ok(), Some((0, 5)));
        assert_eq!(copy_range("bytes=4-4", 5).ok(), Some((4, 1)));
        for bad in ["bytes=0-5", "bytes=4-3", "bytes=-3", "bytes=3-", "0-4", "bytes=a-b", "bytes=0-1,2-3"] {
            assert!(copy_range(bad, 5).is_err(), "{bad}");
        }
    }
}
