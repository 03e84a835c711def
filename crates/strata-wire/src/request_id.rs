//! The id of a request, in the form in which answers carry it.

use std::fmt;

use http::HeaderValue;

/// Cheap to clone: answers carry it twice.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub fn fresh() -> Self {
        let text = strata_base::request_id();
        // Hexadecimal digits and hyphens always make a header.
        Self(
            HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("-")),
        )
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
