//! Times on the wire: every form that clients send becomes seconds, and back.

use serde_json::Value;
use strata_base::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::model::TimeFormat;

/// The last second of the year 9999; later ones cannot be written as text.
const LAST: f64 = 253_402_300_799.0;

/// Seconds from a number, or from text in any of AWS's forms: ISO 8601, an HTTP date, seconds.
pub fn read(value: &Value) -> Option<f64> {
    match value {
        Value::Number(seconds) => sane(seconds.as_f64()?),
        Value::String(text) => read_text(text),
        _ => None,
    }
}

pub fn read_text(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Some(at) = Timestamp::parse_iso8601(text) {
        return Some(at.seconds());
    }
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc2822) {
        return Some(at.unix_timestamp() as f64);
    }
    // A date and time without an offset, as some tools write them, is UTC.
    if let Some(at) = Timestamp::parse_iso8601(&format!("{text}Z")) {
        return Some(at.seconds());
    }
    sane(text.parse().ok()?)
}

fn sane(seconds: f64) -> Option<f64> {
    (seconds.is_finite() && seconds.abs() <= LAST).then_some(seconds)
}

/// Text of a moment in the form that a header or an XML element wants.
pub fn write(seconds: f64, format: TimeFormat) -> String {
    match format {
        TimeFormat::Seconds => seconds.to_string(),
        TimeFormat::Iso8601 => Timestamp::from_seconds(seconds).iso8601(),
        TimeFormat::HttpDate => OffsetDateTime::from_unix_timestamp(seconds as i64)
            .ok()
            .and_then(|at| at.format(&Rfc2822).ok())
            .map(|text| text.replace("+0000", "GMT"))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_the_same() {
        for text in [
            "2014-04-29T18:30:38Z",
            "2014-04-29T20:30:38+02:00",
            "2014-04-29T18:30:38",
            "Tue, 29 Apr 2014 18:30:38 GMT",
            "1398796238",
        ] {
            assert_eq!(read_text(text), Some(1_398_796_238.0), "{text}");
        }
        for text in ["", "yesterday", "NaN", "inf", "1e300", "2014-13-01T00:00:00Z"] {
            assert_eq!(read_text(text), None, "{text}");
        }
    }

    #[test]
    fn written_forms() {
        assert_eq!(write(1_398_796_238.5, TimeFormat::Iso8601), "2014-04-29T18:30:38.500Z");
        assert_eq!(write(1_398_796_238.0, TimeFormat::HttpDate), "Tue, 29 Apr 2014 18:30:38 GMT");
        assert_eq!(write(1_398_796_238.5, TimeFormat::Seconds), "1398796238.5");
    }
}
