//! AWS Signature Version 4: who signed a request, and signing one.
//!
//! Source: "Create a signed AWS API request", IAM User Guide. S3 verifies its own
//! requests (its rules on paths and bodies differ); everything else comes here.

mod canonical;
mod error;
mod keys;
mod signer;
mod verifier;

use std::sync::Arc;

use strata_base::Timestamp;

use crate::Caller;

pub use error::{AuthError, Style};
pub use signer::{SigningKeys, sign};
pub use verifier::{Scope, Verified, Verifier, scope};

/// One key with its secret and who it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    pub secret: String,
    /// Must come with each request that is signed with a temporary key.
    pub session_token: Option<String>,
    pub caller: Caller,
    /// `None`: never.
    pub expires: Option<Timestamp>,
}

/// The keys that open the door. Asked for each request, so it answers from memory. The same
/// key gives the same `Arc` for as long as it is unchanged: signing keys are cached by it.
pub trait Keyring: Send + Sync + 'static {
    fn find(&self, access_key: &str) -> Option<Arc<Credential>>;
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// `20261123T005156Z`.
fn basic_time(at: Timestamp) -> String {
    let mut text = at.iso8601();
    text.truncate(19);
    text.retain(|c| c != '-' && c != ':');
    text.push('Z');
    text
}

/// The inverse of [`basic_time`].
fn parse_basic_time(text: &str) -> Option<Timestamp> {
    let digits = |from: usize, to: usize| {
        text.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if text.len() != 16 || text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
        return None;
    }
    Timestamp::parse_iso8601(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        digits(0, 4)?,
        digits(4, 6)?,
        digits(6, 8)?,
        digits(9, 11)?,
        digits(11, 13)?,
        digits(13, 15)?
    ))
}

#[cfg(test)]
mod tests;
