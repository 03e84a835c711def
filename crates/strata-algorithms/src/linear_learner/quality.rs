//! How good the finished model is on a channel, in the figures AWS reports.

use super::choose::{Histogram, f_score};
use super::learner::{dot, row_loss};
use super::loss::Loss;
use super::report::Figure;
use super::rows::{Block, Part, Preparation, Rows};
use super::settings::{Predictor, Settings};
use crate::TrainError;

/// Measures `weights` (of scaled rows); `line` is the score from which on a row is positive.
pub fn measure(
    weights: &[f64],
    line: f64,
    preparation: &Preparation,
    rows: &mut Rows,
    settings: &Settings,
) -> Result<Vec<Figure>, TrainError> {
    let mut sums = Sums::new(settings);
    let label_scale = preparation.scaler.scale.first().copied().unwrap_or(1.0);
    preparation.blocks(rows, Part::All, 1024, |block| {
        sums.add(weights, line, label_scale, block, settings);
    })?;
    Ok(sums.figures(settings))
}

struct Sums {
    rows: f64,
    loss: f64,
    squared: f64,
    absolute: f64,
    scores: Histogram,
    /// By class: hits, how often it was said, how often it was so.
    hits: Vec<f64>,
    said: Vec<f64>,
    so: Vec<f64>,
    top: f64,
    gain: f64,
}

impl Sums {
    fn new(settings: &Settings) -> Self {
        let classes = match settings.predictor {
            Predictor::Regressor => 0,
            Predictor::Binary => 2,
            Predictor::Multiclass => settings.outputs,
        };
        Self {
            rows: 0.0,
            loss: 0.0,
            squared: 0.0,
            absolute: 0.0,
            scores: Histogram::new(),
            hits: vec![0.0; classes],
            said: vec![0.0; classes],
            so: vec![0.0; classes],
            top: 0.0,
            gain: 0.0,
        }
    }

    fn add(&mut self, weights: &[f64], line: f64, label_scale: f64, block: &Block, settings: &Settings) {
        let mut scores = Vec::new();
        for row in 0..block.rows {
            let (x, y) = (block.row(row), block.y[row]);
            self.rows += 1.0;
            self.loss += row_loss(settings.loss, weights, x, y, &mut scores);
            match settings.predictor {
                Predictor::Regressor => {
                    let error = (dot(weights, x) - y) * label_scale;
                    self.squared += error * error;
                    self.absolute += error.abs();
                }
                Predictor::Binary => {
                    let score = dot(weights, x);
                    self.scores.add(score, y > 0.5);
                    self.class(usize::from(score >= line), y as usize);
                }
                Predictor::Multiclass => {
                    let scores: Vec<f64> =
                        weights.chunks_exact(x.len()).map(|weights| dot(weights, x)).collect();
                    let class = y as usize;
                    let own = scores.get(class).copied().unwrap_or(0.0);
                    // Where classes tie, the first wins.
                    let wins =
                        |(other, score): (usize, &f64)| *score > own || (*score == own && other < class);
                    let rank = scores.iter().enumerate().filter(|pair| wins(*pair)).count();
                    self.top += f64::from(u8::from(rank < settings.top_k));
                    self.gain += 1.0 / (rank as f64 + 2.0).log2();
                    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let said = scores.iter().position(|score| *score == largest).unwrap_or(0);
                    self.class(said, class);
                }
            }
        }
    }

    fn class(&mut self, said: usize, so: usize) {
        if let (Some(said_count), Some(so_count)) = (self.said.get_mut(said), self.so.get_mut(so)) {
            *said_count += 1.0;
            *so_count += 1.0;
            if said == so {
                self.hits[so] += 1.0;
            }
        }
    }

    fn figures(&self, settings: &Settings) -> Vec<Figure> {
        let rows = self.rows.max(1.0);
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let objective = settings.loss.objective();
        let beta = format!("{:.3}", settings.f_beta);
        match settings.predictor {
            Predictor::Regressor => {
                let mse = self.squared / rows;
                let loss = if settings.loss == Loss::Squared { mse } else { self.loss / rows };
                vec![
                    Figure::loss(objective, loss),
                    Figure::loss("mse", mse),
                    Figure::loss("rmse", mse.sqrt()),
                    Figure::loss("absolute_loss", self.absolute / rows),
                ]
            }
            Predictor::Binary => {
                let (precision, recall) =
                    (share(self.hits[1], self.said[1]), share(self.hits[1], self.so[1]));
                let accuracy = (self.hits[0] + self.hits[1]) / rows;
                vec![
                    Figure::loss(objective, self.loss / rows),
                    Figure::score("binary_classification_accuracy", accuracy),
                    Figure::score(format!("binary_f_{beta}"), f_score(precision, recall, settings.f_beta)),
                    Figure::score("precision", precision),
                    Figure::score("recall", recall),
                    Figure::score("roc_auc_score", self.scores.auc()),
                ]
            }
            Predictor::Multiclass => {
                // Classes that this channel does not have say nothing about the model.
                let present: Vec<usize> = (0..self.so.len()).filter(|class| self.so[*class] > 0.0).collect();
                let mean = |figure: &dyn Fn(usize) -> f64| {
                    present.iter().map(|class| figure(*class)).sum::<f64>() / present.len().max(1) as f64
                };
                let precision = |class: usize| share(self.hits[class], self.said[class]);
                let recall = |class: usize| share(self.hits[class], self.so[class]);
                let f = |class: usize| f_score(precision(class), recall(class), settings.f_beta);
                vec![
                    Figure::loss(objective, self.loss / rows),
                    Figure::score("multiclass_accuracy", self.hits.iter().sum::<f64>() / rows),
                    Figure::score(format!("multiclass_top_k_accuracy_{}", settings.top_k), self.top / rows),
                    Figure::score("dcg", self.gain / rows),
                    Figure::score("macro_recall", mean(&recall)),
                    Figure::score("macro_precision", mean(&precision)),
                    Figure::score(format!("macro_f_{beta}"), mean(&f)),
                    Figure::score("multiclass_balanced_accuracy", mean(&recall)),
                ]
            }
        }
    }
}
