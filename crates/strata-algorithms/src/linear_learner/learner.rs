//! What streaming learners share: the trait, threads over models, and the inner loops.

use super::loss::{Loss, softmax};
use super::rows::Block;

/// One model of the many trained side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub learning_rate: f64,
    pub l1: f64,
    pub wd: f64,
}

/// Learns from blocks of rows with a state that does not grow with them. Threads divide the
/// models, never the rows, so the result has the same bytes for any number of threads.
pub trait Learner {
    fn update(&mut self, block: &Block);

    /// Ends a pass over the data; whether another one may help.
    fn end_pass(&mut self) -> bool;

    /// Mean loss of each model over the pass that ended last, as the pass went along.
    fn losses(&self) -> Vec<f64>;

    /// Weights of a model, output after output: those of the features, then the bias.
    fn weights(&self, model: usize) -> Vec<f64>;
}

/// Calls `work` for each part, on `threads` threads where it is worth starting them.
pub fn each_part<T: Send>(threads: usize, parts: &mut [T], operations: usize, work: impl Fn(&mut T) + Sync) {
    /// Starting a thread costs some ten microseconds.
    const WORTH: usize = 1_000_000;
    let threads = threads.clamp(1, parts.len().max(1));
    if threads == 1 || operations < WORTH {
        parts.iter_mut().for_each(work);
        return;
    }
    let share = parts.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let work = &work;
        for part in parts.chunks_mut(share) {
            scope.spawn(move || part.iter_mut().for_each(work));
        }
    });
}

/// The sum of products, in four interleaved sums that the processor adds side by side.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_fours, a_rest) = a.as_chunks::<4>();
    let (b_fours, b_rest) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (a, b) in a_fours.iter().zip(b_fours) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// Losses and slopes of one row's scores in place: `scores` become slopes by the score.
#[inline]
pub fn slopes(loss: Loss, scores: &mut [f64], label: f64) -> f64 {
    if loss == Loss::Softmax {
        let class = label as usize;
        let value = softmax(scores, class);
        if let Some(own) = scores.get_mut(class) {
            *own -= 1.0;
        }
        return value;
    }
    match scores {
        [score] => {
            let (value, slope) = loss.at(*score, label);
            *score = slope;
            value
        }
        _ => 0.0,
    }
}

/// The loss of one row by `weights` (output after output).
#[inline]
pub fn row_loss(loss: Loss, weights: &[f64], row: &[f64], label: f64, scores: &mut Vec<f64>) -> f64 {
    scores.clear();
    scores.extend(weights.chunks_exact(row.len()).map(|weights| dot(weights, row)));
    slopes(loss, scores, label)
}
