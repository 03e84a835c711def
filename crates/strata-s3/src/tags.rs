//! Tags of objects: their rules, the header that carries them, and the three operations.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use crate::checksums::check_document;
use crate::fault::{OrFault, fault, invalid, other};
use crate::incoming::Trace;
use crate::server::Server;

type Tags = BTreeMap<String, String>;

/// Reads `x-amz-tagging`: `a=1&b=2`, URL-encoded.
pub fn parse(header: Option<&str>) -> S3Result<Tags> {
    let pairs = header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(key)?, decode(value)?))
    });
    checked(pairs.collect::<S3Result<Vec<_>>>()?)
}

fn decode(text: &str) -> S3Result<String> {
    let text = text.replace('+', " ");
    let wrong = |_| {
        invalid(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        )
    };
    Ok(percent_decode_str(&text).decode_utf8().map_err(wrong)?.into_owned())
}

fn checked(pairs: Vec<(String, String)>) -> S3Result<Tags> {
    if pairs.len() > 10 {
        return Err(other(400, "BadRequest", "Object tags cannot be greater than 10"));
    }
    let mut tags = Tags::new();
    for (key, value) in pairs {
        let wrong = |message: &str| Err(fault(S3ErrorCode::InvalidTag, message));
        if key.is_empty() || key.chars().count() > 128 {
            return wrong("The TagKey you have provided is invalid");
        }
        if value.chars().count() > 256 {
            return wrong("The TagValue you have provided is invalid");
        }
        if key.starts_with("aws:") {
            return wrong("System tags cannot be added/updated by requester");
        }
        if tags.insert(key, value).is_some() {
            return wrong("Cannot provide multiple Tags with the same key");
        }
    }
    Ok(tags)
}

impl Server {
    pub async fn get_tags(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        let info = self.objects.head(&input.bucket, &input.key).await.or_fault()?;
        let tags = info.attributes.tags.into_iter();
        let tag_set = tags.map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id: None }))
    }

    pub async fn put_tags(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let document = request.extensions.get::<Trace>().map(Trace::text).unwrap_or_default();
        check_document(&request.headers, &document)?;
        let input = request.input;
        let pairs = input.tagging.tag_set.into_iter();
        let tags =
            checked(pairs.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect())?;
        self.objects.set_tags(&input.bucket, &input.key, tags).await.or_fault()?;
        Ok(S3Response::new(PutObjectTaggingOutput::default()))
    }

    pub async fn delete_tags(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = request.input;
        self.objects.set_tags(&input.bucket, &input.key, Tags::new()).await.or_fault()?;
        Ok(S3Response::new(DeleteObjectTaggingOutput::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let tags = parse(Some("a=1&b%20c=x%26y&d=e+f&g")).unwrap();
        let expected = [("a", "1"), ("b c", "x&y"), ("d", "e f"), ("g", "")];
        assert_eq!(tags, expected.map(|(k, v)| (k.to_string(), v.to_string())).into());
        assert!(parse(None).unwrap().is_empty());
        for bad in ["a=1&a=2", "=1", "aws:x=1", "a=%FF"] {
            assert!(parse(Some(bad)).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..11).map(|i| format!("k{i}=v")).collect();
        assert!(parse(Some(&many.join("&"))).is_err());
        assert!(parse(Some(&format!("a={}", "v".repeat(257)))).is_err());
    }
}
