//! What an algorithm says of itself: names, hyperparameters, channels, metrics.
//! Validation, tuning ranges, CLI help and the reference page come from it.

use std::collections::BTreeMap;
use std::fmt;

/// The single source of an algorithm's contract.
#[derive(Debug)]
pub struct Card {
    /// Our name and AWS's image repository, e.g. `linear-learner`.
    pub name: &'static str,
    /// Further repository names that mean this algorithm, e.g. `sagemaker-xgboost`.
    pub images: &'static [&'static str],
    /// One sentence.
    pub summary: &'static str,
    pub hyperparameters: &'static [Hyperparameter],
    pub channels: &'static [ChannelCard],
    pub metrics: &'static [Metric],
}

impl Card {
    /// What is wrong with these hyperparameters, one sentence a problem; empty when all is well.
    pub fn problems(&self, given: &BTreeMap<String, String>) -> Vec<String> {
        let missing = self
            .hyperparameters
            .iter()
            .filter(|known| known.required && !given.contains_key(known.name))
            .map(|known| format!("Missing required hyperparameter: {} ({})", known.name, known.kind));
        let wrong = given.iter().filter_map(|(name, value)| match self.hyperparameter(name) {
            Some(known) => known.kind.problem(name, value),
            None => Some(self.unknown(name)),
        });
        missing.chain(wrong).collect()
    }

    pub fn hyperparameter(&self, name: &str) -> Option<&'static Hyperparameter> {
        self.hyperparameters.iter().find(|known| known.name == name)
    }

    fn unknown(&self, name: &str) -> String {
        let near = |known: &&Hyperparameter| distance(known.name, name);
        // one letter in three may be wrong
        let likely =
            self.hyperparameters.iter().min_by_key(near).filter(|known| near(known) * 3 <= name.len());
        match likely {
            Some(known) => {
                format!("Extraneous hyperparameter found: {name}; did you mean {}?", known.name)
            }
            None => format!("Extraneous hyperparameter found: {name}; {} has no such one", self.name),
        }
    }
}

#[derive(Debug)]
pub struct Hyperparameter {
    pub name: &'static str,
    pub required: bool,
    /// As the documentation gives it; `None` when absent means nothing is set.
    pub default: Option<&'static str>,
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
}

/// The values a hyperparameter takes, always given as text.
#[derive(Debug)]
pub enum Kind {
    Integer {
        min: i64,
        max: i64,
    },
    /// Bounds inclusive unless said otherwise.
    Float {
        min: f64,
        max: f64,
        min_open: bool,
        max_open: bool,
    },
    Choice(&'static [&'static str]),
    /// `true`/`false` (also `1`/`0`, `True`/`False`).
    Bool,
    Text,
    /// One of the words, else the inner kind: `auto` or a positive number.
    Or(&'static [&'static str], &'static Kind),
}

impl Kind {
    pub const fn integer(min: i64, max: i64) -> Self {
        Self::Integer { min, max }
    }

    /// Both bounds belong to the range; `f64::INFINITY` where there is none.
    pub const fn float(min: f64, max: f64) -> Self {
        Self::Float { min, max, min_open: false, max_open: false }
    }

    /// The sentence that says why `value` is none of these; `None` when it is one.
    pub fn problem(&self, name: &str, value: &str) -> Option<String> {
        let value = value.trim();
        if self.holds(value) {
            return None;
        }
        let shown: String = value.chars().take(80).collect();
        let cut = if shown.len() < value.len() { "..." } else { "" };
        let is_number = value.parse::<f64>().is_ok_and(|number| !number.is_nan());
        Some(match self {
            Self::Integer { .. } if value.parse::<i64>().is_err() => {
                format!("Value {shown}{cut} of hyperparameter {name} is not an integer; give an {self}")
            }
            Self::Float { .. } if !is_number => {
                format!("Value {shown}{cut} of hyperparameter {name} is not a number; give a {self}")
            }
            Self::Integer { .. } | Self::Float { .. } => {
                format!("Value {shown}{cut} of hyperparameter {name} is not in the range {}", Range(self))
            }
            Self::Choice(_) | Self::Bool | Self::Text | Self::Or(..) => {
                format!("Value {shown}{cut} of hyperparameter {name} is not {self}")
            }
        })
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Integer { min, max } => {
                value.parse::<i64>().is_ok_and(|number| (*min..=*max).contains(&number))
            }
            Self::Float { min, max, min_open, max_open } => value.parse::<f64>().is_ok_and(|number| {
                let above = if *min_open { number > *min } else { number >= *min };
                let below = if *max_open { number < *max } else { number <= *max };
                above && below && number.is_finite()
            }),
            Self::Choice(words) => words.contains(&value),
            Self::Bool => truth(value).is_some(),
            Self::Text => true,
            Self::Or(words, other) => words.contains(&value) || other.holds(value),
        }
    }
}

/// `true`, `True` and `1` are true; `false`, `False` and `0` are false.
pub fn truth(value: &str) -> Option<bool> {
    match value.trim() {
        "1" => Some(true),
        "0" => Some(false),
        word if word.eq_ignore_ascii_case("true") => Some(true),
        word if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// As a sentence goes on after "is" or "give a": `integer in the range [1, +inf)`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer { .. } => write!(f, "integer in the range {}", Range(self)),
            Self::Float { .. } => write!(f, "number in the range {}", Range(self)),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Bool => f.write_str("true or false"),
            Self::Text => f.write_str("text"),
            Self::Or(words, other) => write!(f, "{} or {other}", words.join(", ")),
        }
    }
}

/// The range of a number in mathematical brackets, as AWS prints it.
struct Range<'a>(&'a Kind);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Kind::Integer { min, max } => {
                match min {
                    i64::MIN => f.write_str("(-inf, ")?,
                    min => write!(f, "[{min}, ")?,
                }
                match max {
                    i64::MAX => f.write_str("+inf)"),
                    max => write!(f, "{max}]"),
                }
            }
            Kind::Float { min, max, min_open, max_open } => {
                if min == f64::NEG_INFINITY {
                    f.write_str("(-inf, ")?;
                } else {
                    write!(f, "{}{min:?}, ", if min_open { '(' } else { '[' })?;
                }
                if max == f64::INFINITY {
                    f.write_str("+inf)")
                } else {
                    write!(f, "{max:?}{}", if max_open { ')' } else { ']' })
                }
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
pub struct ChannelCard {
    pub name: &'static str,
    pub required: bool,
    pub content_types: &'static [&'static str],
}

#[derive(Debug)]
pub struct Metric {
    /// E.g. `validation:auc`.
    pub name: &'static str,
    pub maximize: bool,
    /// Finds the value in a log line; the first group is the number.
    pub regex: &'static str,
}

/// How many letters differ (Levenshtein), for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, letter) in a.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static CARD: Card = Card {
        name: "toy",
        images: &[],
        summary: "",
        hyperparameters: &[
            hyperparameter("num_round", true, Kind::integer(1, i64::MAX)),
            hyperparameter("eta", false, Kind::float(0.0, 1.0)),
            hyperparameter(
                "subsample",
                false,
                Kind::Float { min: 0.0, max: 1.0, min_open: true, max_open: false },
            ),
            hyperparameter("alpha", false, Kind::float(0.0, f64::INFINITY)),
            hyperparameter("booster", false, Kind::Choice(&["gbtree", "dart"])),
            hyperparameter("shuffle", false, Kind::Bool),
            hyperparameter("l1", false, Kind::Or(&["auto"], &Kind::float(0.0, f64::INFINITY))),
            hyperparameter("note", false, Kind::Text),
        ],
        channels: &[],
        metrics: &[],
    };

    const fn hyperparameter(name: &'static str, required: bool, kind: Kind) -> Hyperparameter {
        Hyperparameter { name, required, default: None, kind, help: "" }
    }

    fn problems(given: &[(&str, &str)]) -> String {
        let given = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        CARD.problems(&given).join("\n")
    }

    /// One value beside a valid rest.
    #[track_caller]
    fn check(name: &str, value: &str, expected: &str) {
        assert_eq!(problems(&[("num_round", "1"), (name, value)]), expected);
    }

    #[test]
    fn good_values_have_no_problem() {
        for (name, values) in [
            ("eta", "0 1 0.5 1e-3 .5"),
            ("subsample", "1 0.0001"),
            ("alpha", "0 1e300"),
            ("booster", "dart"),
            ("shuffle", "true False 1 0 TRUE"),
            ("l1", "auto 0 0.1"),
            ("note", "anything"),
        ] {
            values.split(' ').for_each(|value| check(name, value, ""));
        }
    }

    #[test]
    fn a_problem_names_value_hyperparameter_and_range() {
        check("eta", "2", "Value 2 of hyperparameter eta is not in the range [0.0, 1.0]");
        check("subsample", "0", "Value 0 of hyperparameter subsample is not in the range (0.0, 1.0]");
        check("alpha", "-1", "Value -1 of hyperparameter alpha is not in the range [0.0, +inf)");
        check("alpha", "inf", "Value inf of hyperparameter alpha is not in the range [0.0, +inf)");
        check(
            "eta",
            "fast",
            "Value fast of hyperparameter eta is not a number; give a number in the range [0.0, 1.0]",
        );
        check("booster", "tree", "Value tree of hyperparameter booster is not one of gbtree, dart");
        check("shuffle", "yes", "Value yes of hyperparameter shuffle is not true or false");
        check("l1", "-1", "Value -1 of hyperparameter l1 is not auto or number in the range [0.0, +inf)");
        assert_eq!(
            problems(&[("num_round", "1.5")]),
            "Value 1.5 of hyperparameter num_round is not an integer; give an integer in the range [1, +inf)"
        );
        assert_eq!(
            problems(&[("num_round", "0")]),
            "Value 0 of hyperparameter num_round is not in the range [1, +inf)"
        );
    }

    #[test]
    fn missing_and_unknown_ones_are_named() {
        assert_eq!(
            problems(&[]),
            "Missing required hyperparameter: num_round (integer in the range [1, +inf))"
        );
        check("boster", "dart", "Extraneous hyperparameter found: boster; did you mean booster?");
        check("temperature", "1", "Extraneous hyperparameter found: temperature; toy has no such one");
    }

    proptest! {
        #[test]
        fn any_value_has_a_verdict(name in "[a-z0-9_]{0,12}|eta|booster|l1|num_round", value in "\\PC{0,200}") {
            let sentence = problems(&[("num_round", "1"), (&name, &value)]);
            prop_assert!(sentence.len() < 400);
        }

        #[test]
        fn the_range_decides(value: f64) {
            let ok = problems(&[("num_round", "1"), ("eta", &value.to_string())]).is_empty();
            prop_assert_eq!(ok, (0.0..=1.0).contains(&value));
        }

        #[test]
        fn the_integer_range_decides(value: i64) {
            prop_assert_eq!(problems(&[("num_round", &value.to_string())]).is_empty(), value >= 1);
        }
    }
}
