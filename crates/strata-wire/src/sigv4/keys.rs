//! Signing keys, kept ready for the next request of the same key, day, region and service.

use std::cell::RefCell;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Credential;

type HmacSha256 = Hmac<Sha256>;

/// What a signing key is derived for.
#[derive(Clone, Copy, PartialEq)]
pub struct Purpose<'a> {
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// An HMAC that has taken in the signing key, ready for the string to sign.
pub fn derive(secret: &str, purpose: Purpose) -> HmacSha256 {
    let seed = [b"AWS4", secret.as_bytes()].concat();
    let steps = [purpose.date, purpose.region, purpose.service, "aws4_request"];
    let mut mac = keyed(&seed);
    for step in steps {
        mac.update(step.as_bytes());
        let key = mac.finalize().into_bytes();
        mac = keyed(&key);
    }
    mac
}

#[allow(clippy::expect_used)]
fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length")
}

struct Kept {
    credential: Arc<Credential>,
    date: String,
    region: String,
    service: String,
    mac: HmacSha256,
}

/// A derivation costs four HMACs, about half of a whole verification. One list a thread:
/// no lock, and a handful of entries is found faster by looking than by hashing.
const KEPT: usize = 16;

thread_local! {
    static CACHE: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// [`derive`], or what an earlier call of this thread derived.
pub fn cached(credential: &Arc<Credential>, purpose: Purpose) -> HmacSha256 {
    CACHE.with_borrow_mut(|kept| {
        let found = kept.iter().position(|one| {
            Arc::ptr_eq(&one.credential, credential)
                && one.service == purpose.service
                && one.region == purpose.region
                && one.date == purpose.date
        });
        if let Some(at) = found {
            return kept[at].mac.clone();
        }
        let mac = derive(&credential.secret, purpose);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Kept {
            credential: credential.clone(),
            date: purpose.date.into(),
            region: purpose.region.into(),
            service: purpose.service.into(),
            mac: mac.clone(),
        });
        mac
    })
}
