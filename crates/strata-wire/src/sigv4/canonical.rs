//! The canonical request and the string to sign: the same bytes on both sides.

use std::fmt::Write;

use http::request::Parts;
use http::{HeaderName, header};
use sha2::{Digest, Sha256};

use super::ALGORITHM;

/// The signature's query parameter, which cannot sign itself.
const SIGNATURE: &str = "X-Amz-Signature";

/// Writes the canonical request into `text` (emptied first); false if a signed header is absent.
pub fn request<'a>(
    text: &mut String,
    head: &Parts,
    signed_headers: impl Iterator<Item = &'a str> + Clone,
    body_digest: &str,
) -> bool {
    text.clear();
    text.push_str(head.method.as_str());
    text.push('\n');
    path(text, head.uri.path());
    text.push('\n');
    query(text, head.uri.query().unwrap_or_default());
    text.push('\n');
    for name in signed_headers.clone() {
        text.push_str(name);
        text.push(':');
        if !header(text, head, name) {
            return false;
        }
        text.push('\n');
    }
    text.push('\n');
    for (i, name) in signed_headers.enumerate() {
        if i > 0 {
            text.push(';');
        }
        text.push_str(name);
    }
    text.push('\n');
    text.push_str(body_digest);
    true
}

/// The string to sign over a canonical request.
pub fn string_to_sign(text: &mut String, time: &str, scope: &[&str; 3], canonical: &str) {
    let [date, region, service] = scope;
    text.clear();
    let _ = write!(text, "{ALGORITHM}\n{time}\n{date}/{region}/{service}/aws4_request\n");
    push_hex(text, &Sha256::digest(canonical.as_bytes()));
}

pub fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The path as sent, encoded once more (every service but S3 does so), dot segments resolved.
fn path(text: &mut String, raw: &str) {
    if raw.is_empty() {
        return text.push('/');
    }
    if !raw.contains("/.") && !raw.contains("//") {
        return encode(text, raw, b"/");
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    for segment in &segments {
        text.push('/');
        encode(text, segment, b"");
    }
    if segments.is_empty() || raw.ends_with('/') {
        text.push('/');
    }
}

/// Parameters in order of name, then value, without the signature.
fn query(text: &mut String, raw: &str) {
    if raw.is_empty() {
        return;
    }
    let mut pairs: Vec<(&str, &str)> = raw
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != SIGNATURE)
        .collect();
    pairs.sort_unstable();
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            text.push('&');
        }
        // They are encoded already; only what a sloppy client left open is encoded here.
        encode(text, name, b"%");
        text.push('=');
        encode(text, value, b"%");
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986) and `also`.
fn encode(text: &mut String, raw: &str, also: &[u8]) {
    for c in raw.chars() {
        let plain = c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        if plain || (c.is_ascii() && also.contains(&(c as u8))) {
            text.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
}

/// All values of a header, joined by commas; runs of spaces folded, ends trimmed.
fn header(text: &mut String, head: &Parts, name: &str) -> bool {
    let mut values = head.headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        // HTTP/2 carries the host as :authority.
        let authority = head.uri.authority().filter(|_| name == header::HOST.as_str());
        return match authority {
            Some(authority) => {
                text.push_str(authority.as_str());
                true
            }
            None => false,
        };
    }
    let mut first = true;
    for value in values {
        if !first {
            text.push(',');
        }
        first = false;
        match value.to_str() {
            Ok(value) if !value.contains("  ") => text.push_str(value.trim()),
            Ok(value) => {
                for (i, word) in value.split_whitespace().enumerate() {
                    if i > 0 {
                        text.push(' ');
                    }
                    text.push_str(word);
                }
            }
            Err(_) => text.push_str(String::from_utf8_lossy(value.as_bytes()).trim()),
        }
    }
    true
}

/// The headers that our signer signs: all that are there but those that proxies change.
pub fn to_sign(head: &Parts) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| {
            ![header::AUTHORIZATION, header::USER_AGENT, header::CONNECTION, header::EXPECT].contains(name)
        })
        .cloned()
        .collect();
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names
}
