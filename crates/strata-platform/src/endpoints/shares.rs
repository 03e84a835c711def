//! Which variant is next: shares that follow the weights as closely as whole requests can.
//!
//! Turn `n` falls on the point `n * golden ratio` of a circle whose arcs are the weights.
//! Those points are spread evenly after any number of turns, so 1,000 requests at 90/10
//! part 900 to 100, give or take two; a random choice would be off by ten and more.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// `2^64 / golden ratio`, odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

pub struct Shares {
    /// Where the arc of each variant ends; a weight of 0 has an empty arc.
    ends: Vec<u64>,
    /// The last variant with a weight, for the one point that no arc holds.
    last: usize,
    turn: AtomicU64,
}

impl Shares {
    /// `None` where no weight is above zero.
    pub fn new(weights: &[f64]) -> Option<Self> {
        let last = weights.iter().rposition(|weight| *weight > 0.0)?;
        let most = weights.iter().copied().fold(0.0, f64::max);
        let parts: Vec<f64> = weights.iter().map(|weight| (weight / most).clamp(0.0, 1.0)).collect();
        let total: f64 = parts.iter().sum();
        let mut sum = 0.0;
        let ends = parts.iter().map(|part| {
            sum += part;
            // The cast ends at u64::MAX.
            (sum / total * (u64::MAX as f64)) as u64
        });
        Some(Self { ends: ends.collect(), last, turn: AtomicU64::new(0) })
    }

    /// The index of the variant that gets the next request.
    pub fn next(&self) -> usize {
        let point = self.turn.fetch_add(1, Relaxed).wrapping_mul(STEP);
        self.ends.iter().position(|end| point < *end).unwrap_or(self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(weights: &[f64], turns: usize) -> Vec<usize> {
        let shares = Shares::new(weights).unwrap();
        let mut counts = vec![0; weights.len()];
        for _ in 0..turns {
            counts[shares.next()] += 1;
        }
        counts
    }

    #[test]
    fn ninety_to_ten() {
        let counts = counts(&[0.9, 0.1], 1000);
        assert!(counts[0].abs_diff(900) <= 2, "{counts:?}");
        assert!(Shares::new(&[0.0, 0.0]).is_none());
        assert!(Shares::new(&[]).is_none());
    }

    proptest! {
        #[test]
        fn shares_follow_any_weights(
            weights in prop::collection::vec(prop_oneof![Just(0.0), 0.001..1000.0, Just(1e300)], 1..10),
            turns in 1usize..5000,
        ) {
            let total: f64 = weights.iter().map(|weight| weight / 1e300).sum();
            prop_assume!(total > 0.0);
            let counts = counts(&weights, turns);
            let slack = 2.0 + 2.0 * (turns as f64).log2();
            for (count, weight) in counts.iter().zip(&weights) {
                let due = turns as f64 * (weight / 1e300 / total);
                prop_assert!((*count as f64 - due).abs() <= slack, "{count} is not {due}");
                prop_assert!(*weight > 0.0 || *count == 0);
            }
        }
    }
}
