//! Second-order training: one pass over the rows sums up slope and curvature of every model
//! (iteratively reweighted least squares), one small system a model gives the next weights.
//!
//! Squared loss is solved by the first pass; logistic and softmax losses need about six. An L1
//! penalty is solved by coordinate descent on the same sums (Friedman, Hastie, Tibshirani 2010).
//! A step that makes the objective worse is halved, so every kept pass is an improvement.

use super::learner::{Candidate, Learner, dot, each_part, slopes};
use super::loss::Loss;
use super::rows::Block;

/// A relative gain of the objective that is not worth another pass; weights are then right to
/// about the root of it.
const ENOUGH: f64 = 1e-11;

pub struct Newton {
    loss: Loss,
    outputs: usize,
    stride: usize,
    bias_decay: f64,
    threads: usize,
    fits: Vec<Fit>,
    /// The curvature of squared loss, which is the same for all models and all passes.
    shared: Vec<f64>,
    shared_is_known: bool,
    total_weight: f64,
}

/// One model.
struct Fit {
    candidate: Candidate,
    weights: Vec<f64>,
    /// The best weights so far and their objective.
    kept: Vec<f64>,
    objective: f64,
    halvings: u32,
    done: bool,
    loss_sum: f64,
    mean_loss: f64,
    slope: Vec<f64>,
    /// By output a square of which the lower half is filled.
    curvature: Vec<f64>,
}

impl Newton {
    pub fn new(
        loss: Loss,
        outputs: usize,
        stride: usize,
        candidates: &[Candidate],
        bias_decay: f64,
        threads: usize,
    ) -> Self {
        let own = if loss == Loss::Squared { 0 } else { outputs * stride * stride };
        let fits = candidates.iter().map(|candidate| Fit {
            candidate: *candidate,
            weights: vec![0.0; outputs * stride],
            kept: vec![0.0; outputs * stride],
            objective: f64::INFINITY,
            halvings: 0,
            done: false,
            loss_sum: 0.0,
            mean_loss: 0.0,
            slope: vec![0.0; outputs * stride],
            curvature: vec![0.0; own],
        });
        Self {
            loss,
            outputs,
            stride,
            bias_decay,
            threads,
            fits: fits.collect(),
            shared: vec![0.0; if loss == Loss::Squared { stride * stride } else { 0 }],
            shared_is_known: false,
            total_weight: 0.0,
        }
    }

    /// Begins from these weights rather than from zero.
    pub fn start_from(&mut self, weights: &[f64]) {
        self.fits.iter_mut().for_each(|fit| fit.weights.copy_from_slice(weights));
    }

    /// What the state takes in memory, and what a row costs, for the choice of a method.
    pub fn cost(stride: usize, outputs: usize, models: usize) -> (usize, usize) {
        let square = stride.saturating_mul(stride).saturating_mul(outputs).saturating_mul(models);
        (square.saturating_mul(8), square / 2)
    }

    /// The best weights that were measured.
    pub fn best(&self, model: usize) -> Vec<f64> {
        let fit = &self.fits[model];
        if fit.objective.is_finite() { fit.kept.clone() } else { fit.weights.clone() }
    }
}

impl Learner for Newton {
    fn update(&mut self, block: &Block) {
        if self.loss == Loss::Squared && !self.shared_is_known {
            add_squares(block, &block.weight, &mut self.shared);
        }
        self.total_weight += block.weight.iter().sum::<f64>();
        let (loss, outputs, stride) = (self.loss, self.outputs, self.stride);
        let (_, operations) = Self::cost(stride, outputs, self.fits.iter().filter(|fit| !fit.done).count());
        each_part(self.threads, &mut self.fits, operations * block.rows, |fit| {
            if !fit.done {
                fit.add(loss, outputs, stride, block);
            }
        });
    }

    fn end_pass(&mut self) -> bool {
        self.shared_is_known = true;
        let total = self.total_weight.max(f64::MIN_POSITIVE);
        self.total_weight = 0.0;
        let (stride, bias_decay, shared) = (self.stride, self.bias_decay, self.shared.as_slice());
        let operations = self.fits.len() * self.outputs * stride * stride * stride;
        each_part(self.threads, &mut self.fits, operations, |fit| {
            if !fit.done {
                fit.end_pass(total, stride, bias_decay, shared);
            }
        });
        self.fits.iter().any(|fit| !fit.done)
    }

    fn losses(&self) -> Vec<f64> {
        self.fits.iter().map(|fit| fit.mean_loss).collect()
    }

    fn weights(&self, model: usize) -> Vec<f64> {
        self.fits[model].weights.clone()
    }
}

impl Fit {
    fn add(&mut self, loss: Loss, outputs: usize, stride: usize, block: &Block) {
        let mut scores = vec![0.0; outputs];
        // Curvature by row, output after output, for `add_squares`.
        let mut bends = vec![0.0; if loss == Loss::Squared { 0 } else { outputs * block.rows }];
        for row in 0..block.rows {
            let (x, y, weight) = (block.row(row), block.y[row], block.weight[row]);
            for (score, weights) in scores.iter_mut().zip(self.weights.chunks_exact(stride)) {
                *score = dot(weights, x);
            }
            self.loss_sum += weight * slopes(loss, &mut scores, y);
            match loss {
                Loss::Logistic => {
                    let p = scores[0] + y;
                    bends[row] = weight * p * (1.0 - p);
                }
                Loss::Softmax => {
                    // The full curvature couples the classes. Two diagonals bound it: p, tight
                    // where no class leads, and 2p(1-p), tight where one does.
                    let class = y as usize;
                    let p = |(output, slope): (usize, &f64)| slope + f64::from(u8::from(output == class));
                    let led = scores.iter().enumerate().map(p).any(|p| p > 0.5);
                    for (output, p) in scores.iter().enumerate().map(p).enumerate() {
                        let bend = if led { 2.0 * p * (1.0 - p) } else { p };
                        bends[output * block.rows + row] = weight * bend;
                    }
                }
                _ => {}
            }
            for (slope, sums) in scores.iter().zip(self.slope.chunks_exact_mut(stride)) {
                let slope = slope * weight;
                sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += slope * x);
            }
        }
        let squares = self.curvature.chunks_exact_mut(stride * stride);
        for (bends, square) in bends.chunks_exact(block.rows).zip(squares) {
            add_squares(block, bends, square);
        }
    }

    fn end_pass(&mut self, total: f64, stride: usize, bias_decay: f64, shared: &[f64]) {
        self.mean_loss = self.loss_sum / total;
        let objective = self.mean_loss + self.penalty(stride, bias_decay);
        self.slope.iter_mut().for_each(|sum| *sum /= total);
        let better = objective < self.objective;
        if !better && self.objective.is_finite() {
            // Within rounding of the best: arrived. Else the step was too long.
            let close = (objective - self.objective).abs() <= ENOUGH * self.objective.abs();
            if close || self.halvings == 20 {
                self.weights.copy_from_slice(&self.kept);
                self.done = true;
            } else {
                self.halvings += 1;
                self.weights
                    .iter_mut()
                    .zip(&self.kept)
                    .for_each(|(weight, kept)| *weight = 0.5 * (*weight + kept));
            }
        } else {
            let gain = self.objective - objective;
            self.objective = objective;
            self.halvings = 0;
            self.kept.copy_from_slice(&self.weights);
            if gain <= ENOUGH * objective.abs() {
                self.done = true;
            } else {
                for (output, weights) in self.weights.chunks_exact_mut(stride).enumerate() {
                    let size = stride * stride;
                    let square =
                        if shared.is_empty() { &self.curvature[output * size..][..size] } else { shared };
                    let slope = &self.slope[output * stride..][..stride];
                    solve(square, total, slope, &self.candidate, bias_decay, weights);
                }
                if self.candidate.l1 == 0.0 && self.weights.len() > stride {
                    center(&mut self.weights, stride);
                }
            }
        }
        self.loss_sum = 0.0;
        self.slope.fill(0.0);
        self.curvature.fill(0.0);
    }

    fn penalty(&self, stride: usize, bias_decay: f64) -> f64 {
        let Candidate { l1, wd, .. } = self.candidate;
        let mut penalty = 0.0;
        for weights in self.weights.chunks_exact(stride) {
            let (bias, weights) = weights.split_last().unwrap_or((&0.0, &[]));
            penalty += 0.5 * wd * (dot(weights, weights) + bias_decay * bias * bias);
            penalty += l1 * weights.iter().map(|weight| weight.abs()).sum::<f64>();
        }
        penalty
    }
}

/// Adds `bend * x * x'` of every row to the lower half of `square`, four rows at a time.
fn add_squares(block: &Block, bends: &[f64], square: &mut [f64]) {
    let stride = block.stride;
    let mut row = 0;
    while row + 4 <= block.rows {
        let x = [block.row(row), block.row(row + 1), block.row(row + 2), block.row(row + 3)];
        for (place, line) in square.chunks_exact_mut(stride).enumerate() {
            let line = &mut line[..=place];
            let [a, b, c, d] = [0, 1, 2, 3].map(|lane| bends[row + lane] * x[lane][place]);
            let values = x[0].iter().zip(x[1]).zip(x[2]).zip(x[3]);
            for (sum, (((w, x), y), z)) in line.iter_mut().zip(values) {
                *sum += (a * w + b * x) + (c * y + d * z);
            }
        }
        row += 4;
    }
    for (bend, row) in bends[row..].iter().zip(row..) {
        let x = block.row(row);
        for (place, line) in square.chunks_exact_mut(stride).enumerate() {
            let factor = bend * x[place];
            line[..=place].iter_mut().zip(x).for_each(|(sum, x)| *sum += factor * x);
        }
    }
}

/// Moves `weights` to the lowest point of the local parabola plus penalties.
fn solve(
    square: &[f64],
    total: f64,
    slope: &[f64],
    candidate: &Candidate,
    bias_decay: f64,
    weights: &mut [f64],
) {
    let n = slope.len();
    let Candidate { l1, wd, .. } = *candidate;
    let decay = |place: usize| if place + 1 == n { wd * bias_decay } else { wd };
    let mut matrix: Vec<f64> = square.iter().map(|sum| sum / total).collect();
    let trace: f64 = (0..n).map(|place| matrix[place * n + place]).sum();
    // Keeps columns that repeat each other, or are constant, from dividing by zero.
    let floor = 1e-10 * (trace / n as f64).max(f64::MIN_POSITIVE.sqrt());
    if l1 == 0.0 {
        let mut step: Vec<f64> = slope
            .iter()
            .zip(weights.iter())
            .enumerate()
            .map(|(place, (slope, weight))| -slope - decay(place) * weight)
            .collect();
        (0..n).for_each(|place| matrix[place * n + place] += decay(place) + floor);
        if cholesky(&mut matrix, &mut step) {
            weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight += step);
            return;
        }
        // Rounding made the matrix indefinite; a diagonal step is always downhill.
        for place in 0..n {
            let bend = square[place * n + place] / total * n as f64 + decay(place) + floor;
            weights[place] -= (slope[place] + decay(place) * weights[place]) / bend;
        }
        return;
    }
    for place in 0..n {
        matrix[place * n + place] += floor;
        for other in place + 1..n {
            matrix[place * n + other] = matrix[other * n + place];
        }
    }
    // `gradient` follows the parabola's slope (without penalties) as weights move.
    let mut gradient = slope.to_vec();
    for _ in 0..1000 {
        let mut largest = 0.0f64;
        for place in 0..n {
            let line = &matrix[place * n..(place + 1) * n];
            let (old, bend) = (weights[place], line[place]);
            let l1 = if place + 1 == n { 0.0 } else { l1 };
            let target = bend * old - gradient[place];
            let new = (target.abs() - l1).max(0.0).copysign(target) / (bend + decay(place));
            let change = new - old;
            if change != 0.0 {
                weights[place] = new;
                gradient.iter_mut().zip(line).for_each(|(gradient, bend)| *gradient += bend * change);
                largest = largest.max(bend * change * change);
            }
        }
        if largest < 1e-14 {
            break;
        }
    }
}

/// Takes the mean over the classes from each weight: predictions stay as they are, and the sum
/// of squares is never so small elsewhere. Left alone this drift would wear off slowly.
fn center(weights: &mut [f64], stride: usize) {
    let classes = weights.len() / stride;
    for place in 0..stride {
        let mean = weights.iter().skip(place).step_by(stride).sum::<f64>() / classes as f64;
        weights.iter_mut().skip(place).step_by(stride).for_each(|weight| *weight -= mean);
    }
}

/// Solves `matrix * x = right` in place by the lower half; false where that is not positive.
fn cholesky(matrix: &mut [f64], right: &mut [f64]) -> bool {
    let n = right.len();
    for place in 0..n {
        let (above, line) = matrix.split_at_mut(place * n);
        let line = &mut line[..n];
        for column in 0..place {
            let other = &above[column * n..(column + 1) * n];
            line[column] = (line[column] - dot(&line[..column], &other[..column])) / other[column];
        }
        let rest = line[place] - dot(&line[..place], &line[..place]);
        if rest.is_nan() || rest <= 0.0 {
            return false;
        }
        line[place] = rest.sqrt();
        right[place] = (right[place] - dot(&line[..place], &right[..place])) / line[place];
    }
    for place in (0..n).rev() {
        right[place] /= matrix[place * n + place];
        let value = right[place];
        for (other, right) in right[..place].iter_mut().enumerate() {
            *right -= matrix[place * n + other] * value;
        }
    }
    right.iter().all(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_solves_a_known_system() {
        let mut matrix = vec![4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, 3.0, 6.0];
        let mut right = vec![4.0 + 4.0 + 3.0, 2.0 + 10.0 + 9.0, 1.0 + 6.0 + 18.0];
        assert!(cholesky(&mut matrix, &mut right));
        for (found, expected) in right.iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!(!cholesky(&mut [1.0, 0.0, 2.0, 1.0], &mut [1.0, 1.0]));
    }

    #[test]
    fn coordinate_descent_reaches_the_closed_form_of_one_feature() {
        // Orthogonal columns: each weight is its own soft threshold.
        let square = [2.0, 0.0, 0.0, 1.0];
        let candidate = Candidate { learning_rate: 0.0, l1: 0.5, wd: 1.0 };
        let mut weights = [0.0, 0.0];
        solve(&square, 1.0, &[-3.0, 0.25], &candidate, 0.0, &mut weights);
        assert!((weights[0] - (3.0 - 0.5) / (2.0 + 1.0)).abs() < 1e-9);
        // The last one is the bias: no penalty.
        assert!((weights[1] + 0.25).abs() < 1e-9);
    }
}
