//! Checksums between S3's members and headers and the port's names.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{ChecksumAlgorithm, ChecksumType, StreamingBlob};
use s3s::{S3ErrorCode, S3Result, TrailingHeaders};
use strata_base::objects::{Body, Expected, ObjectError};

use crate::fault::{fault, refused};

const ALGORITHMS: [(&str, usize); 5] =
    [("CRC32", 4), ("CRC32C", 4), ("CRC64NVME", 8), ("SHA1", 20), ("SHA256", 32)];

/// What S3 computes when the caller asks for nothing.
pub const DEFAULT: &str = "CRC64NVME";

/// The checksum members of a shape, by name.
macro_rules! claimed {
    ($shape:expr) => {
        $crate::checksums::named([
            ("CRC32", &$shape.checksum_crc32),
            ("CRC32C", &$shape.checksum_crc32c),
            ("CRC64NVME", &$shape.checksum_crc64nvme),
            ("SHA1", &$shape.checksum_sha1),
            ("SHA256", &$shape.checksum_sha256),
        ])
    };
}

/// Sets the checksum members of a shape.
macro_rules! show {
    ($shape:expr, $sums:expr) => {{
        let sums: &std::collections::BTreeMap<String, String> = $sums;
        $shape.checksum_crc32 = sums.get("CRC32").cloned();
        $shape.checksum_crc32c = sums.get("CRC32C").cloned();
        $shape.checksum_crc64nvme = sums.get("CRC64NVME").cloned();
        $shape.checksum_sha1 = sums.get("SHA1").cloned();
        $shape.checksum_sha256 = sums.get("SHA256").cloned();
    }};
}

pub(crate) use {claimed, show};

pub fn named(members: [(&str, &Option<String>); 5]) -> BTreeMap<String, String> {
    members.into_iter().filter_map(|(name, sum)| Some((name.to_string(), sum.clone()?))).collect()
}

pub fn algorithm(asked: Option<&ChecksumAlgorithm>) -> S3Result<Option<String>> {
    let Some(asked) = asked else { return Ok(None) };
    let name = asked.as_str().to_ascii_uppercase();
    match ALGORITHMS.iter().any(|(known, _)| *known == name) {
        true => Ok(Some(name)),
        false => Err(refused(format!(
            "checksum algorithm {name} is not implemented: use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256"
        ))),
    }
}

pub fn kind(of: Option<&String>) -> Option<ChecksumType> {
    of.map(|kind| ChecksumType::from(kind.clone()))
}

/// Checksums that a caller says of a whole body must look like what they are.
pub fn well_formed(sums: &BTreeMap<String, String>) -> S3Result<()> {
    for (name, sum) in sums {
        let length = ALGORITHMS.iter().find(|(known, _)| known == name).map(|(_, length)| *length);
        if BASE64.decode(sum).ok().map(|raw| raw.len()) != length {
            let message =
                format!("Value for x-amz-checksum-{} header is invalid.", name.to_ascii_lowercase());
            return Err(fault(S3ErrorCode::InvalidRequest, message));
        }
    }
    Ok(())
}

/// What a request says of its body.
pub struct Claims {
    pub sums: BTreeMap<String, String>,
    pub md5: Option<String>,
    pub algorithm: Option<String>,
    /// Names in `x-amz-trailer`, and where their values will be when the body has ended.
    pub trailer: Vec<String>,
    pub trailing: Option<TrailingHeaders>,
}

impl Claims {
    pub fn trailer_names(headers: &http::HeaderMap) -> Vec<String> {
        let values = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
        let names = values.flat_map(|list| list.split(','));
        names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
    }

    /// The body for the port: with all it must be, and what is to be computed.
    pub fn body(
        self,
        body: Option<StreamingBlob>,
        failure: &Failure,
        default: Option<&str>,
    ) -> S3Result<Body> {
        well_formed(&self.sums)?;
        let mut expected: Expected = self.sums;
        let mut compute: Vec<String> = self.algorithm.into_iter().collect();
        if expected.len() > 1 {
            let message =
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
            return Err(fault(S3ErrorCode::InvalidRequest, message));
        }
        let mut late = Vec::new();
        for name in self.trailer {
            let known = name.strip_prefix("x-amz-checksum-").map(str::to_ascii_uppercase);
            match known.filter(|name| ALGORITHMS.iter().any(|(known, _)| known == name)) {
                Some(known) => late.push((name, known)),
                None => return Err(refused(format!("the trailer {name} is not implemented"))),
            }
        }
        compute.extend(late.iter().map(|(_, known)| known.clone()));
        if expected.is_empty() && compute.is_empty() {
            compute.extend(default.map(str::to_string));
        }
        if let Some(md5) = self.md5 {
            let raw = BASE64.decode(&md5).ok().filter(|raw| raw.len() == 16);
            let invalid = || fault(S3ErrorCode::InvalidDigest, "The Content-MD5 you specified is not valid.");
            expected.insert("MD5".into(), hex::encode(raw.ok_or_else(invalid)?));
        }
        let trailing = self.trailing;
        let stream = match body {
            Some(body) => failure.watch(body),
            None => futures::StreamExt::boxed(futures::stream::empty()),
        };
        let ask: strata_base::objects::Trailing = Box::new(move || read_trailer(late, trailing));
        Ok(Body { stream, expected, compute, trailing: Some(ask) })
    }
}

fn read_trailer(
    late: Vec<(String, String)>,
    headers: Option<TrailingHeaders>,
) -> Result<Expected, ObjectError> {
    let headers = headers.and_then(|headers| headers.take()).unwrap_or_default();
    let mut expected = Expected::new();
    for (header, name) in late {
        let value = headers.get(&header).and_then(|value| value.to_str().ok());
        let value = value.ok_or_else(|| ObjectError::Body(format!("the trailer {header} is missing")))?;
        expected.insert(name, value.trim().to_string());
    }
    Ok(expected)
}

/// Is a document (the XML of a request) what its headers say?
pub fn check_document(headers: &http::HeaderMap, text: &[u8]) -> S3Result<()> {
    let said = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(|value| value.trim().to_string())
    };
    let wrong = |name: &str, expected: String, actual: String| {
        Err(crate::fault::from_store(ObjectError::Digest { name: name.into(), expected, actual }))
    };
    if let Some(expected) = said("content-md5") {
        let actual = BASE64.encode(Md5::checksum(text));
        if expected != actual {
            return wrong("MD5", expected, actual);
        }
    }
    let mut hasher = ChecksumHasher {
        crc32: Some(Crc32::new()),
        crc32c: Some(Crc32c::new()),
        sha1: Some(Sha1::new()),
        sha256: Some(Sha256::new()),
        crc64nvme: Some(Crc64Nvme::new()),
    };
    hasher.update(text);
    let computed = hasher.finalize();
    for (name, actual) in claimed!(computed) {
        match said(&format!("x-amz-checksum-{}", name.to_ascii_lowercase())) {
            Some(expected) if expected != actual => return wrong(&name, expected, actual),
            _ => {}
        }
    }
    Ok(())
}

/// Keeps what ended a body early, for the port only knows that something did.
#[derive(Clone, Default)]
pub struct Failure(std::sync::Arc<std::sync::Mutex<Option<String>>>);

impl Failure {
    fn watch(&self, body: StreamingBlob) -> strata_base::objects::ByteStream {
        use futures::StreamExt;
        let failure = self.clone();
        body.map(move |piece| {
            piece.map_err(|error| {
                let text = error.to_string();
                if let Ok(mut slot) = failure.0.lock() {
                    *slot = Some(text.clone());
                }
                std::io::Error::other(text)
            })
        })
        .boxed()
    }

    /// The error to answer with when the port could not read the body.
    pub fn explain(&self, error: ObjectError) -> s3s::S3Error {
        let text = match (&error, self.0.lock()) {
            (ObjectError::Body(_), Ok(mut slot)) => slot.take().unwrap_or_default(),
            _ => return crate::fault::from_store(error),
        };
        // The types of these errors are private to s3s; their texts are not.
        if text.contains("Sha256Mismatch") {
            let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            return crate::fault::other(400, "XAmzContentSHA256Mismatch", message);
        }
        if text.contains("SignatureMismatch") {
            let message = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
            return fault(S3ErrorCode::SignatureDoesNotMatch, message);
        }
        crate::fault::from_store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims { sums: BTreeMap::new(), md5: None, algorithm: None, trailer: Vec::new(), trailing: None }
    }

    #[test]
    fn what_is_computed() {
        let body = claims().body(None, &Failure::default(), Some(DEFAULT)).unwrap();
        assert_eq!(body.compute, ["CRC64NVME"]);
        let trailer = vec!["x-amz-checksum-crc32".to_string()];
        let body = Claims { trailer, ..claims() }.body(None, &Failure::default(), Some(DEFAULT)).unwrap();
        assert_eq!(body.compute, ["CRC32"]);
        assert!((body.trailing.unwrap())().is_err(), "the trailer never came");
    }

    #[test]
    fn malformed_digests() {
        let code = |claims: Claims| {
            let error = claims.body(None, &Failure::default(), None).err().unwrap();
            error.code().as_str().to_string()
        };
        let sums = BTreeMap::from([("CRC32".to_string(), "AAAA".to_string())]);
        assert_eq!(code(Claims { sums, ..claims() }), "InvalidRequest");
        assert_eq!(code(Claims { md5: Some("x".into()), ..claims() }), "InvalidDigest");
        let trailer = vec!["x-amz-checksum-xxhash3".to_string()];
        assert_eq!(code(Claims { trailer, ..claims() }), "NotImplemented");
    }
}
