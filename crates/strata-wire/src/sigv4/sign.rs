//! Signs requests: for the command line, for tests, for calls from cloud to cloud.

use hmac::Mac;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::request::Parts;
use sha2::{Digest, Sha256};
use strata_base::Timestamp;

use super::authorization::Scope;
use super::canonical::Canonical;
use super::verify::derive;
use super::{UNSIGNED_PAYLOAD, X_AMZ_DATE, X_AMZ_HASH, X_AMZ_TOKEN, write_date};

/// What a client signs with.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key: String,
    pub secret: String,
    pub session_token: Option<String>,
}

/// Signs `parts` for now: sets `X-Amz-Date`, `X-Amz-Security-Token`, `Authorization` and,
/// where it is missing, `Host`. `body_sha256` is hexadecimal or `UNSIGNED-PAYLOAD`.
///
/// Signed are `Host`, `Content-Type` and all `X-Amz-*` headers: set those before.
pub fn sign(
    credentials: &Credentials,
    region: &str,
    service: &str,
    parts: &mut Parts,
    body_sha256: &str,
) -> Result<(), http::Error> {
    sign_at(credentials, region, service, parts, body_sha256, Timestamp::now())
}

/// [`sign`], at a moment of choice.
pub fn sign_at(
    credentials: &Credentials,
    region: &str,
    service: &str,
    parts: &mut Parts,
    body_sha256: &str,
    at: Timestamp,
) -> Result<(), http::Error> {
    let date = write_date(at.0.div_euclid(1000));
    set_host(parts)?;
    parts.headers.insert(X_AMZ_DATE, HeaderValue::from_str(&date)?);
    if let Some(token) = &credentials.session_token {
        parts.headers.insert(X_AMZ_TOKEN, HeaderValue::from_str(token)?);
    }
    if service == "s3" || body_sha256 == UNSIGNED_PAYLOAD {
        parts.headers.insert(X_AMZ_HASH, HeaderValue::from_str(body_sha256)?);
    }

    let mut names: Vec<&str> = parts
        .headers
        .keys()
        .filter(|name| *name == HOST || *name == CONTENT_TYPE || name.as_str().starts_with("x-amz-"))
        .map(|name| name.as_str())
        .collect();
    names.sort_unstable();
    let signed_headers = names.join(";");

    let scope = Scope { access_key: &credentials.access_key, date: &date[..8], region, service };
    let signature = signature(&credentials.secret, parts, &scope, &date, &signed_headers, body_sha256);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed_headers}, Signature={signature}",
        credentials.access_key,
        scope_text(&scope),
    );
    parts.headers.insert(AUTHORIZATION, HeaderValue::from_str(&authorization)?);
    Ok(())
}

/// Puts a signature into the URL of `parts`, good for `seconds` from `at`.
pub fn presign(
    credentials: &Credentials,
    region: &str,
    service: &str,
    parts: &mut Parts,
    seconds: u32,
    at: Timestamp,
) -> Result<(), http::Error> {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let date = write_date(at.0.div_euclid(1000));
    set_host(parts)?;
    let scope = Scope { access_key: &credentials.access_key, date: &date[..8], region, service };
    let credential = format!("{}/{}", credentials.access_key, scope_text(&scope));
    let mut query = parts.uri.query().map(|query| format!("{query}&")).unwrap_or_default();
    query.push_str(&format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={date}&X-Amz-Expires={seconds}\
         &X-Amz-SignedHeaders=host",
        encode(&credential),
    ));
    if let Some(token) = &credentials.session_token {
        query.push_str(&format!("&X-Amz-Security-Token={}", encode(token)));
    }
    set_query(parts, &query)?;
    let payload = match service {
        "s3" => UNSIGNED_PAYLOAD.to_owned(),
        _ => super::sha256_hex(b""),
    };
    let signature = signature(&credentials.secret, parts, &scope, &date, "host", &payload);
    set_query(parts, &format!("{query}&X-Amz-Signature={signature}"))
}

fn set_query(parts: &mut Parts, query: &str) -> Result<(), http::Error> {
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    let path = uri.path_and_query.as_ref().map_or("/", |path| path.path());
    uri.path_and_query = Some(format!("{path}?{query}").parse()?);
    parts.uri = http::Uri::from_parts(uri)?;
    Ok(())
}

fn set_host(parts: &mut Parts) -> Result<(), http::Error> {
    if !parts.headers.contains_key(HOST)
        && let Some(authority) = parts.uri.authority()
    {
        let host = HeaderValue::from_str(authority.as_str())?;
        parts.headers.insert(HOST, host);
    }
    Ok(())
}

fn signature(
    secret: &str,
    parts: &Parts,
    scope: &Scope<'_>,
    date: &str,
    signed_headers: &str,
    payload: &str,
) -> String {
    let mut canonical = Vec::with_capacity(512);
    Canonical { parts, signed_headers, s3: scope.service == "s3", payload }.write(&mut canonical);
    let mut hmac = derive(secret, scope);
    let hash = hex::encode(Sha256::digest(&canonical));
    hmac.update(format!("AWS4-HMAC-SHA256\n{date}\n{}\n{hash}", scope_text(scope)).as_bytes());
    hex::encode(hmac.finalize().into_bytes())
}

fn scope_text(scope: &Scope<'_>) -> String {
    format!("{}/{}/{}/aws4_request", scope.date, scope.region, scope.service)
}
