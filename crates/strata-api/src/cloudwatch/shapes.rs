//! Shapes that several operations share: dimensions, numbers, periods.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Value, json};
use strata_base::metrics::Series;
use strata_wire::Fault;

use super::invalid;

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    pub name: String,
    pub value: String,
}

/// Dimensions by name; the same name twice is an error.
pub fn dimensions(list: Vec<Dimension>) -> Result<BTreeMap<String, String>, Fault> {
    let mut map = BTreeMap::new();
    for Dimension { name, value } in list {
        if map.contains_key(&name) {
            return Err(invalid(format!("No Metric may specify the same dimension name twice: {name}")));
        }
        map.insert(name, value);
    }
    Ok(map)
}

/// A series as `Metric` shows it.
pub fn metric(series: &Series) -> Value {
    let dimension = |(name, value): (&String, &String)| json!({ "Name": name, "Value": value });
    json!({
        "Namespace": series.namespace,
        "MetricName": series.metric,
        "Dimensions": series.dimensions.iter().map(dimension).collect::<Vec<_>>(),
    })
}

/// Checks a period in seconds and gives it in milliseconds.
pub fn period(seconds: i64) -> Result<i64, Fault> {
    // A year: longer than anything that is kept is of no use, and multiplied it stays small.
    let most = 31_536_000;
    if (1..=most).contains(&seconds) && (matches!(seconds, 1 | 5 | 10 | 20 | 30) || seconds % 60 == 0) {
        return Ok(seconds * 1000);
    }
    Err(invalid(format!(
        "The value {seconds} for parameter Period is invalid: it must be 1, 5, 10, 20, 30 or a multiple of 60, \
         and at most {most}"
    )))
}

/// A number that may also be one of the words that JSON and XML clients write for what is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "NaN" => Ok(Number(f64::NAN)),
                    "Infinity" => Ok(Number(f64::INFINITY)),
                    "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
                    _ => Err(E::custom(format!("{text:?} is not a number"))),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_those_of_cloudwatch() {
        for good in [1, 5, 10, 20, 30, 60, 120, 86_400] {
            assert_eq!(period(good).unwrap(), good * 1000);
        }
        for bad in [i64::MIN, -60, 0, 2, 59, 61, 90, i64::MAX, i64::MAX / 60 * 60] {
            assert!(period(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_for_numbers_are_read() {
        let read = |value: Value| serde_json::from_value::<Number>(value);
        assert_eq!(read(json!(1)).unwrap(), Number(1.0));
        assert_eq!(read(json!(-1.5)).unwrap(), Number(-1.5));
        assert!(read(json!("NaN")).unwrap().0.is_nan());
        assert_eq!(read(json!("-Infinity")).unwrap().0, f64::NEG_INFINITY);
        assert!(read(json!("1,5")).is_err());
    }
}
