//! Who may ask, and for what: keys, session tokens, signed headers, and the refusal of all that
//! is asked and not honoured.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, Method, Request, Uri};
use percent_encoding::percent_decode_str;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{Body, S3ErrorCode, S3Result};
use strata_wire::Label;
use subtle::ConstantTimeEq;

use crate::fault::{fault, other, refused};
use crate::ledger;

/// What belongs to an access key.
#[derive(Clone)]
pub struct S3Key {
    pub secret: String,
    /// Of temporary credentials: every request must carry it.
    pub token: Option<String>,
}

/// Why an access key is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    Unknown,
    Expired,
}

/// Where access keys are looked up.
#[async_trait]
pub trait S3Keys: Send + Sync + 'static {
    async fn find(&self, access_key: &str) -> Result<S3Key, KeyFault>;
}

#[async_trait]
impl<F> S3Keys for F
where
    F: Fn(&str) -> Result<S3Key, KeyFault> + Send + Sync + 'static,
{
    async fn find(&self, access_key: &str) -> Result<S3Key, KeyFault> {
        self(access_key)
    }
}

async fn find(keys: &Arc<dyn S3Keys>, access_key: &str) -> S3Result<S3Key> {
    keys.find(access_key).await.map_err(|why| match why {
        KeyFault::Unknown => unknown_key(),
        KeyFault::Expired => fault(S3ErrorCode::ExpiredToken, "The provided token has expired."),
    })
}

fn unknown_key() -> s3s::S3Error {
    let message = "The AWS Access Key Id you provided does not exist in our records.";
    fault(S3ErrorCode::InvalidAccessKeyId, message)
}

/// Gives `s3s` the secret that a signature is checked with.
pub struct Auth(pub Arc<dyn S3Keys>);

#[async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        Ok(find(&self.0, access_key).await?.secret.into())
    }
}

/// Checked when the signature is, before the body is read.
pub struct Access {
    pub keys: Arc<dyn S3Keys>,
    pub account: String,
}

#[async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = cx.credentials() else {
            return Err(fault(S3ErrorCode::AccessDenied, "Access Denied"));
        };
        let key = find(&self.keys, &credentials.access_key).await?;
        check_token(key.token.as_deref(), cx.headers(), cx.uri())?;
        let operation = cx.s3_op().name();
        if let Some(Label::Refused(why)) = ledger::label(operation) {
            return Err(refused(format!("{operation}: {why}")));
        }
        check_subresources(cx.uri(), cx.s3_path().as_object().is_some())?;
        check_headers(cx.headers())?;
        for name in ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"] {
            if cx.headers().get(name).is_some_and(|owner| owner.as_bytes() != self.account.as_bytes()) {
                return Err(fault(S3ErrorCode::AccessDenied, "Access Denied"));
            }
        }
        Ok(())
    }
}

fn check_token(expected: Option<&str>, headers: &HeaderMap, uri: &Uri) -> S3Result<()> {
    let sent = match headers.get("x-amz-security-token") {
        Some(value) => Some(value.as_bytes().to_vec()),
        None => {
            query(uri).find(|(name, _)| name == "X-Amz-Security-Token").map(|(_, value)| value.into_bytes())
        }
    };
    match (expected, sent) {
        (None, None) => Ok(()),
        (Some(expected), Some(sent)) if expected.as_bytes().ct_eq(&sent).into() => Ok(()),
        // A temporary key without its token is none, as far as AWS says.
        (Some(_), None) => Err(unknown_key()),
        _ => {
            let message = "The provided token is malformed or otherwise invalid.";
            Err(fault(S3ErrorCode::InvalidToken, message))
        }
    }
}

/// Subresources of AWS that `s3s` does not know: it would take them for the plain operation.
const UNKNOWN_SUBRESOURCES: [&str; 8] = [
    "abac",
    "annotation",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "renameObject",
    "append",
];

fn check_subresources(uri: &Uri, object: bool) -> S3Result<()> {
    for (name, value) in query(uri) {
        let unknown = UNKNOWN_SUBRESOURCES.contains(&name.as_str())
            // UpdateObjectEncryption; of a bucket it is another operation.
            || (name == "encryption" && object);
        if unknown {
            return Err(refused(format!("the subresource ?{name} is not implemented")));
        }
        if name == "versionId" && value != "null" {
            return Err(fault(S3ErrorCode::InvalidArgument, "Invalid version id specified"));
        }
    }
    Ok(())
}

/// `x-amz-` headers that are honoured, whatever they say.
const HONOURED: [&str; 33] = [
    "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-mode",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-max-parts",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    // Restore states of archived objects; nothing is ever archived.
    "x-amz-optional-object-attributes",
    "x-amz-part-number-marker",
    // All requests are the owner's.
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-source-expected-bucket-owner",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-te",
];

/// `x-amz-` headers that are honoured with these values, and why not with others.
const HONOURED_VALUES: [(&str, &[&str], &str); 4] = [
    (
        "x-amz-acl",
        &["private", "bucket-owner-full-control"],
        "objects belong to the account and are private; access lists are not implemented",
    ),
    ("x-amz-storage-class", &["STANDARD"], "there is one storage class, STANDARD"),
    ("x-amz-object-ownership", &["BucketOwnerEnforced"], "access lists are not implemented"),
    ("x-amz-bucket-object-lock-enabled", &["false", "False"], "object lock is not implemented"),
];

fn check_headers(headers: &HeaderMap) -> S3Result<()> {
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-") || name.starts_with("x-amz-meta-") || HONOURED.contains(&name) {
            continue;
        }
        let rule = HONOURED_VALUES.iter().find(|(known, ..)| *known == name);
        match rule {
            Some((_, values, _)) if values.iter().any(|known| known.as_bytes() == value.as_bytes()) => {}
            Some((_, _, why)) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                return Err(refused(format!("{name}: {value} is not implemented: {why}")));
            }
            None if name.contains("server-side-encryption") => {
                return Err(refused(format!(
                    "the header {name} is not implemented: objects are stored unencrypted; encrypt the disk instead"
                )));
            }
            None => return Err(refused(format!("the header {name} is not implemented"))),
        }
    }
    Ok(())
}

/// What must be settled before `s3s` sees a request.
pub fn prepare(request: &mut Request<Body>) -> S3Result<()> {
    refuse_old_signatures(request)?;
    if request.method() == Method::POST && is_form(request.headers()) {
        return Err(refused(
            "uploads by browser form (POST policy) are not implemented: use a presigned PUT instead",
        ));
    }
    let signed = signed_headers(request);
    if let Some(signed) = &signed {
        check_signed(request.headers(), signed)?;
    }
    hoist(request);
    Ok(())
}

/// `s3s` would read the whole form into memory before it asks who sent it.
fn is_form(headers: &HeaderMap) -> bool {
    const FORM: &[u8] = b"multipart/form-data";
    let content_type = headers.get("content-type").map(|value| value.as_bytes().trim_ascii_start());
    content_type
        .and_then(|value| value.get(..FORM.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(FORM))
}

/// Version 2 in a header is long gone from SDKs. In a presigned URL it is what boto3 makes
/// unless it is told otherwise; it covers all `x-amz-` headers.
fn refuse_old_signatures(request: &Request<Body>) -> S3Result<()> {
    let authorization = request.headers().get("authorization");
    if authorization.is_some_and(|value| !value.as_bytes().starts_with(b"AWS4-HMAC-SHA256")) {
        let message =
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
        return Err(fault(S3ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// The names that the signature covers, where there is a signature.
fn signed_headers(request: &Request<Body>) -> Option<Vec<String>> {
    let split = |list: &str| list.split(';').map(|name| name.trim().to_ascii_lowercase()).collect();
    if let Some((_, list)) = query(request.uri()).find(|(name, _)| name == "X-Amz-SignedHeaders") {
        return Some(split(&list));
    }
    let authorization = header(request.headers(), "authorization");
    let (_, rest) = authorization.split_once("SignedHeaders=")?;
    Some(split(rest.split(',').next().unwrap_or(rest)))
}

/// A header that the signature does not cover could turn a presigned PUT into a copy of
/// something else: AWS refuses it, and so do we.
fn check_signed(headers: &HeaderMap, signed: &[String]) -> S3Result<()> {
    for name in headers.keys().map(http::HeaderName::as_str) {
        // The digest of the body only takes from what is allowed.
        if name.starts_with("x-amz-")
            && name != "x-amz-content-sha256"
            && !signed.iter().any(|signed| signed == name)
        {
            return Err(other(
                403,
                "AccessDenied",
                format!("There were headers present in the request which were not signed: {name}"),
            ));
        }
    }
    if !signed.iter().any(|name| name == "host") {
        return Err(other(403, "AccessDenied", "The host header must be signed"));
    }
    Ok(())
}

/// SDKs may put headers into the query of a presigned URL. They are signed there, and meant.
fn hoist(request: &mut Request<Body>) {
    let presigned = |wanted: &str| query(request.uri()).any(|(name, _)| name == wanted);
    let (four, two) = (presigned("X-Amz-Signature"), presigned("Signature"));
    if !four && !two {
        return;
    }
    const SIGNATURE: [&str; 8] = [
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ];
    let hoisted: Vec<(String, String)> = query(request.uri())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| match name.as_str() {
            "content-md5" | "content-type" => two,
            name => name.starts_with("x-amz-") && (two || !SIGNATURE.contains(&name)),
        })
        .collect();
    for (name, value) in hoisted {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_str(&value);
        if let (Ok(name), Ok(value)) = (name, value)
            && !request.headers().contains_key(&name)
        {
            request.headers_mut().insert(name, value);
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The query's names and values, decoded.
fn query(uri: &Uri) -> impl Iterator<Item = (String, String)> + '_ {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder().method("PUT").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn an_unsigned_header_is_refused() {
        let uri = "/b/k?X-Amz-SignedHeaders=host&X-Amz-Signature=0";
        assert!(prepare(&mut request(uri, &[])).is_ok());
        let error = prepare(&mut request(uri, &[("x-amz-copy-source", "/secret/key")])).unwrap_err();
        assert!(error.message().unwrap().contains("not signed: x-amz-copy-source"));
        let uri = "/b/k?X-Amz-SignedHeaders=host%3Bx-amz-copy-source&X-Amz-Signature=0";
        assert!(prepare(&mut request(uri, &[("x-amz-copy-source", "/secret/key")])).is_ok());
    }

    #[test]
    fn headers_in_a_presigned_query_count() {
        let uri = "/b/k?X-Amz-SignedHeaders=host&X-Amz-Signature=0&x-amz-acl=public-read&X-Amz-Expires=9";
        let mut request = request(uri, &[]);
        prepare(&mut request).unwrap();
        assert_eq!(request.headers()["x-amz-acl"], "public-read");
        assert!(!request.headers().contains_key("x-amz-expires"));
        assert!(check_headers(request.headers()).is_err());
    }

    #[test]
    fn headers_in_an_old_presigned_query_count() {
        let uri = "/b/k?AWSAccessKeyId=A&Signature=0&Expires=9&content-type=a%2Fb&x-amz-security-token=t%2B";
        let mut request = request(uri, &[]);
        prepare(&mut request).unwrap();
        assert_eq!(request.headers()["content-type"], "a/b");
        assert_eq!(request.headers()["x-amz-security-token"], "t+");
    }

    #[test]
    fn what_is_not_honoured_is_refused() {
        let check = |name: &'static str, value: &'static str| {
            check_headers(&HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )]))
        };
        assert!(check("x-amz-acl", "private").is_ok());
        assert!(check("x-amz-meta-anything", "x").is_ok());
        assert!(check("x-amz-acl", "public-read").is_err());
        assert!(check("x-amz-server-side-encryption", "aws:kms").is_err());
        assert!(check("x-amz-checksum-xxhash64", "x").is_err());
        assert!(check("x-amz-grant-read", "x").is_err());
        assert!(check_subresources(&"/b?abac".parse().unwrap(), false).is_err());
        assert!(check_subresources(&"/b/k?encryption".parse().unwrap(), true).is_err());
        assert!(check_subresources(&"/b/k?versionId=1".parse().unwrap(), true).is_err());
        assert!(check_subresources(&"/b?encryption".parse().unwrap(), false).is_ok());
    }

    #[test]
    fn tokens() {
        let none = HeaderMap::new();
        let uri: Uri = "/b/k?X-Amz-Security-Token=a%2Bb".parse().unwrap();
        let plain: Uri = "/b/k".parse().unwrap();
        assert!(check_token(Some("a+b"), &none, &uri).is_ok());
        assert!(check_token(None, &none, &plain).is_ok());
        let code = |result: S3Result<()>| result.unwrap_err().code().as_str().to_string();
        assert_eq!(code(check_token(Some("other"), &none, &uri)), "InvalidToken");
        assert_eq!(code(check_token(None, &none, &uri)), "InvalidToken");
        assert_eq!(code(check_token(Some("a+b"), &none, &plain)), "InvalidAccessKeyId");
    }
}
