//! Signing a request, as a client does.

use hmac::Mac;
use http::request::Parts;
use http::{HeaderValue, header};
use sha2::{Digest, Sha256};
use strata_base::Timestamp;

use super::keys::{Purpose, derive};
use super::{ALGORITHM, basic_time, canonical};

/// What a client signs with.
#[derive(Clone)]
pub struct SigningKeys {
    pub access_key: String,
    pub secret: String,
    pub session_token: Option<String>,
}

/// Adds date, token and `Authorization` to the head of a request. `Host` and all other headers
/// must be there already; they are signed.
pub fn sign(
    keys: &SigningKeys,
    region: &str,
    service: &str,
    head: &mut Parts,
    body: &[u8],
    now: Timestamp,
) -> Result<(), header::InvalidHeaderValue> {
    let time = basic_time(now);
    let date = &time[..8];
    head.headers.insert("x-amz-date", HeaderValue::from_str(&time)?);
    if let Some(token) = &keys.session_token {
        head.headers.insert("x-amz-security-token", HeaderValue::from_str(token)?);
    }
    let mut digest = String::with_capacity(64);
    canonical::push_hex(&mut digest, &Sha256::digest(body));

    let names = canonical::to_sign(head);
    let signed = || names.iter().map(|name| name.as_str());
    let (mut request, mut to_sign) = (String::new(), String::new());
    canonical::request(&mut request, head, signed(), &digest);
    canonical::string_to_sign(&mut to_sign, &time, &[date, region, service], &request);
    let mut mac = derive(&keys.secret, Purpose { date, region, service });
    mac.update(to_sign.as_bytes());

    let mut value =
        format!("{ALGORITHM} Credential={}/{date}/{region}/{service}/aws4_request, ", keys.access_key);
    value.push_str("SignedHeaders=");
    value.push_str(&signed().collect::<Vec<_>>().join(";"));
    value.push_str(", Signature=");
    canonical::push_hex(&mut value, &mac.finalize().into_bytes());
    head.headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&value)?);
    Ok(())
}
