//! A series cut into periods.

use std::collections::BTreeMap;

use strata_base::Timestamp;
use strata_base::metrics::{Metrics, Series};
use strata_wire::Fault;

use super::statistic::Summary;
use super::{combination, store};

const DAY_MS: i64 = 24 * 3_600_000;
/// How far back CloudWatch shows anything: 15 months.
const KEPT_MS: i64 = 455 * DAY_MS;
/// How far ahead data may lie, with a minute to spare.
const AHEAD_MS: i64 = 2 * 3_600_000 + 60_000;

/// A range of time in equal periods, all in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Periods {
    pub start: i64,
    /// Exclusive.
    pub end: i64,
    pub length: i64,
}

impl Periods {
    /// From times in seconds. The start moves down to the whole minute, or to the whole period
    /// where that is shorter; periods are counted from there, as CloudWatch does.
    pub fn new(start: f64, end: f64, length: i64) -> Result<Self, Fault> {
        let (start, end) = (Timestamp::from_seconds(start).0, Timestamp::from_seconds(end).0);
        if start >= end {
            return Err(combination("The parameter StartTime must be less than the parameter EndTime."));
        }
        let step = length.min(60_000);
        Ok(Self { start: start.div_euclid(step).saturating_mul(step), end, length })
    }

    /// How many there are, the last perhaps cut short.
    pub fn count(&self) -> i64 {
        let span = i128::from(self.end) - i128::from(self.start);
        i64::try_from((span + i128::from(self.length) - 1) / i128::from(self.length)).unwrap_or(i64::MAX)
    }

    /// The same periods, without those that cannot hold anything.
    fn bounded(self, now: Timestamp) -> Self {
        let earliest = now.0 - KEPT_MS;
        let mut start = self.start;
        if start < earliest {
            let skipped = (i128::from(earliest) - i128::from(start)) / i128::from(self.length);
            let moved = i128::from(start) + skipped * i128::from(self.length);
            start = i64::try_from(moved).unwrap_or(earliest);
        }
        Self { start, end: self.end.min(now.0 + AHEAD_MS), ..self }
    }

    /// The start of the period that holds a moment.
    fn of(&self, at: Timestamp) -> Timestamp {
        Timestamp(self.start + (at.0 - self.start).div_euclid(self.length) * self.length)
    }
}

/// What a series holds, by period and unit, in order of time. Without `with_values` the single
/// values, which only percentiles need, are dropped.
pub async fn summaries(
    metrics: &dyn Metrics,
    series: &Series,
    periods: Periods,
    with_values: bool,
) -> Result<BTreeMap<(Timestamp, String), Summary>, Fault> {
    let periods = periods.bounded(Timestamp::now());
    // A week a read, in whole periods: years of data do not come into memory at once.
    let stride = (7 * DAY_MS / periods.length).max(1) * periods.length;
    let mut found: BTreeMap<(Timestamp, String), Summary> = BTreeMap::new();
    let mut from = periods.start;
    while from < periods.end {
        let to = from.saturating_add(stride).min(periods.end);
        for mut datum in metrics.read(series, Timestamp(from), Timestamp(to)).await.map_err(store)? {
            let key = (periods.of(datum.at), std::mem::take(&mut datum.unit));
            let mut summary = Summary::of(datum);
            if !with_values {
                summary.values = None;
            }
            match found.get_mut(&key) {
                Some(known) => known.add(summary),
                None => {
                    found.insert(key, summary);
                }
            }
        }
        from = to;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_count_from_the_rounded_start() {
        let periods = Periods::new(754.9, 7200.0, 3_600_000).unwrap();
        assert_eq!((periods.start, periods.count()), (720_000, 2));
        assert_eq!(periods.of(Timestamp(720_000)), Timestamp(720_000));
        assert_eq!(periods.of(Timestamp(4_319_999)), Timestamp(720_000));
        assert_eq!(periods.of(Timestamp(4_320_000)), Timestamp(4_320_000));
        let fine = Periods::new(23.0, 60.0, 10_000).unwrap();
        assert_eq!((fine.start, fine.count()), (20_000, 4));
        assert!(Periods::new(60.0, 60.0, 60_000).is_err());
    }

    #[test]
    fn absurd_times_are_bounded() {
        let now = Timestamp(1_700_000_000_000);
        let all = Periods::new(-1e300, 1e300, 60_000).unwrap();
        assert!(all.count() > 1_000_000_000);
        let bounded = all.bounded(now);
        assert!(bounded.start > now.0 - KEPT_MS - 60_000 && bounded.start <= now.0 - KEPT_MS);
        assert_eq!(bounded.end, now.0 + AHEAD_MS);
        // The periods stay where they were.
        let some = Periods::new(30_000.0, 1.8e9, 7_200_000).unwrap();
        assert_eq!((some.bounded(now).start - some.start) % 7_200_000, 0);
        let future = Periods::new(1.8e12, 1.9e12, 60_000).unwrap().bounded(now);
        assert!(future.start >= future.end);
    }
}
