//! Linear Learner: linear regression and classification. Many models, which differ in
//! regularisation and learning rate, are trained in the same passes over the data, and the best
//! one on rows not trained on is kept.
//!
//! The rows are streamed, so memory does not grow with them. With `optimizer=auto` and a smooth
//! loss the passes are second-order ([`newton`]): they need no learning rate and reach the best
//! weights in a handful of passes, on small data too. Everything else takes gradient steps
//! ([`descent`]).

mod card;
mod choose;
mod descent;
mod learner;
mod loss;
mod model;
mod newton;
mod quality;
mod report;
mod rows;
mod settings;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use strata_base::predictor::Scorer;

use crate::{Algorithm, Card, Job, TrainError};
use choose::{Tally, choose, criterion_name, tally};
use descent::Descent;
use learner::{Candidate, Learner};
use loss::{Loss, sigmoid};
use model::{Chosen, Link, Model, Output, PredictorType};
use newton::Newton;
use report::{Figure, Report};
use rows::{Part, Preparation, Rows, Scaler};
use settings::{Optimizer, PositiveWeight, Predictor, Settings};

pub struct LinearLearner;

impl Algorithm for LinearLearner {
    fn card(&self) -> &'static Card {
        &card::CARD
    }

    fn problems(&self, given: &BTreeMap<String, String>) -> Vec<String> {
        Settings::of(given).err().unwrap_or_default()
    }

    fn train(&self, job: &Job) -> Result<(), TrainError> {
        // A reader that went away is no reason to stop training.
        train(job, &mut |line| drop(writeln!(std::io::stdout(), "{line}")))
    }

    fn load(&self, model: &Path) -> Result<Box<dyn Scorer>, String> {
        Ok(Box::new(Model::load(model)?))
    }
}

/// Trains and saves; `print` gets the log lines.
fn train(job: &Job, print: &mut dyn FnMut(&str)) -> Result<(), TrainError> {
    let settings =
        Settings::of(&job.hyperparameters).map_err(|problems| TrainError::Client(problems.join("; ")))?;
    let mut report = Report::new(&job.host, print);
    let mut data = Data::read(job, &settings)?;
    let method = Method::choose(&settings, &data.train);
    report.info(&method.sentence(&settings));
    let Some(winner) = fit(job, &settings, &mut data, &method, &mut report)? else {
        report.info("Stopped before the first pass over the data had ended; there is no model to keep");
        return Ok(());
    };
    let chosen = serde_json::json!({
        "optimizer": method.name(&settings),
        "learning_rate": method.steps().then_some(winner.candidate.learning_rate),
        "l1": winner.candidate.l1,
        "wd": winner.candidate.wd,
    });
    report.info(&format!("Best model found for hyperparameters: {chosen}"));
    for (name, rows) in [("validation", &mut data.validation), ("test", &mut data.test)] {
        if let Some(rows) = rows {
            let figures = quality::measure(&winner.weights, winner.line, &data.preparation, rows, &settings)?;
            report.finished(name, &figures);
        } else if name == "test" {
            report.info("Test data is not provided.");
        }
    }
    let model = finish(&winner, &settings, &method, &data.preparation.scaler)?;
    model
        .save(&job.model)
        .map_err(|error| TrainError::Internal(format!("could not write the model: {error}")))
}

/// The channels, checked, and how their rows are scaled.
struct Data {
    train: Rows,
    validation: Option<Rows>,
    test: Option<Rows>,
    preparation: Preparation,
}

impl Data {
    fn read(job: &Job, settings: &Settings) -> Result<Self, TrainError> {
        let folder: PathBuf = if job.output.is_dir() { job.output.clone() } else { std::env::temp_dir() };
        let threads = job.threads.max(1);
        let mut train = Rows::read(job.channel("train")?, settings, settings.features, threads, &folder)?;
        let width = Some(train.width);
        let other = |name: &str| {
            job.channels
                .get(name)
                .map(|channel| Rows::read(channel, settings, width, threads, &folder))
                .transpose()
        };
        let (validation, test) = (other("validation")?, other("test")?);
        let scaler = Scaler::of(&mut train, settings)?;
        let class_weights = class_weights(settings, &train.class_counts);
        let preparation = Preparation { scaler, use_bias: settings.use_bias, class_weights };
        Ok(Self { train, validation, test, preparation })
    }
}

fn class_weights(settings: &Settings, counts: &[u64]) -> Vec<f64> {
    match (settings.predictor, counts) {
        (Predictor::Binary, [negatives, positives]) => match settings.positive_weight {
            PositiveWeight::Given(1.0) => Vec::new(),
            PositiveWeight::Given(weight) => vec![1.0, weight],
            PositiveWeight::Balanced if *positives > 0 => vec![1.0, *negatives as f64 / *positives as f64],
            PositiveWeight::Balanced => Vec::new(),
        },
        (Predictor::Multiclass, counts) if settings.balance_classes => {
            let rows = counts.iter().sum::<u64>() as f64;
            counts.iter().map(|count| rows / (counts.len() as f64 * (*count).max(1) as f64)).collect()
        }
        _ => Vec::new(),
    }
}

/// How training goes about it, and with which models.
enum Method {
    /// Full passes with curvature.
    Passes(Vec<Candidate>),
    /// A step a mini-batch.
    Steps(Vec<Candidate>),
}

impl Method {
    fn choose(settings: &Settings, train: &Rows) -> Self {
        /// Multiplications that a job may spend on curvature, and the same for all of the
        /// models that nobody asked for.
        const MOST: usize = 1_000_000_000_000;
        const MOST_UNASKED: usize = 200_000_000_000;
        const MEMORY: usize = 256 << 20;
        let (rows, stride) = (train.count, train.width + 1);
        let models = settings.models.unwrap_or(32);
        let wants_passes = settings.optimizer == Optimizer::Auto
            && !settings.wants_steps
            && settings.loss.is_smooth()
            && (settings.epochs >= 5 || settings.loss == Loss::Squared);
        let affordable = |models: usize, most: usize| {
            let (memory, per_row) = Newton::cost(stride, settings.outputs, models);
            let passes = if settings.loss == Loss::Squared { 1 } else { 7 * models };
            let operations = (per_row / models.max(1)).saturating_mul(rows).saturating_mul(passes);
            memory <= MEMORY && operations <= most
        };
        if wants_passes {
            let fewer = [models, models / 2, models / 4, models / 8];
            let tried: &[usize] = if settings.models.is_some() { &fewer[..1] } else { &fewer };
            for (place, models) in tried.iter().enumerate() {
                let last = place + 1 == tried.len();
                if *models > 0 && affordable(*models, if last { MOST } else { MOST_UNASKED }) {
                    return Self::Passes(candidates(settings, rows, &[0.0], *models));
                }
            }
        }
        let rates: &[f64] = match (settings.learning_rate, settings.optimizer) {
            (Some(rate), _) => &[rate],
            (None, Optimizer::Sgd) => &[0.01, 0.1, 0.001, 0.03],
            (None, Optimizer::AdaGrad) => &[0.1, 0.3, 0.03, 0.01],
            (None, _) => &[0.01, 0.1, 0.03, 0.003],
        };
        Self::Steps(candidates(settings, rows, rates, models))
    }

    fn candidates(&self) -> &[Candidate] {
        match self {
            Self::Passes(candidates) | Self::Steps(candidates) => candidates,
        }
    }

    fn steps(&self) -> bool {
        matches!(self, Self::Steps(_))
    }

    fn name(&self, settings: &Settings) -> &'static str {
        match (self, settings.optimizer) {
            (Self::Passes(_), _) => "auto",
            (Self::Steps(_), Optimizer::Auto) => "adam",
            (Self::Steps(_), optimizer) => optimizer.name(),
        }
    }

    fn sentence(&self, settings: &Settings) -> String {
        let models = self.candidates().len();
        match self {
            Self::Passes(_) => format!(
                "Training {models} models by second-order passes (optimizer auto); mini_batch_size only sizes reads"
            ),
            Self::Steps(_) => {
                format!(
                    "Training {models} models by {}, mini_batch_size {}",
                    self.name(settings),
                    settings.batch
                )
            }
        }
    }
}

/// The first `models` settings, the most usual first. Regularisation is in units of one row:
/// `wd` times rows is 1 / C of scikit-learn's LogisticRegression and alpha of its Ridge.
fn candidates(settings: &Settings, rows: usize, rates: &[f64], models: usize) -> Vec<Candidate> {
    let unit = 1.0 / rows.max(1) as f64;
    let given = |value: Option<f64>, auto: &[f64]| match value {
        Some(value) => vec![value],
        None => auto.iter().map(|multiple| multiple * unit).collect(),
    };
    let wds = given(settings.wd, &[1.0, 0.1, 10.0, 0.01, 100.0, 0.3, 3.0, 30.0]);
    let l1s = given(settings.l1, &[0.0, 1.0, 0.1, 10.0]);
    let mut ranked: Vec<(usize, Candidate)> = Vec::new();
    for (l1_rank, l1) in l1s.iter().enumerate() {
        for (wd_rank, wd) in wds.iter().enumerate() {
            for (rate_rank, rate) in rates.iter().enumerate() {
                let candidate = Candidate { learning_rate: *rate, l1: *l1, wd: *wd };
                // Learning rates matter most, an L1 penalty least.
                ranked.push((3 * l1_rank + 2 * wd_rank + rate_rank, candidate));
            }
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, candidate)| candidate).take(models.max(1)).collect()
}

/// The model that is kept, in terms of scaled rows.
struct Winner {
    weights: Vec<f64>,
    candidate: Candidate,
    /// The score before the link from which on a row is positive.
    line: f64,
}

/// The weights of a model at its best pass.
struct Kept {
    loss: f64,
    weights: Vec<f64>,
}

/// Trains all models and chooses; `None` when it was stopped before there was anything to keep.
fn fit(
    job: &Job,
    settings: &Settings,
    data: &mut Data,
    method: &Method,
    report: &mut Report<'_>,
) -> Result<Option<Winner>, TrainError> {
    let threads = job.threads.max(1);
    let candidates = method.candidates();
    let stride = data.train.width + 1;
    let mut learner: Box<dyn Learner> = match method {
        Method::Passes(candidates) => Box::new(Newton::new(
            settings.loss,
            settings.outputs,
            stride,
            candidates,
            settings.bias_decay,
            threads,
        )),
        Method::Steps(candidates) => Box::new(Descent::new(settings, stride, candidates, threads)),
    };
    // Exact passes fit the training rows so well that their loss cannot tell which model is
    // better; without a validation channel every tenth row is held back for that.
    let holds_back =
        !method.steps() && data.validation.is_none() && candidates.len() > 1 && data.train.count >= 20;
    let part = if holds_back { Part::NotHeld } else { Part::All };
    let batch = if method.steps() { settings.batch } else { settings.batch.clamp(256, 1024) };
    let label_scale = data.preparation.scaler.scale.first().copied().unwrap_or(1.0);
    let shown = |mean: f64| {
        let square = if settings.loss == Loss::Squared { label_scale * label_scale } else { 1.0 };
        settings.loss.reported(mean) * square
    };
    let objective = settings.loss.objective();
    let mut kept: Vec<Option<Kept>> = candidates.iter().map(|_| None).collect();
    let (mut best, mut stale) = (f64::INFINITY, 0);
    for epoch in 0..settings.epochs {
        let start = Instant::now();
        data.preparation.blocks(&mut data.train, part, batch, |block| {
            if !job.stopping() {
                learner.update(block);
            }
        })?;
        if job.stopping() {
            report.info("Stopping as asked; the best model so far is kept.");
            break;
        }
        let more = learner.end_pass();
        let train_losses = learner.losses();
        report.epoch(epoch, "train", &Figure::loss(objective, shown(lowest(&train_losses))));
        let weights: Vec<Vec<f64>> = (0..candidates.len()).map(|model| learner.weights(model)).collect();
        let preparation = &data.preparation;
        let losses = match (&mut data.validation, holds_back) {
            (Some(rows), _) => {
                let tallies = tally(weights, preparation, rows, Part::All, settings, threads, 0)?;
                let losses: Vec<f64> = tallies.iter().map(Tally::mean_loss).collect();
                report.epoch(epoch, "validation", &Figure::loss(objective, shown(lowest(&losses))));
                keep(method, &mut kept, tallies.into_iter().map(|tally| tally.weights), &losses);
                losses
            }
            (None, true) => {
                let rows = &mut data.train;
                let tallies = tally(weights, preparation, rows, Part::Held, settings, threads, 0)?;
                let losses: Vec<f64> = tallies.iter().map(Tally::mean_loss).collect();
                keep(method, &mut kept, tallies.into_iter().map(|tally| tally.weights), &losses);
                losses
            }
            (None, false) => {
                keep(method, &mut kept, weights.into_iter(), &train_losses);
                train_losses
            }
        };
        let loss = lowest(&losses);
        report.stopping_criterion(epoch, criterion_name(settings), shown(loss));
        let improved = best - loss > settings.tolerance * best.abs();
        if improved || !best.is_finite() {
            (best, stale) = (loss, 0);
            report.info(&format!("Epoch {epoch}: Loss improved. Updating best model"));
        } else {
            stale += 1;
        }
        report.progress(epoch + 1, settings.epochs);
        report.throughput(data.train.count, start.elapsed().as_secs_f64());
        // Passes end by themselves; cut short they leave weights that are nobody's optimum.
        let patient = stale < settings.patience || (!method.steps() && !settings.wants_early_stop);
        if !more || !patient {
            let why = if more { "no improvement" } else { "all models have converged" };
            report.info(&format!("Early stop after epoch {epoch}: {why}"));
            break;
        }
    }
    let Some(models) = kept.into_iter().map(|kept| kept.map(|kept| kept.weights)).collect::<Option<Vec<_>>>()
    else {
        return Ok(None);
    };
    let calibration = settings.calibration_rows.unwrap_or(usize::MAX);
    let (rows, part) = match &mut data.validation {
        Some(rows) => (rows, Part::All),
        None => (&mut data.train, if holds_back { Part::Held } else { Part::All }),
    };
    let tallies = tally(models, &data.preparation, rows, part, settings, threads, calibration)?;
    if tallies.iter().all(|tally| !tally.mean_loss().is_finite()) {
        return Err(TrainError::Algorithm(
            "the loss of every model has become infinite; lower learning_rate, or leave it at auto".into(),
        ));
    }
    let (chosen, line) = choose(&tallies, settings, !method.steps());
    let candidate = candidates[chosen];
    let mut weights = tallies[chosen].weights.clone();
    if holds_back && !job.stopping() {
        weights = refit(job, settings, data, candidate, weights)?;
    }
    Ok(Some(Winner { weights, candidate, line: line.unwrap_or(0.0) }))
}

fn lowest(losses: &[f64]) -> f64 {
    losses.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Keeps weights that are better than before. Of gradient steps those of the best pass are; of
/// second-order passes, which come nearer to the optimum with each, the last sound ones.
fn keep(method: &Method, kept: &mut [Option<Kept>], weights: impl Iterator<Item = Vec<f64>>, losses: &[f64]) {
    for ((kept, weights), loss) in kept.iter_mut().zip(weights).zip(losses) {
        let later = !method.steps() && loss.is_finite();
        if later || kept.as_ref().is_none_or(|kept| *loss < kept.loss || kept.loss.is_nan()) {
            *kept = Some(Kept { loss: *loss, weights });
        }
    }
}

/// Goes on with the chosen model on all rows, those that were held back too.
fn refit(
    job: &Job,
    settings: &Settings,
    data: &mut Data,
    candidate: Candidate,
    weights: Vec<f64>,
) -> Result<Vec<f64>, TrainError> {
    let stride = data.train.width + 1;
    let threads = job.threads.max(1);
    let mut newton =
        Newton::new(settings.loss, settings.outputs, stride, &[candidate], settings.bias_decay, threads);
    newton.start_from(&weights);
    for _ in 0..settings.epochs.max(3) {
        data.preparation.blocks(&mut data.train, Part::All, 1024, |block| {
            if !job.stopping() {
                newton.update(block);
            }
        })?;
        if job.stopping() || !newton.end_pass() {
            break;
        }
    }
    Ok(newton.best(0))
}

/// Undoes the scaling, so that the model takes raw rows.
fn finish(
    winner: &Winner,
    settings: &Settings,
    method: &Method,
    scaler: &Scaler,
) -> Result<Model, TrainError> {
    let stride = scaler.shift.len();
    let (label_shift, label_scale) = (scaler.shift[0], scaler.scale[0]);
    let outputs: Vec<Output> = winner
        .weights
        .chunks_exact(stride)
        .map(|scaled| {
            let (bias, scaled) = scaled.split_last().unwrap_or((&0.0, &[]));
            let weights: Vec<f64> = scaled
                .iter()
                .zip(&scaler.scale[1..])
                .map(|(weight, scale)| weight / scale * label_scale)
                .collect();
            let shifted: f64 =
                weights.iter().zip(&scaler.shift[1..]).map(|(weight, shift)| weight * shift).sum();
            Output { bias: bias * label_scale + label_shift - shifted, weights }
        })
        .collect();
    let (predictor_type, link, threshold) = match settings.predictor {
        Predictor::Regressor => (PredictorType::Regressor, Link::Identity, None),
        Predictor::Binary if settings.loss == Loss::Logistic => {
            (PredictorType::BinaryClassifier, Link::Logistic, Some(sigmoid(winner.line)))
        }
        Predictor::Binary => (PredictorType::BinaryClassifier, Link::Margin, Some(winner.line)),
        Predictor::Multiclass => (PredictorType::MulticlassClassifier, Link::Softmax, None),
    };
    let numbers = outputs.iter().flat_map(|output| output.weights.iter().chain([&output.bias]));
    if numbers.into_iter().any(|number| !number.is_finite()) {
        return Err(TrainError::Algorithm("the best model has weights that are no numbers".into()));
    }
    let chosen = Chosen {
        learning_rate: method.steps().then_some(winner.candidate.learning_rate),
        l1: winner.candidate.l1,
        wd: winner.candidate.wd,
    };
    Ok(Model::new(predictor_type, link, outputs, threshold, chosen))
}

#[cfg(test)]
mod tests;
