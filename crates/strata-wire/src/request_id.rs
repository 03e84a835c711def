//! The id of a request, in the form in which answers carry it.

use std::fmt;

use bytes::{BufMut, BytesMut};
use http::HeaderValue;
use rand::RngExt;

/// Cheap to clone: answers carry it twice.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A version 4 UUID, like `strata_base::request_id`, written straight into the header's
    /// bytes: every request gets one.
    pub fn fresh() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut random: [u8; 16] = rand::rng().random();
        random[6] = (random[6] & 0x0f) | 0x40;
        random[8] = (random[8] & 0x3f) | 0x80;
        let mut text = BytesMut::with_capacity(36);
        for (index, byte) in random.into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.put_u8(b'-');
            }
            text.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        // Hexadecimal digits and hyphens always make a header.
        Self(HeaderValue::from_maybe_shared(text.freeze()).unwrap_or(HeaderValue::from_static("-")))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::RequestId;

    #[test]
    fn ids_are_uuids() {
        let id = RequestId::fresh();
        assert_eq!(id.as_str().len(), 36);
        assert_eq!(&id.as_str()[14..15], "4");
        assert_eq!(id.as_str().matches('-').count(), 4);
        assert_ne!(id, RequestId::fresh());
    }
}
