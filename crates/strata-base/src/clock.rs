//! Time as the cloud records it: milliseconds since the Unix epoch, UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The present moment.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_millis() as i64)
    }

    /// Seconds with fraction, the form AWS's JSON protocols put on the wire.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The inverse of [`seconds`](Self::seconds), rounded to the millisecond.
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1000.0).round() as i64)
    }

    /// `2026-11-23T00:51:56.123Z`, the form of the XML protocols and of logs.
    pub fn iso8601(self) -> String {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }

    /// Reads RFC 3339 text, with any offset.
    pub fn parse_iso8601(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self((at.unix_timestamp_nanos() / 1_000_000) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let at = Timestamp(1_700_000_000_123);
        assert_eq!(at.iso8601(), "2023-11-14T22:13:20.123Z");
        assert_eq!(Timestamp::parse_iso8601(&at.iso8601()), Some(at));
        assert_eq!(Timestamp::from_seconds(at.seconds()), at);
    }
}
