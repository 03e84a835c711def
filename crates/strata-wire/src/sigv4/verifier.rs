//! Verifying a signature, in the header or in the query of a presigned request.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use hmac::Mac;
use http::header;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use strata_base::Timestamp;
use subtle::ConstantTimeEq;

use super::keys::{Purpose, cached};
use super::{ALGORITHM, AuthError, Credential, Keyring, basic_time, canonical, parse_basic_time};

/// How far the clocks of client and cloud may differ.
const SKEW_MS: i64 = 15 * 60 * 1000;
/// The longest life of a presigned request.
const MAX_EXPIRES_S: i64 = 7 * 24 * 3600;
/// The body is not part of the signature; only together with the header of this value.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Checks signatures against the keys of a ring.
pub struct Verifier {
    keyring: Arc<dyn Keyring>,
}

/// Who signed, and for what.
#[derive(Clone, Debug)]
pub struct Verified {
    pub credential: Arc<Credential>,
    pub region: String,
    pub service: String,
}

/// `ACCESS_KEY/DATE/REGION/SERVICE/aws4_request`: what the request claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope<'a> {
    pub access_key: Cow<'a, str>,
    pub date: Cow<'a, str>,
    pub region: Cow<'a, str>,
    pub service: Cow<'a, str>,
}

impl Verifier {
    pub fn new(keyring: Arc<dyn Keyring>) -> Self {
        Self { keyring }
    }

    /// Who signed this request; the body is what the signature must cover.
    pub fn verify(&self, head: &Parts, body: &[u8]) -> Result<Verified, AuthError> {
        self.verify_at(head, body, Timestamp::now())
    }

    pub(super) fn verify_at(&self, head: &Parts, body: &[u8], now: Timestamp) -> Result<Verified, AuthError> {
        let claim = Claim::of(head)?;
        let scope = &claim.scope;
        let Some(credential) = self.keyring.find(&scope.access_key) else {
            return Err(AuthError::UnknownKey);
        };
        claim.check_time(now)?;
        check_token(&credential, claim.token.as_deref(), now)?;

        let digest = body_digest(head, body)?;
        let purpose = Purpose { date: &scope.date, region: &scope.region, service: &scope.service };
        let mut mac = cached(&credential, purpose);
        let complete = SCRATCH.with_borrow_mut(|(request, to_sign)| {
            if !canonical::request(request, head, claim.signed_headers.split(';'), &digest) {
                return false;
            }
            let scope = [purpose.date, purpose.region, purpose.service];
            canonical::string_to_sign(to_sign, &claim.time, &scope, request);
            mac.update(to_sign.as_bytes());
            true
        });
        let mut given = [0; 32];
        if !complete || hex::decode_to_slice(claim.signature.as_bytes(), &mut given).is_err() {
            return Err(AuthError::Mismatch);
        }
        let ours = mac.finalize().into_bytes();
        if !bool::from(ours.as_slice().ct_eq(&given)) {
            return Err(AuthError::Mismatch);
        }
        Ok(Verified { region: scope.region.to_string(), service: scope.service.to_string(), credential })
    }
}

thread_local! {
    /// Canonical request and string to sign: built anew for each request, in place.
    static SCRATCH: RefCell<(String, String)> = const { RefCell::new((String::new(), String::new())) };
}

/// The scope that a request claims, unverified: enough to route it.
pub fn scope(head: &Parts) -> Option<Scope<'_>> {
    let (_, scope) = credential_of(head)?;
    scope.ok()
}

/// What a request says of its signature.
struct Claim<'a> {
    scope: Scope<'a>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    time: Cow<'a, str>,
    token: Option<Cow<'a, str>>,
    /// Seconds that a presigned request lives.
    expires: Option<i64>,
}

impl<'a> Claim<'a> {
    fn of(head: &'a Parts) -> Result<Self, AuthError> {
        let incomplete = |lacks: &str| AuthError::Incomplete(lacks.to_string());
        let (presigned, scope) = credential_of(head).ok_or_else(|| match authorization(head) {
            Some(text) if text.starts_with(ALGORITHM) => {
                incomplete("Authorization header requires 'Credential' parameter.")
            }
            Some(_) => incomplete("Authorization header requires the algorithm AWS4-HMAC-SHA256."),
            None => AuthError::Missing,
        })?;
        let scope = scope?;
        let header_text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let claim = if presigned {
            let get = |name| parameter(head, name);
            Self {
                scope,
                signed_headers: get("X-Amz-SignedHeaders").ok_or_else(|| {
                    incomplete("AWS query-string parameters must include 'X-Amz-SignedHeaders'.")
                })?,
                signature: get("X-Amz-Signature").ok_or_else(|| {
                    incomplete("AWS query-string parameters must include 'X-Amz-Signature'.")
                })?,
                time: get("X-Amz-Date")
                    .ok_or_else(|| incomplete("AWS query-string parameters must include 'X-Amz-Date'."))?,
                token: get("X-Amz-Security-Token"),
                expires: Some(
                    get("X-Amz-Expires")
                        .and_then(|text| text.parse().ok())
                        .filter(|seconds| (0..=MAX_EXPIRES_S).contains(seconds))
                        .ok_or_else(|| {
                            incomplete("X-Amz-Expires must be a number of seconds from 0 to 604800.")
                        })?,
                ),
            }
        } else {
            let text = authorization(head).unwrap_or_default();
            let field = |name: &str| {
                field(text, name).map(Cow::Borrowed).ok_or_else(|| {
                    AuthError::Incomplete(format!("Authorization header requires '{name}' parameter."))
                })
            };
            Self {
                scope,
                signed_headers: field("SignedHeaders")?,
                signature: field("Signature")?,
                time: header_text("x-amz-date").map(Cow::Borrowed).ok_or_else(|| {
                    incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
                })?,
                token: header_text("x-amz-security-token").map(Cow::Borrowed),
                expires: None,
            }
        };
        if !claim.signed_headers.split(';').any(|name| name == header::HOST.as_str()) {
            return Err(incomplete(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        Ok(claim)
    }

    fn check_time(&self, now: Timestamp) -> Result<(), AuthError> {
        let wrong = |sentence: String| Err(AuthError::Time(sentence));
        let Some(at) = parse_basic_time(&self.time) else {
            return Err(AuthError::Incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
                self.time
            )));
        };
        if !self.time.starts_with(&*self.scope.date) {
            return wrong(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{}', from '{}'.",
                self.scope.date,
                self.time.get(..8).unwrap_or_default(),
                self.time
            ));
        }
        let stamp = |ms| basic_time(Timestamp(ms));
        if let Some(seconds) = self.expires {
            if now.0 > at.0 + seconds * 1000 {
                return wrong(format!(
                    "Signature expired: {} is now earlier than {} ({} - {seconds} s.)",
                    self.time,
                    stamp(now.0 - seconds * 1000),
                    stamp(now.0)
                ));
            }
        } else if at.0 < now.0 - SKEW_MS {
            return wrong(format!(
                "Signature expired: {} is now earlier than {} ({} - 15 min.)",
                self.time,
                stamp(now.0 - SKEW_MS),
                stamp(now.0)
            ));
        }
        if at.0 > now.0 + SKEW_MS {
            return wrong(format!(
                "Signature not yet current: {} is still later than {} ({} + 15 min.)",
                self.time,
                stamp(now.0 + SKEW_MS),
                stamp(now.0)
            ));
        }
        Ok(())
    }
}

fn check_token(credential: &Credential, given: Option<&str>, now: Timestamp) -> Result<(), AuthError> {
    let right = match (&credential.session_token, given) {
        (None, None) => true,
        (Some(token), Some(given)) => bool::from(token.as_bytes().ct_eq(given.as_bytes())),
        _ => false,
    };
    match credential.expires {
        _ if !right => Err(AuthError::UnknownKey),
        Some(end) if end <= now => Err(AuthError::ExpiredKey),
        _ => Ok(()),
    }
}

/// The digest that the signature covers. A digest that the client declares must be the body's.
fn body_digest(head: &Parts, body: &[u8]) -> Result<String, AuthError> {
    let declared = head.headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok());
    if declared == Some(UNSIGNED) {
        return Ok(UNSIGNED.into());
    }
    let mut digest = String::with_capacity(64);
    canonical::push_hex(&mut digest, &Sha256::digest(body));
    match declared {
        Some(declared) if !declared.eq_ignore_ascii_case(&digest) => Err(AuthError::Mismatch),
        _ => Ok(digest),
    }
}

/// Whether the request is presigned, and the scope of its credential.
fn credential_of(head: &Parts) -> Option<(bool, Result<Scope<'_>, AuthError>)> {
    if let Some(text) = authorization(head) {
        let text = text.strip_prefix(ALGORITHM)?;
        return Some((false, split_scope(field(text, "Credential")?.into())));
    }
    let text = parameter(head, "X-Amz-Credential")?;
    Some((true, split_scope(text)))
}

/// Takes the credential apart from its end: an access key may hold slashes, the rest may not.
fn split_scope(text: Cow<'_, str>) -> Result<Scope<'_>, AuthError> {
    fn parts(text: &str) -> Option<[&str; 4]> {
        let mut parts = text.rsplitn(5, '/');
        let (end, service, region, date, key) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (end == "aws4_request" && date.len() == 8).then_some([key, date, region, service])
    }
    let owned = |[key, date, region, service]: [&str; 4]| Scope {
        access_key: key.to_string().into(),
        date: date.to_string().into(),
        region: region.to_string().into(),
        service: service.to_string().into(),
    };
    let scope = match &text {
        Cow::Borrowed(text) => parts(text).map(|[key, date, region, service]| Scope {
            access_key: key.into(),
            date: date.into(),
            region: region.into(),
            service: service.into(),
        }),
        Cow::Owned(text) => parts(text).map(owned),
    };
    scope.ok_or_else(|| {
        AuthError::Incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. \
             keyid/date/region/service/aws4_request, got '{text}'"
        ))
    })
}

fn authorization(head: &Parts) -> Option<&str> {
    head.headers.get(header::AUTHORIZATION)?.to_str().ok()
}

/// `Name=value` among the comma-separated fields of the Authorization header.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.strip_prefix(ALGORITHM).unwrap_or(text).split(',').find_map(|part| {
        let (found, value) = part.trim().split_once('=')?;
        (found == name && !value.is_empty()).then_some(value)
    })
}

/// A query parameter, decoded.
fn parameter<'a>(head: &'a Parts, name: &str) -> Option<Cow<'a, str>> {
    head.uri.query()?.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        if found != name {
            return None;
        }
        percent_decode_str(value).decode_utf8().ok()
    })
}
