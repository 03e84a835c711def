//! Where a signature stands: in the `Authorization` header or in the query of the URL.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::{Refusal, X_AMZ_DATE, X_AMZ_TOKEN, parse_date};
use crate::times;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A signature as it came, not yet checked.
#[derive(Debug, PartialEq)]
pub struct Authorization<'r> {
    /// `ACCESSKEY/DATE/REGION/SERVICE/aws4_request`.
    pub credential: Cow<'r, str>,
    pub signed_headers: Cow<'r, str>,
    pub signature: Cow<'r, str>,
    /// When it was signed: seconds, and the text that was signed.
    pub at: i64,
    pub date: Cow<'r, str>,
    pub token: Option<Cow<'r, str>>,
    /// For how many seconds a signature in the URL is good.
    pub expires: Option<i64>,
}

impl<'r> Authorization<'r> {
    /// The service that the signature is for, wherever it stands. Cheap, and checks nothing.
    pub fn service_of(parts: &'r Parts) -> Option<Cow<'r, str>> {
        let credential = match parts.headers.get(AUTHORIZATION) {
            Some(value) => {
                let rest = value.to_str().ok()?.strip_prefix(ALGORITHM)?;
                let start = rest.find("Credential=")? + "Credential=".len();
                let credential = &rest[start..];
                Cow::Borrowed(credential.split([',', ' ']).next()?)
            }
            None => query_parameter(parts.uri.query()?, "X-Amz-Credential")?,
        };
        match credential {
            Cow::Borrowed(text) => Some(Cow::Borrowed(scope(text)?.service)),
            Cow::Owned(text) => Some(Cow::Owned(scope(&text)?.service.to_owned())),
        }
    }

    /// Finds the signature.
    pub fn find(parts: &'r Parts) -> Result<Self, Refusal> {
        match parts.headers.get(AUTHORIZATION) {
            Some(value) => {
                let text = value.to_str().map_err(|_| {
                    Refusal::Incomplete("Authorization header has characters that are not ASCII.".into())
                })?;
                Self::in_header(parts, text)
            }
            None => match parts.uri.query() {
                Some(query) if query_parameter(query, "X-Amz-Algorithm").is_some() => Self::in_query(query),
                _ => Err(Refusal::Missing),
            },
        }
    }

    pub fn scope(&self) -> Option<Scope<'_>> {
        scope(&self.credential)
    }

    fn in_header(parts: &'r Parts, text: &'r str) -> Result<Self, Refusal> {
        let Some(rest) = text.strip_prefix(ALGORITHM) else {
            return Err(Refusal::Incomplete(format!(
                "Unsupported AWS 'algorithm': '{}'.",
                text.split(' ').next().unwrap_or_default()
            )));
        };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            match part.trim().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => signed_headers = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                _ => {}
            }
        }
        let date = date_header(parts);
        if let (Some(credential), Some(signed_headers), Some(signature), Some((at, date))) =
            (credential, signed_headers, signature, date.clone())
        {
            let token = parts.headers.get(X_AMZ_TOKEN).and_then(|value| value.to_str().ok());
            return Ok(Self {
                credential: credential.into(),
                signed_headers: signed_headers.into(),
                signature: signature.into(),
                at,
                date,
                token: token.map(Cow::Borrowed),
                expires: None,
            });
        }
        let mut lacks = String::new();
        for (name, lacking) in [
            ("Credential", credential.is_none()),
            ("Signature", signature.is_none()),
            ("SignedHeaders", signed_headers.is_none()),
        ] {
            if lacking {
                lacks.push_str(&format!("Authorization header requires '{name}' parameter. "));
            }
        }
        if date.is_none() {
            lacks.push_str(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
            );
        }
        Err(Refusal::Incomplete(format!("{lacks}Authorization={ALGORITHM}")))
    }

    fn in_query(query: &'r str) -> Result<Self, Refusal> {
        let lacking = |name: &str| {
            Refusal::Incomplete(format!(
                "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
            ))
        };
        let need = |name: &str| query_parameter(query, name).ok_or_else(|| lacking(name));
        let algorithm = need("X-Amz-Algorithm")?;
        if algorithm != ALGORITHM {
            return Err(Refusal::Incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
        }
        let date = need("X-Amz-Date")?;
        let at = parse_date(&date).ok_or_else(|| lacking("X-Amz-Date"))?;
        // Absent where another service than S3 was asked to sign: good for the allowed skew.
        let expires = match query_parameter(query, "X-Amz-Expires") {
            None => None,
            Some(text) => match text.parse::<i64>() {
                Ok(seconds) if (1..=604_800).contains(&seconds) => Some(seconds),
                _ => {
                    return Err(Refusal::Incomplete(
                        "X-Amz-Expires must be a number between 1 and 604800.".into(),
                    ));
                }
            },
        };
        Ok(Self {
            credential: need("X-Amz-Credential")?,
            signed_headers: need("X-Amz-SignedHeaders")?,
            signature: need("X-Amz-Signature")?,
            at,
            date,
            token: query_parameter(query, "X-Amz-Security-Token"),
            expires: Some(expires.unwrap_or(super::verify::SKEW)),
        })
    }
}

/// The parts of a credential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scope<'a> {
    pub access_key: &'a str,
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

fn scope(credential: &str) -> Option<Scope<'_>> {
    // From the right: nothing but the access key could have a slash in it.
    let mut parts = credential.rsplitn(5, '/');
    if parts.next()? != "aws4_request" {
        return None;
    }
    let (service, region, date) = (parts.next()?, parts.next()?, parts.next()?);
    let access_key = parts.next()?;
    (date.len() == 8 && !access_key.is_empty()).then_some(Scope { access_key, date, region, service })
}

/// `X-Amz-Date`, else `Date` in either form.
fn date_header(parts: &Parts) -> Option<(i64, Cow<'_, str>)> {
    if let Some(text) = parts.headers.get(X_AMZ_DATE).and_then(|value| value.to_str().ok()) {
        return Some((parse_date(text)?, Cow::Borrowed(text)));
    }
    let text = parts.headers.get(DATE)?.to_str().ok()?;
    if let Some(at) = parse_date(text) {
        return Some((at, Cow::Borrowed(text)));
    }
    let at = times::read_text(text)? as i64;
    Some((at, Cow::Owned(super::write_date(at))))
}

fn query_parameter<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let value = query.split('&').find_map(|pair| match pair.split_once('=') {
        Some((n, value)) if n == name => Some(value),
        _ => None,
    })?;
    percent_decode_str(value).decode_utf8().ok()
}
