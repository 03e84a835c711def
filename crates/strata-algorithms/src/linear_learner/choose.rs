//! Which of the models is best, and where a binary classifier draws the line.

use super::learner::{each_part, row_loss};
use super::loss::Loss;
use super::rows::{Part, Preparation, Rows};
use super::settings::{Criterion, Predictor, Settings};
use crate::TrainError;

/// What one model does on rows it was not trained on.
#[derive(Clone, Debug)]
pub struct Tally {
    pub weights: Vec<f64>,
    rows: f64,
    loss: f64,
    /// Differences of row losses to the first model: their sum and that of their squares.
    off: f64,
    off_square: f64,
    /// The largest loss of a row.
    worst: f64,
    pub scores: Option<Histogram>,
}

impl Tally {
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.rows.max(1.0)
    }

    /// Whether its losses are lower than the first model's by more than chance: two standard
    /// errors of the differences, row by row, and one more row that is as bad as any. Few
    /// validation rows seldom hold the rare row that an overconfident model gets very wrong;
    /// on some eighty of them the luckiest of 32 models had twice the loss of the first on
    /// rows never seen.
    fn beats_first(&self, first: &Tally, loss: Loss) -> bool {
        // A class held for certain, nearly, and wrong.
        let confident = if matches!(loss, Loss::Logistic | Loss::Softmax) { 2.0 } else { 0.0 };
        let worst = self.worst.max(first.worst).max(confident);
        let rows = self.rows.max(1.0);
        let mean = self.off / rows;
        let variance = (self.off_square / rows - mean * mean).max(0.0);
        self.off + worst < -2.0 * (variance * rows).sqrt()
    }
}

/// Runs all models over a part of the rows. `histogram` is how many of its first rows enter
/// the histograms of scores, of which only binary classifiers have use.
pub fn tally(
    models: Vec<Vec<f64>>,
    preparation: &Preparation,
    rows: &mut Rows,
    part: Part,
    settings: &Settings,
    threads: usize,
    histogram: usize,
) -> Result<Vec<Tally>, TrainError> {
    let binary = settings.predictor == Predictor::Binary && histogram > 0;
    let mut tallies: Vec<Tally> = models
        .into_iter()
        .map(|weights| Tally {
            weights,
            rows: 0.0,
            loss: 0.0,
            off: 0.0,
            off_square: 0.0,
            worst: 0.0,
            scores: binary.then(Histogram::new),
        })
        .collect();
    let Some(reference) = tallies.first().map(|tally| tally.weights.clone()) else {
        return Ok(tallies);
    };
    let mut before = 0;
    let mut scores = Vec::new();
    preparation.blocks(rows, part, 1024, |block| {
        let references: Vec<f64> = (0..block.rows)
            .map(|row| row_loss(settings.loss, &reference, block.row(row), block.y[row], &mut scores))
            .collect();
        let counted = histogram.saturating_sub(before).min(block.rows);
        let operations = block.rows * reference.len() * tallies.len();
        each_part(threads, &mut tallies, operations, |tally| {
            let mut scores = Vec::new();
            for (row, reference) in references.iter().enumerate() {
                let (x, y) = (block.row(row), block.y[row]);
                let loss = row_loss(settings.loss, &tally.weights, x, y, &mut scores);
                tally.rows += 1.0;
                tally.loss += loss;
                tally.worst = tally.worst.max(loss);
                let off = loss - reference;
                tally.off += off;
                tally.off_square += off * off;
                if let Some(histogram) = &mut tally.scores
                    && row < counted
                {
                    histogram.add(super::learner::dot(&tally.weights, x), y > 0.5);
                }
            }
        });
        before += block.rows;
    })?;
    Ok(tallies)
}

/// The best model's place, and for a binary classifier the score (before the link) from which
/// on rows are positive.
pub fn choose(tallies: &[Tally], settings: &Settings, first_is_usual: bool) -> (usize, Option<f64>) {
    let cuts: Vec<Option<Cut>> = tallies
        .iter()
        .map(|tally| tally.scores.as_ref().map(|scores| scores.best(settings.criterion, settings.f_beta)))
        .collect();
    // A figure such as accuracy takes few values on few rows: models whose figure is best but
    // for chance are told apart by their loss.
    let best = cuts.iter().flatten().map(|cut| cut.value).fold(f64::NEG_INFINITY, f64::max);
    let rows = tallies.first().map_or(1.0, |tally| tally.rows.max(1.0));
    // One right and one wrong row more than seen, so that a perfect figure keeps some doubt.
    let cautious = (best.clamp(0.0, 1.0) * rows + 1.0) / (rows + 2.0);
    let chance = 2.0 * (cautious * (1.0 - cautious) / rows).sqrt();
    let eligible = |place: &usize| match (settings.criterion, &cuts[*place]) {
        (Criterion::Loss, _) | (_, None) => true,
        (_, Some(cut)) => cut.value >= best - chance,
    };
    let lowest = (0..tallies.len())
        .filter(|place| tallies[*place].mean_loss().is_finite())
        .filter(eligible)
        .min_by(|a, b| tallies[*a].mean_loss().total_cmp(&tallies[*b].mean_loss()))
        .unwrap_or(0);
    let first_is_sound = first_is_usual && tallies.first().is_some_and(|tally| tally.mean_loss().is_finite());
    let keep_first =
        first_is_sound && eligible(&0) && !tallies[lowest].beats_first(&tallies[0], settings.loss);
    let chosen = if keep_first { 0 } else { lowest };
    (chosen, cuts.get(chosen).copied().flatten().map(|cut| cut.score))
}

/// Scores of negatives and positives, before the link, in equal steps; bounded whatever the
/// number of rows. 0 (a probability of one half) lies on an edge.
#[derive(Clone, Debug)]
pub struct Histogram {
    negatives: Vec<u64>,
    positives: Vec<u64>,
}

const STEPS: usize = 4096;
const REACH: f64 = 16.0;

/// A line between negatives and positives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Of the criterion.
    pub value: f64,
    pub score: f64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { negatives: vec![0; STEPS], positives: vec![0; STEPS] }
    }

    pub fn add(&mut self, score: f64, positive: bool) {
        // A score that is no number counts as the lowest.
        let step = ((score + REACH) * (STEPS as f64 / (2.0 * REACH))).clamp(0.0, STEPS as f64 - 1.0) as usize;
        let side = if positive { &mut self.positives } else { &mut self.negatives };
        side[step] += 1;
    }

    fn edge(step: usize) -> f64 {
        step as f64 * (2.0 * REACH / STEPS as f64) - REACH
    }

    pub fn best(&self, criterion: Criterion, f_beta: f64) -> Cut {
        let (positives, negatives) = (total(&self.positives), total(&self.negatives));
        let middle = STEPS / 2;
        let mut at_middle = 0.0;
        let mut best = (f64::NEG_INFINITY, middle);
        // Counts of those at or above the edge.
        let (mut hits, mut false_alarms) = (0.0, 0.0);
        for step in (0..STEPS).rev() {
            hits += self.positives[step] as f64;
            false_alarms += self.negatives[step] as f64;
            let value = value(criterion, f_beta, hits, false_alarms, positives, negatives);
            if step == middle {
                at_middle = value;
            }
            let nearer = step.abs_diff(middle) < best.1.abs_diff(middle);
            if value > best.0 || (value == best.0 && nearer) {
                best = (value, step);
            }
        }
        let stay = match criterion {
            Criterion::Loss => true,
            // The line moves only where it wins by more than chance.
            Criterion::Accuracy => {
                let rows = positives + negatives;
                (best.0 - at_middle) * rows <= 2.0 * ((1.0 - at_middle) * rows).max(0.0).sqrt()
            }
            _ => false,
        };
        if stay {
            return Cut { value: at_middle, score: 0.0 };
        }
        Cut { value: best.0, score: Self::edge(best.1) }
    }

    /// The area under the ROC curve; ties within a step count half.
    pub fn auc(&self) -> f64 {
        let (positives, negatives) = (total(&self.positives), total(&self.negatives));
        let (mut above, mut area) = (0.0, 0.0);
        for step in (0..STEPS).rev() {
            area += self.negatives[step] as f64 * (above + 0.5 * self.positives[step] as f64);
            above += self.positives[step] as f64;
        }
        if positives * negatives > 0.0 { area / (positives * negatives) } else { 0.5 }
    }
}

fn total(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}

fn value(
    criterion: Criterion,
    f_beta: f64,
    hits: f64,
    false_alarms: f64,
    positives: f64,
    negatives: f64,
) -> f64 {
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let (precision, recall) = (share(hits, hits + false_alarms), share(hits, positives));
    match criterion {
        Criterion::Accuracy | Criterion::Loss => {
            share(hits + negatives - false_alarms, positives + negatives)
        }
        Criterion::FBeta => f_score(precision, recall, f_beta),
        Criterion::PrecisionAtRecall(target) if recall >= target => precision,
        // Out of reach: the nearer, the better.
        Criterion::PrecisionAtRecall(target) => recall - target,
        Criterion::RecallAtPrecision(target) if precision >= target => recall,
        Criterion::RecallAtPrecision(target) => precision - target,
    }
}

pub fn f_score(precision: f64, recall: f64, beta: f64) -> f64 {
    let square = beta * beta;
    let below = square * precision + recall;
    if below > 0.0 { (1.0 + square) * precision * recall / below } else { 0.0 }
}

/// What a criterion is called in log lines.
pub fn criterion_name(settings: &Settings) -> &'static str {
    match (settings.loss, settings.predictor) {
        (Loss::Squared, _) => "mse_objective",
        _ => settings.loss.objective(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(negatives: &[f64], positives: &[f64]) -> Histogram {
        let mut histogram = Histogram::new();
        negatives.iter().for_each(|score| histogram.add(*score, false));
        positives.iter().for_each(|score| histogram.add(*score, true));
        histogram
    }

    #[test]
    fn the_area_counts_ordered_pairs() {
        assert_eq!(histogram(&[-1.0, -2.0], &[1.0, 2.0]).auc(), 1.0);
        assert_eq!(histogram(&[-1.0, 1.5], &[1.0, 2.0]).auc(), 0.75);
        assert_eq!(histogram(&[1.0], &[1.0]).auc(), 0.5);
        assert_eq!(histogram(&[], &[1.0]).auc(), 0.5);
    }

    #[test]
    fn the_line_is_drawn_by_the_criterion() {
        // Positives mostly score low: the line between is near -2, not 0.
        let negatives: Vec<f64> = (0..100).map(|number| -4.0 - f64::from(number) * 0.01).collect();
        let positives: Vec<f64> = (0..100).map(|number| -1.0 + f64::from(number) * 0.001).collect();
        let apart = histogram(&negatives, &positives);
        let cut = apart.best(Criterion::Accuracy, 1.0);
        assert_eq!(cut.value, 1.0);
        assert!(cut.score > -4.0 && cut.score <= -1.0, "{cut:?}");
        assert_eq!(apart.best(Criterion::FBeta, 1.0).value, 1.0);
        assert_eq!(apart.best(Criterion::Loss, 1.0).score, 0.0);
        // One row more or less is chance: the line stays.
        assert_eq!(histogram(&[-1.0, -0.5], &[-0.4, 1.0]).best(Criterion::Accuracy, 1.0).score, 0.0);
        let mixed = histogram(&[-1.0, 0.5, 1.5], &[0.0, 1.0, 2.0]);
        let cut = mixed.best(Criterion::PrecisionAtRecall(0.6), 1.0);
        assert!((cut.value - 2.0 / 3.0).abs() < 1e-12, "{cut:?}");
        let cut = mixed.best(Criterion::RecallAtPrecision(0.9), 1.0);
        assert!((cut.value - 1.0 / 3.0).abs() < 1e-12, "{cut:?}");
    }
}
