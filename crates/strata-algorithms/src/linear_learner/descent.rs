//! First-order training: a gradient step a mini-batch, all models in one matrix product.

use super::learner::{Candidate, Learner, each_part, slopes};
use super::loss::Loss;
use super::rows::Block;
use super::settings::{Init, Optimizer, Schedule, Settings};

/// Columns (models times outputs) of one group: the unit of work of a thread, whatever the
/// number of threads.
const GROUP: usize = 8;

pub struct Descent {
    rule: Rule,
    threads: usize,
    outputs: usize,
    groups: Vec<Group>,
}

/// What all groups share.
#[derive(Clone, Debug)]
struct Rule {
    loss: Loss,
    stride: usize,
    outputs: usize,
    optimizer: Optimizer,
    beta_1: f64,
    beta_2: f64,
    momentum: f64,
    schedule: Option<Schedule>,
    bias_rate: f64,
    bias_decay: f64,
    use_bias: bool,
}

/// Some models; all matrices are feature by column, columns being model by output.
struct Group {
    candidates: Vec<Candidate>,
    weights: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    gradient: Vec<f64>,
    scores: Vec<f64>,
    steps: u64,
    loss_sums: Vec<f64>,
    mean_losses: Vec<f64>,
    total_weight: f64,
}

impl Descent {
    pub fn new(settings: &Settings, stride: usize, candidates: &[Candidate], threads: usize) -> Self {
        let outputs = settings.outputs;
        let rule = Rule {
            loss: settings.loss,
            stride,
            outputs,
            optimizer: settings.optimizer,
            beta_1: settings.beta_1,
            beta_2: settings.beta_2,
            momentum: settings.momentum,
            schedule: settings.schedule,
            bias_rate: settings.bias_rate,
            bias_decay: settings.bias_decay,
            use_bias: settings.use_bias,
        };
        // All models begin alike, so that what tells them apart is their settings.
        let mut random = Random(0);
        let mut start: Vec<f64> = (0..outputs * stride).map(|_| draw(&mut random, settings.init)).collect();
        let bias = if settings.use_bias { settings.init_bias } else { 0.0 };
        start.chunks_exact_mut(stride).for_each(|weights| weights[stride - 1] = bias);
        let groups = candidates.chunks((GROUP / outputs).max(1)).map(|candidates| {
            let columns = candidates.len() * outputs;
            let mut weights = vec![0.0; stride * columns];
            for column in 0..columns {
                for place in 0..stride {
                    weights[place * columns + column] = start[column % outputs * stride + place];
                }
            }
            Group {
                candidates: candidates.to_vec(),
                first: vec![0.0; weights.len()],
                second: vec![0.0; weights.len()],
                gradient: vec![0.0; weights.len()],
                weights,
                scores: vec![0.0; columns],
                steps: 0,
                loss_sums: vec![0.0; candidates.len()],
                mean_losses: vec![0.0; candidates.len()],
                total_weight: 0.0,
            }
        });
        Self { threads, outputs, groups: groups.collect(), rule }
    }
}

/// SplitMix64: a few lines that stay the same for ever, so that the same job gives the same bytes.
struct Random(u64);

impl Random {
    /// From 0 up to 1, without 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A first weight.
fn draw(random: &mut Random, init: Init) -> f64 {
    let mut uniform = || random.uniform();
    match init {
        Init::Uniform(scale) => (2.0 * uniform() - 1.0) * scale,
        Init::Normal(sigma) => {
            // Box-Muller; 1 - u is above 0.
            let (u, v) = (uniform(), uniform());
            sigma * (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        }
    }
}

impl Learner for Descent {
    fn update(&mut self, block: &Block) {
        let models: usize = self.groups.iter().map(|group| group.candidates.len()).sum();
        let operations = 2 * block.rows * block.stride * models * self.outputs;
        let rule = &self.rule;
        each_part(self.threads, &mut self.groups, operations, |group| group.update(rule, block));
    }

    fn end_pass(&mut self) -> bool {
        for group in &mut self.groups {
            let total = group.total_weight.max(f64::MIN_POSITIVE);
            group.total_weight = 0.0;
            for (mean, sum) in group.mean_losses.iter_mut().zip(&mut group.loss_sums) {
                *mean = std::mem::take(sum) / total;
            }
        }
        true
    }

    fn losses(&self) -> Vec<f64> {
        self.groups.iter().flat_map(|group| group.mean_losses.iter().copied()).collect()
    }

    fn weights(&self, model: usize) -> Vec<f64> {
        let share = (GROUP / self.outputs).max(1);
        let group = &self.groups[model / share];
        let columns = group.candidates.len() * self.outputs;
        let first = model % share * self.outputs;
        let of_column =
            |column: usize| (0..self.rule.stride).map(move |place| group.weights[place * columns + column]);
        (first..first + self.outputs).flat_map(of_column).collect()
    }
}

impl Group {
    fn update(&mut self, rule: &Rule, block: &Block) {
        let columns = self.scores.len();
        let total: f64 = block.weight.iter().sum();
        if total <= 0.0 {
            return;
        }
        self.gradient.fill(0.0);
        for row in 0..block.rows {
            let (x, y, weight) = (block.row(row), block.y[row], block.weight[row]);
            self.scores.fill(0.0);
            for (x, weights) in x.iter().zip(self.weights.chunks_exact(columns)) {
                self.scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += x * weight);
            }
            let models = self.scores.chunks_exact_mut(rule.outputs).zip(&mut self.loss_sums);
            for (scores, sum) in models {
                *sum += weight * slopes(rule.loss, scores, y);
            }
            if weight != 1.0 {
                self.scores.iter_mut().for_each(|slope| *slope *= weight);
            }
            for (x, gradient) in x.iter().zip(self.gradient.chunks_exact_mut(columns)) {
                gradient.iter_mut().zip(&self.scores).for_each(|(sum, slope)| *sum += x * slope);
            }
        }
        self.total_weight += total;
        self.step(rule, total);
    }

    fn step(&mut self, rule: &Rule, total: f64) {
        const TINY: f64 = 1e-8;
        self.steps += 1;
        let columns = self.scores.len();
        let slow = rule
            .schedule
            .map_or(1.0, |schedule| schedule.factor.powf(((self.steps - 1) / schedule.step) as f64));
        let minimum = rule.schedule.map_or(0.0, |schedule| schedule.minimum);
        let steps = self.steps as i32;
        let (warm_1, warm_2) = (1.0 - rule.beta_1.powi(steps), 1.0 - rule.beta_2.powi(steps));
        for place in 0..rule.stride {
            let is_bias = place + 1 == rule.stride;
            if is_bias && !rule.use_bias {
                continue;
            }
            for column in 0..columns {
                let candidate = self.candidates[column / rule.outputs];
                let at = place * columns + column;
                let weight = self.weights[at];
                let decay = if is_bias { candidate.wd * rule.bias_decay } else { candidate.wd };
                let l1 = if is_bias || weight == 0.0 { 0.0 } else { candidate.l1 * weight.signum() };
                let gradient = self.gradient[at] / total + decay * weight + l1;
                let rate = (candidate.learning_rate * slow).max(minimum.min(candidate.learning_rate));
                let rate = if is_bias { rate * rule.bias_rate } else { rate };
                let (first, second) = (&mut self.first[at], &mut self.second[at]);
                let step = match rule.optimizer {
                    Optimizer::Sgd => {
                        *first = rule.momentum * *first + gradient;
                        *first
                    }
                    Optimizer::AdaGrad => {
                        *second += gradient * gradient;
                        gradient / (second.sqrt() + TINY)
                    }
                    Optimizer::RmsProp => {
                        *second = 0.9 * *second + 0.1 * gradient * gradient;
                        gradient / (second.sqrt() + TINY)
                    }
                    Optimizer::Adam | Optimizer::Auto => {
                        *first = rule.beta_1 * *first + (1.0 - rule.beta_1) * gradient;
                        *second = rule.beta_2 * *second + (1.0 - rule.beta_2) * gradient * gradient;
                        (*first / warm_1) / ((*second / warm_2).sqrt() + TINY)
                    }
                };
                self.weights[at] = weight - rate * step;
            }
        }
    }
}
