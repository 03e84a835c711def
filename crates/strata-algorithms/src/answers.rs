//! Answers of models: which media type the caller takes, and numbers as text.

use bytes::Bytes;
use serde_json::ser::{CompactFormatter, Formatter};
use strata_base::predictor::{Answer, PredictError};

use crate::requests::media_type;

/// The types in which built-in models answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerType {
    Csv,
    Json,
    JsonLines,
}

impl AnswerType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonlines",
        }
    }

    /// Chooses by the `Accept` header; empty or `*/*` gives `default`.
    pub fn choose(accept: &str, default: Self) -> Result<Self, PredictError> {
        const ALL: [AnswerType; 3] = [AnswerType::Csv, AnswerType::Json, AnswerType::JsonLines];
        if accept.is_empty() {
            return Ok(default);
        }
        for range in accept.split(',').map(media_type) {
            if range == "*/*" || range.is_empty() {
                return Ok(default);
            }
            let preferred = std::iter::once(default).chain(ALL);
            for answer in preferred {
                let family = answer.name().split_once('/').map_or("", |(family, _)| family);
                let wild = range.strip_suffix("/*").is_some_and(|given| given.eq_ignore_ascii_case(family));
                if wild || range.eq_ignore_ascii_case(answer.name()) {
                    return Ok(answer);
                }
            }
        }
        Err(PredictError::NotAcceptable(format!(
            "Accept type {accept} is not supported. Please use supported accept types: text/csv, \
             application/json, application/jsonlines."
        )))
    }

    pub fn answer(self, body: Vec<u8>) -> Answer {
        Answer { content_type: self.name().to_owned(), body: Bytes::from(body), custom_attributes: None }
    }
}

/// Appends the shortest text that reads back as this double; `NaN` where it is none.
/// A 32-bit number is widened first, as Python's `tolist()` does, so clients that compare
/// text see the digits they see from AWS.
pub fn write_number(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // Writing to a vector cannot fail.
        let _ = CompactFormatter.write_f64(out, value);
    } else {
        out.extend_from_slice(b"NaN");
    }
}

/// Appends `values` with commas between them.
pub fn write_numbers(out: &mut Vec<u8>, values: &[f32]) {
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_number(out, f64::from(*value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_chooses_the_first_type_we_write() {
        let check = |accept: &str, expected: Option<&str>| {
            let found = AnswerType::choose(accept, AnswerType::Csv).ok().map(AnswerType::name);
            assert_eq!(found, expected, "{accept}");
        };
        check("", Some("text/csv"));
        check("*/*", Some("text/csv"));
        check("Application/JSON", Some("application/json"));
        check("application/jsonlines;verbose=true", Some("application/jsonlines"));
        check("application/*", Some("application/json"));
        check("image/png, text/csv;q=0.5", Some("text/csv"));
        check("image/png", None);
    }

    #[test]
    fn numbers_are_written_like_pythons() {
        let mut out = Vec::new();
        write_numbers(&mut out, &[0.9, 1.0, -0.0, 1e20, f32::NAN]);
        assert_eq!(String::from_utf8(out).unwrap(), "0.8999999761581421,1.0,-0.0,1.0000000200408773e+20,NaN");
    }
}
