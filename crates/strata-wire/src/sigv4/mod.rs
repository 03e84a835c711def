//! AWS Signature Version 4: checks the signatures of requests, and signs requests.
//!
//! A check costs a few microseconds and no allocation of note: the canonical request is
//! built in a buffer that each thread keeps, and signing keys are kept per scope.

mod authorization;
mod canonical;
mod sign;
mod verify;

use std::sync::Arc;

use http::HeaderName;
use sha2::{Digest, Sha256};
use strata_base::Timestamp;

use crate::{Caller, Fault};

pub use authorization::Authorization;
pub use sign::{Credentials, presign, sign, sign_at};
pub use verify::{Verified, Verifier};

/// The secret behind an access key, and for whom it speaks.
#[derive(Clone, Debug)]
pub struct Credential {
    pub secret: String,
    /// Temporary credentials are good only together with this token.
    pub session_token: Option<String>,
    pub expires: Option<Timestamp>,
    pub caller: Arc<Caller>,
}

/// Who may sign. Asked for every request: no waiting, no database.
pub trait Keyring: Send + Sync + 'static {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>>;
}

/// The hash of nothing is not the hash of the body: this word in `x-amz-content-sha256` says
/// that the signature does not cover the body.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Lower-case hexadecimal SHA-256, as `sign` wants it of the body.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

// Spelt once: parsing names costs more than finding them.
const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const X_AMZ_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("Missing Authentication Token")]
    Missing,
    /// Parts of the signature are missing or malformed.
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS \
         Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// The signature may be right, but not for this time or scope.
    #[error("{0}")]
    NotNow(String),
}

impl Refusal {
    /// AWS's error. The Query services and the JSON services have different codes for it.
    pub fn fault(&self, query: bool) -> Fault {
        let (status, of_query, of_json) = match self {
            Refusal::Missing => (403, "MissingAuthenticationToken", "MissingAuthenticationTokenException"),
            Refusal::Incomplete(_) => (400, "IncompleteSignature", "IncompleteSignatureException"),
            Refusal::UnknownKey => (403, "InvalidClientTokenId", "UnrecognizedClientException"),
            Refusal::ExpiredToken => (403, "ExpiredToken", "ExpiredTokenException"),
            Refusal::Mismatch | Refusal::NotNow(_) => {
                (403, "SignatureDoesNotMatch", "InvalidSignatureException")
            }
        };
        let message = match self {
            Refusal::Missing if query => "Request is missing Authentication Token".to_owned(),
            other => other.to_string(),
        };
        Fault::new(status, if query { of_query } else { of_json }, message)
    }
}

/// Seconds of `20150830T123600Z`.
fn parse_date(text: &str) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    if text.len() != 16 || text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(4..6)?, digits(6..8)?);
    let (hour, minute, second) = (digits(9..11)?, digits(11..13)?, digits(13..15)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from the civil calendar, with years that begin in March (H. Hinnant's algorithm).
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// `20150830T123600Z` of seconds.
fn write_date(seconds: i64) -> String {
    let text = Timestamp(seconds.saturating_mul(1000)).iso8601();
    let digits: String = text.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    digits + "Z"
}

#[cfg(test)]
mod tests;
