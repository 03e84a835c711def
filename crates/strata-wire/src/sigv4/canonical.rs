//! The canonical request: the one text that signer and verifier must agree on.

use http::request::Parts;

/// What of a request is signed, besides its headers.
pub struct Canonical<'a> {
    pub parts: &'a Parts,
    pub signed_headers: &'a str,
    /// S3 signs the path as it is; all others tidy it and encode it once more.
    pub s3: bool,
    /// Hexadecimal hash, or a word such as `UNSIGNED-PAYLOAD`.
    pub payload: &'a str,
}

impl Canonical<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.parts.method.as_str().as_bytes());
        out.push(b'\n');
        match self.s3 {
            true => write_s3_path(self.parts.uri.path(), out),
            false => write_path(self.parts.uri.path(), out),
        }
        out.push(b'\n');
        if let Some(query) = self.parts.uri.query() {
            write_query(query, out);
        }
        out.push(b'\n');
        for name in self.signed_headers.split(';') {
            self.write_header(name, out);
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload.as_bytes());
    }

    fn write_header(&self, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        // A walk over the few headers of a request is faster than parsing and hashing the name.
        let mut values =
            self.parts.headers.iter().filter(|(n, _)| n.as_str() == name).map(|(_, value)| value);
        match values.next() {
            Some(first) => {
                write_trimmed(first.as_bytes(), out);
                for value in values {
                    out.push(b',');
                    write_trimmed(value.as_bytes(), out);
                }
            }
            // HTTP/2 has no Host header, but every signer signs one.
            None if name == "host" => {
                let authority = self.parts.uri.authority().map(|a| a.as_str()).unwrap_or_default();
                out.extend_from_slice(authority.as_bytes());
            }
            None => {}
        }
        out.push(b'\n');
    }
}

/// Without blanks around, and with one blank for each run of them.
fn write_trimmed(value: &[u8], out: &mut Vec<u8>) {
    let value = value.trim_ascii();
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    if !value.windows(2).any(|pair| pair.iter().all(blank)) && !value.contains(&b'\t') {
        out.extend_from_slice(value);
        return;
    }
    let mut words = value.split(|b| blank(b)).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

fn write_path(path: &str, out: &mut Vec<u8>) {
    // The usual path has nothing to tidy; `tidy` then would only copy it.
    let plain = !path.contains("//") && !path.contains("/.");
    if plain {
        write_encoded(path.as_bytes(), true, out);
        return;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    for segment in &segments {
        out.push(b'/');
        write_encoded(segment.as_bytes(), true, out);
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push(b'/');
    }
}

/// S3: the path decoded and encoded once, so that differently escaped clients agree.
fn write_s3_path(path: &str, out: &mut Vec<u8>) {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    write_encoded(&decoded, true, out);
}

/// Sorted by name, then value; the signature itself is not part of what it signs.
fn write_query(query: &str, out: &mut Vec<u8>) {
    if query.is_empty() {
        return;
    }
    let encode = |text: &str| {
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
        let mut encoded = Vec::with_capacity(text.len());
        write_encoded(&decoded, false, &mut encoded);
        encoded
    };
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn write_encoded(bytes: &[u8], keep_slash: bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &b in bytes {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(b),
            b'/' if keep_slash => out.push(b),
            _ => out.extend_from_slice(&[b'%', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]),
        }
    }
}
