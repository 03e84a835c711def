//! Statistics by name, and the percentile of weighted values.

use std::fmt;

use strata_base::metrics::Datum;

/// A statistic that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    Average,
    Maximum,
    Minimum,
    SampleCount,
    Sum,
    /// 0 to 100.
    Percentile(f64),
}

impl Statistic {
    /// Reads `Average`, ..., `p99`, `p99.9`; `None` for other words.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "Average" => Self::Average,
            "Maximum" => Self::Maximum,
            "Minimum" => Self::Minimum,
            "SampleCount" => Self::SampleCount,
            "Sum" => Self::Sum,
            _ => {
                let digits = word.strip_prefix('p')?;
                // Not what Rust reads beside it: signs, exponents, `inf`.
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                    return None;
                }
                Self::Percentile(digits.parse().ok().filter(|share| (0.0..=100.0).contains(share))?)
            }
        })
    }

    /// Its value over a summary. Percentiles need every single value: where some data came as
    /// summaries, there is none.
    pub fn of(self, summary: &Summary) -> Option<f64> {
        match self {
            Self::Average => Some(summary.sum / summary.count),
            Self::Maximum => Some(summary.maximum),
            Self::Minimum => Some(summary.minimum),
            Self::SampleCount => Some(summary.count),
            Self::Sum => Some(summary.sum),
            Self::Percentile(share) => percentile(summary.values.as_deref()?, share),
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(share) => write!(f, "p{share}"),
            named => write!(f, "{named:?}"),
        }
    }
}

/// What was observed in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// Value and count; `None` once something was added of which only the summary is known.
    pub values: Option<Vec<(f64, f64)>>,
}

impl Summary {
    pub fn of(datum: Datum) -> Self {
        Self {
            count: datum.count,
            sum: datum.sum,
            minimum: datum.minimum,
            maximum: datum.maximum,
            values: (!datum.values.is_empty()).then_some(datum.values),
        }
    }

    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.values = match (self.values.take(), other.values) {
            (Some(mut values), Some(more)) => {
                values.extend(more);
                Some(values)
            }
            _ => None,
        };
    }
}

/// The smallest value at or below which `share` percent of the observations lie (nearest rank:
/// always a value that was observed). `None` of nothing.
fn percentile(values: &[(f64, f64)], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|(_, count)| count).sum();
    let rank = total * share / 100.0;
    let mut below = 0.0;
    for (value, count) in &sorted {
        below += count;
        // A hair less than the rank is the rank: sums of counts are not exact.
        if below >= rank - total * 1e-12 {
            return Some(*value);
        }
    }
    sorted.last().map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statistics_by_name() {
        for word in ["Average", "Maximum", "Minimum", "SampleCount", "Sum", "p0", "p50", "p99.9", "p100"] {
            assert_eq!(Statistic::parse(word).unwrap().to_string(), word);
        }
        for word in
            ["", "p", "p101", "p-1", "p1e1", "pinf", "pNaN", "p1.2.3", "average", "tm99", "P50", "p+5"]
        {
            assert_eq!(Statistic::parse(word), None, "{word}");
        }
    }

    #[test]
    fn percentiles_of_one_to_a_hundred() {
        let values: Vec<(f64, f64)> = (1..=100).map(|value| (f64::from(value), 1.0)).collect();
        for (share, value) in
            [(0.0, 1.0), (1.0, 1.0), (50.0, 50.0), (50.1, 51.0), (99.0, 99.0), (100.0, 100.0)]
        {
            assert_eq!(percentile(&values, share), Some(value), "p{share}");
        }
        assert_eq!(percentile(&[(7.0, 3.0), (1.0, 97.0)], 97.0), Some(1.0));
        assert_eq!(percentile(&[(7.0, 3.0), (1.0, 97.0)], 97.5), Some(7.0));
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn a_summary_without_values_has_no_percentile() {
        let whole =
            Summary { count: 1.0, sum: 1.0, minimum: 1.0, maximum: 1.0, values: Some(vec![(1.0, 1.0)]) };
        let mut both = whole.clone();
        both.add(Summary { values: None, ..whole.clone() });
        assert_eq!(Statistic::Percentile(50.0).of(&whole), Some(1.0));
        assert_eq!(Statistic::Percentile(50.0).of(&both), None);
        assert_eq!(Statistic::Average.of(&both), Some(1.0));
    }

    proptest! {
        /// Against the definition, on the values written out one by one.
        #[test]
        fn percentile_is_the_nearest_rank(
            values in prop::collection::vec((-1e6..1e6f64, 1..5u32), 1..20),
            share in 0..=1000u32,
        ) {
            let share = f64::from(share) / 10.0;
            let mut all: Vec<f64> = Vec::new();
            for (value, count) in &values {
                all.extend(std::iter::repeat_n(*value, *count as usize));
            }
            all.sort_by(f64::total_cmp);
            let rank = ((all.len() as f64 * share / 100.0 - 1e-9).ceil() as usize).max(1);
            let weighted: Vec<(f64, f64)> = values.iter().map(|(value, n)| (*value, f64::from(*n))).collect();
            prop_assert_eq!(percentile(&weighted, share), Some(all[rank - 1]));
        }

        #[test]
        fn any_word_is_read_without_harm(word in "\\PC{0,8}") {
            if let Some(Statistic::Percentile(share)) = Statistic::parse(&word) {
                prop_assert!((0.0..=100.0).contains(&share));
            }
        }
    }
}
