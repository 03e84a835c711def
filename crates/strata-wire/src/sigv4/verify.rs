//! Checks signatures.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use sha2::{Digest, Sha256};
use strata_base::Timestamp;
use subtle::ConstantTimeEq;

use super::authorization::{Authorization, Scope};
use super::canonical::Canonical;
use super::{Credential, Keyring, Refusal, UNSIGNED_PAYLOAD, X_AMZ_HASH, X_AMZ_TARGET, write_date};

/// How far a client's clock may be off, in seconds.
pub const SKEW: i64 = 15 * 60;

/// Signing keys kept. Only a good signature enters one, so strangers cannot fill it; a
/// client that walks through regions or dates makes it start again.
const MOST_KEYS: usize = 1024;

/// A good signature: whose, and for where.
#[derive(Debug)]
pub struct Verified {
    pub credential: Arc<Credential>,
    pub region: String,
}

pub struct Verifier {
    keyring: Arc<dyn Keyring>,
    /// By the whole credential text: access key, date, region, service.
    pub(super) keys: RwLock<HashMap<Box<str>, SigningKey>>,
}

pub(super) struct SigningKey {
    /// The secret that it comes from: a key that was replaced must not live on here.
    secret: String,
    /// Already keyed: a clone of it saves two hash rounds and the derivation.
    hmac: Hmac<Sha256>,
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Verifier {
    pub fn new(keyring: Arc<dyn Keyring>) -> Self {
        Self { keyring, keys: RwLock::default() }
    }

    /// Checks the signature of a request whose whole body is here.
    pub fn verify(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<Verified, Refusal> {
        let found = Authorization::find(parts)?;
        let Some(scope) = found.scope() else {
            return Err(Refusal::Incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{}'.",
                shortened(&found.credential)
            )));
        };
        check_signed_headers(parts, &found)?;
        check_time(&found, &scope, now.0.div_euclid(1000))?;

        let credential = self.keyring.find(scope.access_key).ok_or(Refusal::UnknownKey)?;
        let token = found.token.as_deref().unwrap_or_default();
        let needed = credential.session_token.as_deref().unwrap_or_default();
        if !bool::from(token.as_bytes().ct_eq(needed.as_bytes())) {
            return Err(Refusal::UnknownKey);
        }

        let kept = self.kept_key(&found.credential, &credential.secret);
        let hmac = kept.clone().unwrap_or_else(|| derive(&credential.secret, &scope));
        let expected =
            BUFFER.with_borrow_mut(|buffer| signature(buffer, parts, &found, &scope, body, hmac.clone()));
        let mut given = [0_u8; 32];
        let well_formed = hex::decode_to_slice(found.signature.as_bytes(), &mut given).is_ok();
        if !(bool::from(expected.ct_eq(&given)) && well_formed) {
            return Err(Refusal::Mismatch);
        }
        if kept.is_none() {
            self.keep_key(&found.credential, &credential.secret, hmac);
        }
        // After the signature: a stranger does not learn which tokens have been.
        if credential.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::ExpiredToken);
        }
        Ok(Verified { region: scope.region.to_owned(), credential })
    }

    fn kept_key(&self, credential: &str, secret: &str) -> Option<Hmac<Sha256>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(credential)?;
        (key.secret == secret).then(|| key.hmac.clone())
    }

    fn keep_key(&self, credential: &str, secret: &str, hmac: Hmac<Sha256>) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        keys.insert(credential.into(), SigningKey { secret: secret.into(), hmac });
    }
}

/// The key of a day, region and service.
pub(super) fn derive(secret: &str, scope: &Scope<'_>) -> Hmac<Sha256> {
    let mut key = keyed(format!("AWS4{secret}").as_bytes());
    for step in [scope.date, scope.region, scope.service, "aws4_request"] {
        key.update(step.as_bytes());
        key = keyed(&key.finalize().into_bytes());
    }
    key
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key of any length is fine for HMAC; the error type has no other case.
    match Hmac::new_from_slice(key) {
        Ok(hmac) => hmac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

fn signature(
    buffer: &mut Vec<u8>,
    parts: &Parts,
    found: &Authorization<'_>,
    scope: &Scope<'_>,
    body: &[u8],
    mut hmac: Hmac<Sha256>,
) -> [u8; 32] {
    let s3 = scope.service == "s3";
    let declared = parts.headers.get(X_AMZ_HASH).map(|value| value.as_bytes());
    let mut hex_hash = [0_u8; 64];
    let unsigned = match found.expires {
        Some(_) => s3,
        None => declared == Some(UNSIGNED_PAYLOAD.as_bytes()),
    };
    let payload = if unsigned { UNSIGNED_PAYLOAD } else { hash_into(body, &mut hex_hash) };

    buffer.clear();
    Canonical { parts, signed_headers: &found.signed_headers, s3, payload }.write(buffer);
    let mut hex_hash = [0_u8; 64];
    let canonical = hash_into(buffer, &mut hex_hash);

    hmac.update(b"AWS4-HMAC-SHA256\n");
    hmac.update(found.date.as_bytes());
    hmac.update(b"\n");
    let scope_text = found.credential.get(scope.access_key.len() + 1..).unwrap_or_default();
    hmac.update(scope_text.as_bytes());
    hmac.update(b"\n");
    hmac.update(canonical.as_bytes());
    let signature = hmac.finalize().into_bytes().into();
    // A large query or header should not stay in memory for good.
    if buffer.capacity() > 64 << 10 {
        *buffer = Vec::new();
    }
    signature
}

fn hash_into<'h>(bytes: &[u8], hex_hash: &'h mut [u8; 64]) -> &'h str {
    // 64 hexadecimal digits for 32 bytes: neither step can fail.
    let _ = hex::encode_to_slice(Sha256::digest(bytes), hex_hash);
    str::from_utf8(hex_hash).unwrap_or_default()
}

/// The headers that say where a request goes and what it does must be signed.
fn check_signed_headers(parts: &Parts, found: &Authorization<'_>) -> Result<(), Refusal> {
    let signed = |name: &str| found.signed_headers.split(';').any(|header| header == name);
    if !signed("host") {
        return Err(Refusal::NotNow(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".into(),
        ));
    }
    if parts.headers.contains_key(X_AMZ_TARGET) && !signed("x-amz-target") {
        return Err(Refusal::NotNow(
            "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.".into(),
        ));
    }
    Ok(())
}

fn check_time(found: &Authorization<'_>, scope: &Scope<'_>, now: i64) -> Result<(), Refusal> {
    if found.date.get(..8) != Some(scope.date) {
        return Err(Refusal::NotNow(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' \
             != '{}', from '{}'.",
            shortened(scope.date),
            found.date.get(..8).unwrap_or_default(),
            found.date,
        )));
    }
    if found.at > now + SKEW {
        return Err(Refusal::NotNow(format!(
            "Signature not yet current: {} is still later than {} ({} + 15 min.)",
            found.date,
            write_date(now + SKEW),
            write_date(now),
        )));
    }
    let good_for = found.expires.unwrap_or(SKEW);
    if found.at < now - good_for {
        return Err(Refusal::NotNow(match found.expires {
            None => format!(
                "Signature expired: {} is now earlier than {} ({} - 15 min.)",
                found.date,
                write_date(now - SKEW),
                write_date(now),
            ),
            Some(seconds) => format!(
                "Signature expired: {} is now earlier than {} ({} - {seconds} s.)",
                found.date,
                write_date(now - seconds),
                write_date(now),
            ),
        }));
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}
