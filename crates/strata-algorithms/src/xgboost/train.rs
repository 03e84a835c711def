//! Trains: data in, rounds of boosting with their metrics printed, `xgboost-model` out.

use std::fmt::Write as _;
use std::path::Path;

use super::card::CARD;
use super::checkpoint::{Checkpoints, write_whole};
use super::data::{self, Data};
use super::ffi::{Booster, Library, Matrix};
use super::parameters::{self, EarlyStopping, Parameters};
use crate::TrainError;
use crate::algorithm::Job;

/// The name of the model file, without extension, as AWS's container writes it (UBJSON).
pub const MODEL: &str = "xgboost-model";

pub fn train(job: &Job) -> Result<(), TrainError> {
    if let Some(problem) = parameters::problems(&job.hyperparameters).first() {
        return Err(TrainError::Client(problem.clone()));
    }
    let parameters = Parameters::new(&job.hyperparameters);
    if job.hosts.len() > 1 {
        return Err(TrainError::Client(format!(
            "XGBoost trains on one instance, and the job has {}; set InstanceCount to 1",
            job.hosts.len()
        )));
    }
    if parameters.early_stopping.is_some() && !job.channels.contains_key("validation") {
        return Err(TrainError::Client(
            "hyperparameter early_stopping_rounds needs a channel \"validation\", whose score decides"
                .to_owned(),
        ));
    }
    let library = load_library()?;
    let threads = parameters.threads.unwrap_or(job.threads).min(job.threads).max(1);
    for name in &parameters.without_effect {
        println!("hyperparameter {name} has no effect in XGBoost {}", library.version());
    }
    let (train, validation) = data::load(&library, job, &parameters, threads)?;
    println!("Train matrix has {} rows and {} columns", train.rows, train.width);
    if let Some(validation) = &validation {
        println!("Validation matrix has {} rows", validation.rows);
    }
    if job.stopping() {
        println!("stopped before the first round; there is no model to keep");
        return Ok(());
    }
    let mut boosting = Boosting::start(&library, job, &parameters, threads, train, validation)?;
    let model = boosting.run(job)?;
    match model {
        Some(model) => save(&job.model, &model),
        None => Ok(()),
    }
}

fn load_library() -> Result<Library, TrainError> {
    let path =
        strata_frameworks::install("xgboost").map_err(|error| TrainError::Internal(error.to_string()))?;
    Library::open(&path).map_err(TrainError::Internal)
}

fn save(folder: &Path, model: &[u8]) -> Result<(), TrainError> {
    let path = folder.join(MODEL);
    write_whole(&path, &folder.join(format!(".{MODEL}.unfinished")), model)
        .map_err(|cause| TrainError::Internal(format!("could not write {}: {cause}", path.display())))
}

/// A model, what it learns from, and how far it is.
struct Boosting<'a> {
    parameters: &'a Parameters,
    booster: Booster,
    sets: Vec<(&'static str, Data)>,
    checkpoints: Option<Checkpoints>,
    /// The first round of this run; more than 0 where a checkpoint was found.
    first: i32,
    patience: Option<Patience>,
}

impl<'a> Boosting<'a> {
    fn start(
        library: &Library,
        job: &Job,
        parameters: &'a Parameters,
        threads: usize,
        train: Data,
        validation: Option<Data>,
    ) -> Result<Self, TrainError> {
        let mut sets = vec![("train", train)];
        sets.extend(validation.map(|validation| ("validation", validation)));
        let matrices: Vec<&Matrix> = sets.iter().map(|(_, data)| &data.matrix).collect();
        let booster = Booster::new(library, &matrices).map_err(failed)?;
        let checkpoints = job.checkpoints.as_deref().map(Checkpoints::new);
        let mut first = 0;
        for round in checkpoints.iter().flat_map(Checkpoints::rounds) {
            let loaded = checkpoints.as_ref().map(|checkpoints| checkpoints.read(round));
            // a checkpoint that is cut short is passed over, as AWS does
            if let Some(Ok(model)) = loaded
                && booster.load(&model).is_ok()
            {
                println!("Checkpoint loaded; resuming from iteration {}", round + 1);
                first = round + 1;
                break;
            }
        }
        // behind the loading, which brings parameters of its own
        for (name, value) in &parameters.library {
            booster.set(name, value).map_err(failed)?;
        }
        booster.set("nthread", &threads.to_string()).map_err(failed)?;
        for metric in &parameters.metrics {
            booster.set("eval_metric", metric).map_err(failed)?;
        }
        let is_linear = parameters.booster == "gblinear";
        let patience = parameters.early_stopping.as_ref();
        let patience = patience.map(|rule| Patience::new(rule, &booster, first, is_linear));
        let patience = patience.transpose().map_err(failed)?;
        Ok(Self { parameters, booster, sets, checkpoints, first, patience })
    }

    /// All rounds; the model to keep, if any.
    fn run(&mut self, job: &Job) -> Result<Option<Vec<u8>>, TrainError> {
        let mut done = self.first;
        for round in self.first..self.parameters.rounds {
            if job.stopping() {
                println!("stopped after {done} rounds");
                if !self.parameters.keep_when_stopped || done == 0 {
                    return Ok(None);
                }
                break;
            }
            let Some((_, train)) = self.sets.first() else { break };
            self.booster.update(round, &train.matrix).map_err(failed)?;
            done = round + 1;
            let scores = self.scores(round)?;
            println!("{}", line(round, &scores));
            let enough = match &mut self.patience {
                Some(patience) => patience.look(round, &scores, &self.booster)?,
                None => false,
            };
            if let Some(checkpoints) = &self.checkpoints {
                let model = self.booster.save().map_err(failed)?;
                let saved = checkpoints.save(round, &model);
                saved.map_err(|cause| {
                    TrainError::Internal(format!("could not write a checkpoint: {cause}"))
                })?;
            }
            if enough {
                break;
            }
        }
        self.best().map(Some)
    }

    /// Metrics of each set: the library's, then ours.
    fn scores(&self, round: i32) -> Result<Vec<Score>, TrainError> {
        let matrices: Vec<_> = self.sets.iter().map(|(name, data)| (*name, &data.matrix)).collect();
        let measured = self.booster.evaluate(round, &matrices).map_err(failed)?;
        let mut scores = Vec::new();
        for (name, data) in &self.sets {
            let of_set = measured.iter().filter(|(set, _, _)| set == name);
            scores.extend(of_set.map(|(_, metric, value)| Score {
                set: name,
                metric: metric.clone(),
                value: *value,
            }));
            if self.parameters.own_metrics.is_empty() {
                continue;
            }
            let predictions = self.booster.predict(&data.matrix).map_err(failed)?;
            let threshold = if self.parameters.objective.name == "binary:logitraw" { 0.0 } else { 0.5 };
            scores.extend(self.parameters.own_metrics.iter().map(|own| Score {
                set: name,
                metric: own.name().to_owned(),
                value: own.value(&data.labels, &predictions, threshold),
            }));
        }
        Ok(scores)
    }

    /// The model as it is, or as it was when the validation score was best.
    fn best(&self) -> Result<Vec<u8>, TrainError> {
        let Some(best) = self.patience.as_ref().and_then(|patience| patience.best.as_ref()) else {
            return self.booster.save().map_err(failed);
        };
        if let Some(model) = &best.model {
            return Ok(model.clone());
        }
        let sliced = self.booster.first_rounds(best.round + 1).map_err(failed)?;
        best.note(&sliced).map_err(failed)?;
        sliced.save().map_err(failed)
    }
}

/// What the library says went wrong while training.
fn failed(sentence: String) -> TrainError {
    TrainError::Algorithm(sentence)
}

struct Score {
    set: &'static str,
    metric: String,
    value: f64,
}

/// `[0]#011train-rmse:0.12345#011validation-rmse:0.12345`: in AWS's logs a tab shows as `#011`,
/// and the regular expressions of its metrics look for that text.
fn line(round: i32, scores: &[Score]) -> String {
    let mut line = format!("[{round}]");
    for Score { set, metric, value } in scores {
        // writing to a string cannot fail
        let _ = write!(line, "#011{set}-{metric}:{value:.5}");
    }
    line
}

/// Early stopping: how long the validation score has not become better.
struct Patience {
    rounds: usize,
    metric: Option<String>,
    best: Option<Best>,
    waited: usize,
    /// The library cannot cut a linear model back to an earlier round, so it is saved at its best.
    keeps_model: bool,
}

struct Best {
    round: i32,
    score: f64,
    model: Option<Vec<u8>>,
}

impl Best {
    /// Noted in the model as Python's XGBoost does; its `predict` and AWS's container read it.
    fn note(&self, booster: &Booster) -> Result<(), String> {
        booster.note("best_iteration", &self.round.to_string())?;
        booster.note("best_score", &self.score.to_string())
    }
}

impl Patience {
    /// Where a checkpoint was loaded, it knows the best round so far.
    fn new(rule: &EarlyStopping, booster: &Booster, first: i32, is_linear: bool) -> Result<Self, String> {
        let (rounds, metric) = (rule.rounds, rule.metric.clone());
        let mut patience = Self { rounds, metric, best: None, waited: 0, keeps_model: is_linear };
        // of a linear model the best so far is gone
        if first > 0 && !is_linear {
            let round = booster.noted("best_iteration")?.and_then(|round| round.parse::<i32>().ok());
            let score = booster.noted("best_score")?.and_then(|score| score.parse::<f64>().ok());
            if let (Some(round), Some(score)) = (round, score) {
                patience.waited = (first - 1).saturating_sub(round).max(0) as usize;
                patience.best = Some(Best { round, score, model: None });
            }
        }
        Ok(patience)
    }

    /// Looks at the scores of a round; whether it is time to stop.
    fn look(&mut self, round: i32, scores: &[Score], booster: &Booster) -> Result<bool, TrainError> {
        let of_validation = || scores.iter().filter(|score| score.set == "validation");
        let wanted = match &self.metric {
            // the library prints some with their parameter: `tweedie-nloglik@1.5`
            Some(metric) => of_validation().rfind(|score| {
                score.metric == *metric || score.metric.split('@').next() == Some(metric.as_str())
            }),
            None => of_validation().next_back(),
        };
        let Some(Score { metric, value, .. }) = wanted else {
            let metric = self.metric.clone().unwrap_or_default();
            return Err(failed(format!("early stopping: the validation channel has no metric {metric:?}")));
        };
        let maximize = is_maximized(metric);
        let is_better = |best: &Best| if maximize { *value > best.score } else { *value < best.score };
        if self.best.as_ref().is_none_or(is_better) {
            let mut best = Best { round, score: *value, model: None };
            best.note(booster).map_err(failed)?;
            if self.keeps_model {
                best.model = Some(booster.save().map_err(failed)?);
            }
            self.best = Some(best);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        Ok(self.waited >= self.rounds)
    }
}

/// Whether more of this metric is better, which the card knows.
fn is_maximized(metric: &str) -> bool {
    let name = metric.split('@').next().unwrap_or_default();
    let known = CARD.metrics.iter().find(|known| known.name.strip_prefix("validation:") == Some(name));
    known.is_some_and(|known| known.maximize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_lines_are_those_of_aws() {
        let score = |set, metric: &str, value| Score { set, metric: metric.into(), value };
        let scores = [score("train", "rmse", 0.123_456_7), score("validation", "rmse", 10.0)];
        assert_eq!(line(3, &scores), "[3]#011train-rmse:0.12346#011validation-rmse:10.00000");
    }

    #[test]
    fn the_card_knows_which_way_is_better() {
        for (metric, expected) in [("auc", true), ("ndcg@5", true), ("rmse", false), ("error@0.7", false)] {
            assert_eq!(is_maximized(metric), expected, "{metric}");
        }
    }
}
