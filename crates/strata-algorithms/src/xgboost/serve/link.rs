//! Between the scale on which trees add up and the one users see, by objective.

use super::document::Objective;

/// How sums become answers. All arithmetic is in 32 bits, as in the library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    Identity,
    Logistic,
    Hinge,
    Exp,
    /// The place of the largest sum.
    ArgMax,
    Softmax,
}

impl Link {
    pub fn of(objective: &Objective) -> Result<Self, String> {
        Ok(match objective.name.as_str() {
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror"
            | "reg:quantileerror"
            | "rank:pairwise"
            | "rank:ndcg"
            | "rank:map"
            | "binary:logitraw" => Self::Identity,
            "reg:logistic" | "binary:logistic" => Self::Logistic,
            "binary:hinge" => Self::Hinge,
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => Self::Exp,
            "multi:softmax" => Self::ArgMax,
            "multi:softprob" => Self::Softmax,
            other => {
                return Err(format!("the objective {other} is not served: no rule for its answers is known"));
            }
        })
    }

    /// The base score, given on the users' scale, on the scale of the sums.
    pub fn margin(self, base: f32) -> Result<f32, String> {
        match self {
            Self::Identity | Self::ArgMax | Self::Softmax => Ok(base),
            // The answer is 0 or 1 and has no inverse; the library starts from the score itself.
            Self::Hinge => Ok(base),
            // Labels that are all alike leave 0 or 1, which the library moves inward so far.
            Self::Logistic if (0.0..=1.0).contains(&base) => {
                Ok(-(1.0 / base.clamp(1e-6, 1.0 - 1e-6) - 1.0).ln())
            }
            Self::Logistic => Err(format!("base_score {base} is not between 0 and 1")),
            Self::Exp if base > 0.0 => Ok(base.ln()),
            Self::Exp => Err(format!("base_score {base} is not above 0")),
        }
    }

    /// How many numbers answer one row.
    pub fn outputs(self, groups: usize) -> usize {
        if self == Self::ArgMax { 1 } else { groups }
    }

    /// Turns the sums of rows into answers in place; for [`Link::ArgMax`] the vector shrinks
    /// to one number a row.
    pub fn apply(self, sums: &mut Vec<f32>, groups: usize) {
        match self {
            Self::Identity => {}
            Self::Logistic => sums.iter_mut().for_each(|sum| *sum = sigmoid(*sum)),
            Self::Hinge => sums.iter_mut().for_each(|sum| *sum = f32::from(u8::from(*sum > 0.0))),
            Self::Exp => sums.iter_mut().for_each(|sum| *sum = sum.exp()),
            Self::Softmax => sums.chunks_exact_mut(groups).for_each(softmax),
            Self::ArgMax => {
                let best: Vec<f32> = sums.chunks_exact(groups).map(|row| arg_max(row) as f32).collect();
                *sums = best;
            }
        }
    }
}

/// The library's, with its guard against an overflowing exponential.
fn sigmoid(sum: f32) -> f32 {
    1.0 / ((-sum).min(88.7).exp() + 1.0 + 1e-16)
}

fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0f64;
    for value in row.iter_mut() {
        *value = (*value - largest).exp();
        total += f64::from(*value);
    }
    let total = total as f32;
    row.iter_mut().for_each(|value| *value /= total);
}

fn arg_max(row: &[f32]) -> usize {
    let mut best = 0;
    for (place, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = place;
        }
    }
    best
}
