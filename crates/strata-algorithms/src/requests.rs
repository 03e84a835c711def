//! Rows of numbers in the body of an inference request: CSV, libsvm, JSON and JSON lines.
//!
//! Every reader is bounded by the size of the body, names the row and column it
//! cannot read, and gives NaN for a value that is missing.

use serde::Deserialize;
use strata_base::predictor::PredictError;

/// What is wrong with a body. Rows and columns count from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RequestError {
    #[error("the request has no rows")]
    Empty,
    #[error("row {row}, column {column}: \"{text}\" is not a number")]
    NotANumber { row: usize, column: usize, text: String },
    #[error("row {row}, column {column}: \"{text}\" is too large for a 32-bit number")]
    TooLarge { row: usize, column: usize, text: String },
    #[error("row {row} has {found} features, the model needs {needed}")]
    Width { row: usize, found: usize, needed: usize },
    #[error("row {row} names feature {index}, the model has features 0 to {last}")]
    NoSuchFeature { row: usize, index: u64, last: usize },
    #[error("row {row}: \"{text}\" is not of the form index:value")]
    NotAPair { row: usize, text: String },
    #[error("row {row} names feature {index} twice")]
    Twice { row: usize, index: u64 },
    #[error("the body is not the JSON this model reads: {0}")]
    Json(String),
}

impl From<RequestError> for PredictError {
    fn from(error: RequestError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

/// The media type of a `Content-Type` or `Accept` value: no parameters, no blanks.
pub fn media_type(header: &str) -> &str {
    header.split(';').next().unwrap_or_default().trim()
}

/// Reads rows of `width` comma-separated numbers, one after another into one vector.
/// An empty cell or `nan` is a missing value.
pub fn csv(body: &[u8], width: usize) -> Result<Vec<f32>, RequestError> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(RequestError::Empty);
    }
    let mut values = Vec::with_capacity(width.min(body.len() / 2 + 1));
    let (mut at, mut row, mut column) = (0, 1, 1);
    loop {
        let (value, next) = cell(body, at, row, column)?;
        values.push(value);
        match body.get(next) {
            Some(b',') => column += 1,
            end => {
                if column != width {
                    return Err(RequestError::Width { row, found: column, needed: width });
                }
                if end.is_none() {
                    return Ok(values);
                }
                (row, column) = (row + 1, 1);
            }
        }
        at = next + 1;
    }
}

/// One cell and the place of the delimiter behind it.
#[inline]
fn cell(body: &[u8], start: usize, row: usize, column: usize) -> Result<(f32, usize), RequestError> {
    if let Some((value, next)) = plain_number(body, start)
        && matches!(body.get(next), None | Some(b',' | b'\n'))
    {
        return Ok((value as f32, next));
    }
    odd_cell(body, start, row, column)
}

/// Digits with an optional sign and point that a double holds exactly: all but a few cells.
/// Both the digits (below 2^53) and the power of ten (up to 10^22) are exact, so the one
/// division rounds correctly and the result equals the slow reader's.
#[inline]
fn plain_number(body: &[u8], start: usize) -> Option<(f64, usize)> {
    const POWERS: [f64; 19] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18,
    ];
    let mut at = start;
    let negative = body.get(at) == Some(&b'-');
    at += usize::from(negative);
    let (mut digits, mut number) = (0usize, 0u64);
    while let Some(digit) = body.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        digits += 1;
        at += 1;
    }
    let mut decimals = 0;
    if body.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        while let Some(digit) = body.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        decimals = at - point;
        digits += decimals;
    }
    if digits == 0 || digits > 18 || number >= 1 << 53 {
        return None;
    }
    let value = number as f64 / POWERS.get(decimals)?;
    Some((if negative { -value } else { value }, at))
}

#[cold]
fn odd_cell(body: &[u8], start: usize, row: usize, column: usize) -> Result<(f32, usize), RequestError> {
    let rest = body.get(start..).unwrap_or_default();
    let length = memchr::memchr2(b',', b'\n', rest).unwrap_or(rest.len());
    let text = rest[..length].trim_ascii();
    let value = if text.is_empty() { f32::NAN } else { number(text, row, column)? };
    Ok((value, start + length))
}

/// A number as text. Read as a double and then narrowed, as Python and the C library do.
fn number(text: &[u8], row: usize, column: usize) -> Result<f32, RequestError> {
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    let Some(value) = value else {
        return Err(RequestError::NotANumber { row, column, text: excerpt(text) });
    };
    let narrow = value as f32;
    if narrow.is_infinite() {
        return Err(RequestError::TooLarge { row, column, text: excerpt(text) });
    }
    Ok(narrow)
}

/// The beginning of what the caller sent, fit for an error sentence.
fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut short: String = text.chars().take(40).filter(|letter| !letter.is_control()).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}

/// One row of a sparse request.
pub struct SparseRow<'a> {
    /// `width` values; NaN where the row names none.
    pub values: &'a [f32],
    /// The features the row gives a value, in its order.
    pub named: &'a [usize],
}

/// Calls `each` for every row of `index:value` pairs; indexes count from 0. A first item
/// without a colon is a label and is passed over. One buffer serves all rows, so a wide
/// model does not multiply by the number of rows.
pub fn libsvm(
    body: &[u8],
    width: usize,
    mut each: impl FnMut(SparseRow<'_>) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(RequestError::Empty);
    }
    let mut values = vec![f32::NAN; width];
    let mut named = Vec::new();
    for (line, row) in body.split(|byte| *byte == b'\n').zip(1..) {
        let items = line.split(u8::is_ascii_whitespace).filter(|item| !item.is_empty());
        for (item, column) in items.zip(1..) {
            let Some(colon) = memchr::memchr(b':', item) else {
                if column == 1 {
                    number(item, row, column)?;
                    continue;
                }
                return Err(RequestError::NotAPair { row, text: excerpt(item) });
            };
            let index = std::str::from_utf8(&item[..colon]).ok().and_then(|text| text.parse::<u64>().ok());
            let Some(index) = index else {
                return Err(RequestError::NotAPair { row, text: excerpt(item) });
            };
            let value = number(&item[colon + 1..], row, column)?;
            let place = usize::try_from(index).ok().and_then(|place| Some((place, values.get_mut(place)?)));
            let Some((place, slot)) = place else {
                return Err(RequestError::NoSuchFeature { row, index, last: width.saturating_sub(1) });
            };
            if !slot.is_nan() {
                return Err(RequestError::Twice { row, index });
            }
            if !value.is_nan() {
                *slot = value;
                named.push(place);
            }
        }
        each(SparseRow { values: &values, named: &named })?;
        for place in named.drain(..) {
            values[place] = f32::NAN;
        }
    }
    Ok(())
}

/// `{"instances": [...]}` as the first-party algorithms read it, into rows of `width` values.
/// An instance is `{"features": [..]}`, `{"data": {"features": {"values": [..]}}}` (with
/// `keys` and `shape` for a sparse one) or a bare list.
pub fn json(body: &[u8], width: usize) -> Result<Vec<f32>, RequestError> {
    #[derive(Deserialize)]
    struct Document {
        instances: Vec<Instance>,
    }
    let document: Document =
        serde_json::from_slice(body).map_err(|error| RequestError::Json(error.to_string()))?;
    if document.instances.is_empty() {
        return Err(RequestError::Empty);
    }
    let mut values = Vec::new();
    for (instance, row) in document.instances.into_iter().zip(1..) {
        instance.append(row, width, &mut values)?;
    }
    Ok(values)
}

/// One instance a line, of the same forms as in [`json`].
pub fn json_lines(body: &[u8], width: usize) -> Result<Vec<f32>, RequestError> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(RequestError::Empty);
    }
    let mut values = Vec::new();
    for (line, row) in body.split(|byte| *byte == b'\n').zip(1..) {
        let instance: Instance = serde_json::from_slice(line)
            .map_err(|error| RequestError::Json(format!("line {row}: {error}")))?;
        instance.append(row, width, &mut values)?;
    }
    Ok(values)
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an instance is {\"features\": [numbers]}, {\"data\": {\"features\": {\"values\": [numbers]}}} or [numbers]"
)]
enum Instance {
    Bare(Vec<Option<f64>>),
    Features { features: Vec<Option<f64>> },
    Data { data: Data },
}

#[derive(Deserialize)]
struct Data {
    features: Tensor,
}

#[derive(Deserialize)]
struct Tensor {
    values: Vec<Option<f64>>,
    #[serde(default)]
    keys: Option<Vec<u64>>,
    #[serde(default)]
    shape: Option<Vec<u64>>,
}

impl Instance {
    fn append(self, row: usize, width: usize, rows: &mut Vec<f32>) -> Result<(), RequestError> {
        let tensor = match self {
            Self::Bare(values) | Self::Features { features: values } => {
                Tensor { values, keys: None, shape: None }
            }
            Self::Data { data } => data.features,
        };
        match tensor.keys.filter(|keys| !keys.is_empty()) {
            None => {
                if tensor.values.len() != width {
                    return Err(RequestError::Width { row, found: tensor.values.len(), needed: width });
                }
                for (value, column) in tensor.values.into_iter().zip(1..) {
                    rows.push(narrow(value, row, column)?);
                }
            }
            Some(keys) => {
                if let Some(&[size]) = tensor.shape.as_deref()
                    && size != width as u64
                {
                    return Err(RequestError::Width { row, found: size as usize, needed: width });
                }
                if keys.len() != tensor.values.len() {
                    return Err(RequestError::Json(format!(
                        "instance {row} has {} keys for {} values",
                        keys.len(),
                        tensor.values.len()
                    )));
                }
                let start = rows.len();
                rows.resize(start + width, 0.0);
                for ((key, value), column) in keys.into_iter().zip(tensor.values).zip(1..) {
                    let slot = usize::try_from(key).ok().and_then(|key| rows[start..].get_mut(key));
                    let Some(slot) = slot else {
                        return Err(RequestError::NoSuchFeature {
                            row,
                            index: key,
                            last: width.saturating_sub(1),
                        });
                    };
                    *slot = narrow(value, row, column)?;
                }
            }
        }
        Ok(())
    }
}

fn narrow(value: Option<f64>, row: usize, column: usize) -> Result<f32, RequestError> {
    let value = value.map_or(f32::NAN, |value| value as f32);
    if value.is_infinite() {
        return Err(RequestError::TooLarge { row, column, text: "the number".into() });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(body: &str, width: usize, expected: &str) {
        let found = match csv(body.as_bytes(), width) {
            Ok(values) => format!("{values:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{body:?}");
    }

    #[test]
    fn csv_reads_numbers_and_names_what_it_cannot_read() {
        check("1,2.5,-3", 3, "[1.0, 2.5, -3.0]");
        check("1,2\n3,4\n", 2, "[1.0, 2.0, 3.0, 4.0]");
        check("1,2\r\n3,4\r\n", 2, "[1.0, 2.0, 3.0, 4.0]");
        check(" 1 ,\t2", 2, "[1.0, 2.0]");
        check("1,,nan", 3, "[1.0, NaN, NaN]");
        check("1e3,-2.5E-1,+7", 3, "[1000.0, -0.25, 7.0]");
        check("123456789012345678901234567890,0.1", 2, "[1.2345679e29, 0.1]");
        check("1,2,3", 2, "row 1 has 3 features, the model needs 2");
        check("1,2\n1", 2, "row 2 has 1 features, the model needs 2");
        check("1,abc", 2, "row 1, column 2: \"abc\" is not a number");
        check("1,2\n3,\"4\"", 2, "row 2, column 2: \"\"4\"\" is not a number");
        check("1,1e39", 2, "row 1, column 2: \"1e39\" is too large for a 32-bit number");
        check("1,inf", 2, "row 1, column 2: \"inf\" is too large for a 32-bit number");
        check(" \n", 2, "the request has no rows");
    }

    #[test]
    fn libsvm_fills_what_is_absent_with_nan() {
        let read = |body: &str| {
            let mut rows = Vec::new();
            libsvm(body.as_bytes(), 3, |row| {
                rows.push(format!("{:?} {:?}", row.values, row.named));
                Ok(())
            })
            .map(|()| rows.join("; "))
            .unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(read("0:1 2:5"), "[1.0, NaN, 5.0] [0, 2]");
        assert_eq!(read("1 1:2\n2:3\n"), "[NaN, 2.0, NaN] [1]; [NaN, NaN, 3.0] [2]");
        assert_eq!(read("3:1"), "row 1 names feature 3, the model has features 0 to 2");
        assert_eq!(read("0:1 0:2"), "row 1 names feature 0 twice");
        assert_eq!(read("0:1 x"), "row 1: \"x\" is not of the form index:value");
        assert_eq!(read("0:x"), "row 1, column 1: \"x\" is not a number");
        assert_eq!(read("-1:4"), "row 1: \"-1:4\" is not of the form index:value");
    }

    #[test]
    fn json_takes_the_documented_forms() {
        let read = |body: &str| match json(body.as_bytes(), 2) {
            Ok(values) => format!("{values:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(read(r#"{"instances":[{"features":[1,2.5]},[3,null]]}"#), "[1.0, 2.5, 3.0, NaN]");
        assert_eq!(read(r#"{"instances":[{"data":{"features":{"values":[1,2]}}}]}"#), "[1.0, 2.0]");
        let sparse = r#"{"instances":[{"data":{"features":{"keys":[1],"values":[4],"shape":[2]}}}]}"#;
        assert_eq!(read(sparse), "[0.0, 4.0]");
        assert_eq!(read(r#"{"instances":[{"features":[1]}]}"#), "row 1 has 1 features, the model needs 2");
        assert_eq!(read(r#"{"instances":[]}"#), "the request has no rows");
        assert!(read(r#"{"rows":[]}"#).contains("missing field `instances`"));
        assert_eq!(json_lines(b"{\"features\":[1,2]}\n[3,4]\n", 2), Ok(vec![1.0, 2.0, 3.0, 4.0]));
    }

    proptest! {
        #[test]
        fn plain_numbers_equal_the_standard_reader(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?") {
            if let Some((value, length)) = plain_number(text.as_bytes(), 0) {
                prop_assert_eq!(length, text.len());
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200), width in 0usize..5) {
            let _ = csv(&body, width);
            let _ = libsvm(&body, width, |_| Ok(()));
            let _ = json(&body, width);
            let _ = json_lines(&body, width);
        }

        #[test]
        fn no_csv_like_body_panics(body in "[-0-9.,\ne: na{}\"]{0,60}", width in 0usize..5) {
            if let Ok(values) = csv(body.as_bytes(), width) {
                prop_assert_eq!(values.len() % width, 0);
            }
            let _ = libsvm(body.as_bytes(), width, |_| Ok(()));
        }
    }
}
