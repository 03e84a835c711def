//! XGBoost models in memory: read from JSON or UBJSON, checked, laid out flat, and scored
//! on the caller's thread.

mod document;
mod forest;
mod link;
mod ubj;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use strata_base::predictor::{Answer, PredictError, Request, Scorer};

use crate::answers::{AnswerType, write_number, write_numbers};
use crate::requests::{self, RequestError, media_type};
use document::{Document, Learner};
use forest::Forest;
use link::Link;

/// What a model file may weigh; its trees take about as much memory again.
const FILE_LIMIT: u64 = 4 << 30;
/// A request of sparse rows needs one buffer of this many numbers.
const FEATURE_LIMIT: u64 = 10_000_000;
/// Numbers in one answer, so that a model of many classes cannot multiply a small body.
const ANSWER_LIMIT: usize = 8_000_000;

/// Loads the model file of a folder: `xgboost-model`, or the only file there.
pub fn load(folder: &Path) -> Result<Box<dyn Scorer>, String> {
    Ok(Box::new(load_model(folder)?))
}

/// As [`load`], with the type that also predicts from numbers.
pub fn load_model(folder: &Path) -> Result<Model, String> {
    let path = find_model(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut bytes = Vec::new();
    let cannot = |error: std::io::Error| format!("could not read model file \"{name}\": {error}");
    let size = File::open(&path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes));
    if size.map_err(cannot)? as u64 > FILE_LIMIT {
        return Err(format!("model file \"{name}\" is larger than 4 GiB"));
    }
    Model::read(&bytes).map_err(|problem| format!("model file \"{name}\" {problem}"))
}

fn find_model(folder: &Path) -> Result<PathBuf, String> {
    let named = folder.join("xgboost-model");
    if named.is_file() {
        return Ok(named);
    }
    let entries =
        fs::read_dir(folder).map_err(|error| format!("could not read the model folder: {error}"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        (Some(_), false) => {
            Err("the model folder has several files and none is named xgboost-model; keep one".into())
        }
        (None, _) => Err("the model folder is empty; an XGBoost model is a file named xgboost-model".into()),
    }
}

/// A model ready to answer.
#[derive(Debug)]
pub struct Model {
    booster: Booster,
    /// Where the sums of a row begin, one a group.
    base: Vec<f32>,
    link: Link,
    width: usize,
}

#[derive(Debug)]
enum Booster {
    Trees(Forest),
    /// Weights by feature and group, then the biases.
    Linear(Vec<f32>),
}

impl Model {
    /// Reads the bytes of a model file and checks all of it, so that no later step can fail.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let document: Document = match kind(bytes)? {
            Kind::Json => {
                serde_json::from_slice(bytes).map_err(|error| format!("is not an XGBoost model: {error}"))?
            }
            Kind::Ubj => ubj::from_slice(bytes)
                .map_err(|error| format!("is not a whole UBJSON XGBoost model: {error}"))?,
        };
        Self::new(document.learner)
    }

    fn new(learner: Learner) -> Result<Self, String> {
        let parameters = &learner.learner_model_param;
        if let Some(targets) = parameters.num_target.filter(|targets| targets.0 > 1) {
            return Err(format!("predicts {} targets at once; train one model a target", targets.0));
        }
        if parameters.num_feature.0 > FEATURE_LIMIT {
            return Err(format!(
                "has {} features; at most {FEATURE_LIMIT} are served",
                parameters.num_feature.0
            ));
        }
        let width = parameters.num_feature.0 as usize;
        if width == 0 {
            return Err("has no features".into());
        }
        let groups = parameters.num_class.0.max(1) as usize;
        if groups > ANSWER_LIMIT {
            return Err(format!("has {groups} classes; at most {ANSWER_LIMIT} are served"));
        }
        let link = Link::of(&learner.objective)?;
        let base = base_scores(&parameters.base_score, groups)?
            .into_iter()
            .map(|score| link.margin(score))
            .collect::<Result<Vec<f32>, String>>()?;
        // A model stopped early answers from its best round, as AWS's container does.
        let rounds = learner.attributes.get("best_iteration").and_then(|best| best.parse::<usize>().ok());
        let rounds = rounds.and_then(|best| best.checked_add(1));
        let booster = learner.gradient_booster;
        let booster = match booster.name.as_str() {
            "gbtree" => Booster::Trees(Forest::new(&booster.model, None, rounds, groups, width)?),
            "dart" => {
                let weights = Some(booster.weight_drop.as_slice());
                Booster::Trees(Forest::new(&booster.gbtree.model, weights, rounds, groups, width)?)
            }
            "gblinear" => {
                let weights = booster.model.weights;
                if Some(weights.len()) != (width + 1).checked_mul(groups) {
                    return Err(format!(
                        "has {} linear weights, not one for each of {width} features and the bias, {groups} times",
                        weights.len()
                    ));
                }
                if weights.iter().any(|weight| !weight.is_finite()) {
                    return Err("has linear weights that are no numbers".into());
                }
                Booster::Linear(weights)
            }
            other => {
                return Err(format!("has the unknown booster {other}; gbtree, dart and gblinear are served"));
            }
        };
        Ok(Self { booster, base, link, width })
    }

    /// How many features a row must have.
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn trees(&self) -> usize {
        match &self.booster {
            Booster::Trees(forest) => forest.trees(),
            Booster::Linear(_) => 0,
        }
    }

    /// How many numbers answer one row.
    pub fn outputs(&self) -> usize {
        self.link.outputs(self.base.len())
    }

    /// Predicts rows of `width` values (NaN is missing), one after another; [`Self::outputs`]
    /// numbers a row.
    pub fn predict(&self, rows: &[f32]) -> Result<Vec<f32>, PredictError> {
        let groups = self.base.len();
        let count = rows.len() / self.width;
        let size = self.answer_size(count)?;
        let mut sums = Vec::with_capacity(size);
        match &self.booster {
            Booster::Trees(forest) => {
                sums.resize(size, 0.0);
                forest.add_to(rows, &mut sums);
                for row in sums.chunks_exact_mut(groups) {
                    row.iter_mut().zip(&self.base).for_each(|(sum, base)| *sum += base);
                }
            }
            Booster::Linear(weights) => {
                for row in rows.chunks_exact(self.width) {
                    self.linear(weights, row.iter().copied().enumerate(), &mut sums);
                }
            }
        }
        self.link.apply(&mut sums, groups);
        Ok(sums)
    }

    fn linear(&self, weights: &[f32], row: impl Iterator<Item = (usize, f32)> + Clone, sums: &mut Vec<f32>) {
        let groups = self.base.len();
        for group in 0..groups {
            // The library gives all outputs of a linear booster the first base score.
            let mut sum = weights[self.width * groups + group] + self.base[0];
            for (feature, value) in row.clone().filter(|(_, value)| !value.is_nan()) {
                sum += value * weights[feature * groups + group];
            }
            sums.push(sum);
        }
    }

    fn predict_sparse(&self, body: &[u8]) -> Result<Vec<f32>, PredictError> {
        let groups = self.base.len();
        let mut sums: Vec<f32> = Vec::new();
        let mut too_large = None;
        let read = requests::libsvm(body, self.width, |row| {
            if let Err(error) = self.answer_size(sums.len() / groups + 1) {
                too_large = Some(error);
                return Err(RequestError::Empty);
            }
            match &self.booster {
                Booster::Trees(forest) => {
                    let start = sums.len();
                    sums.resize(start + groups, 0.0);
                    forest.add_sparse(row.values, row.named.len(), &mut sums[start..]);
                    sums[start..].iter_mut().zip(&self.base).for_each(|(sum, base)| *sum += base);
                }
                Booster::Linear(weights) => {
                    let named = row.named.iter().map(|feature| (*feature, row.values[*feature]));
                    self.linear(weights, named, &mut sums);
                }
            }
            Ok(())
        });
        if let Some(error) = too_large {
            return Err(error);
        }
        read?;
        self.link.apply(&mut sums, groups);
        Ok(sums)
    }

    fn answer_size(&self, rows: usize) -> Result<usize, PredictError> {
        let size = rows.checked_mul(self.base.len()).filter(|size| *size <= ANSWER_LIMIT);
        size.ok_or_else(|| {
            PredictError::BadRequest(format!(
                "{rows} rows of {} outputs make too large an answer; send fewer rows at once",
                self.base.len()
            ))
        })
    }
}

impl Scorer for Model {
    fn score(&self, request: &Request) -> Result<Answer, PredictError> {
        let answer_type = AnswerType::choose(&request.accept, AnswerType::Csv)?;
        let predictions = match media_type(&request.content_type) {
            // AWS's container takes CSV where nothing is said.
            "" | "text/csv" => self.predict(&requests::csv(&request.body, self.width)?)?,
            "text/libsvm" | "text/x-libsvm" => self.predict_sparse(&request.body)?,
            other => {
                return Err(PredictError::UnsupportedContentType(format!(
                    "Content-type {other} not supported. Supported content-type is text/csv, text/libsvm"
                )));
            }
        };
        Ok(answer_type.answer(write(answer_type, &predictions, self.outputs())))
    }

    fn size(&self) -> usize {
        let booster = match &self.booster {
            Booster::Trees(forest) => forest.size(),
            Booster::Linear(weights) => weights.len() * 4,
        };
        size_of::<Self>() + self.base.len() * 4 + booster
    }
}

/// Writes predictions as AWS's container does since version 1.5 (sagemaker-xgboost-container
/// pull request 269): CSV with a line a row, each ended; JSON as
/// `{"predictions": [{"score": 0.5}]}`, where the score of several outputs is a list.
fn write(answer_type: AnswerType, predictions: &[f32], outputs: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + predictions.len() * 22);
    let rows = predictions.chunks_exact(outputs);
    match answer_type {
        AnswerType::Csv => {
            for row in rows {
                write_numbers(&mut out, row);
                out.push(b'\n');
            }
        }
        AnswerType::Json => {
            out.extend_from_slice(b"{\"predictions\": [");
            for (place, row) in rows.enumerate() {
                if place > 0 {
                    out.extend_from_slice(b", ");
                }
                write_score(&mut out, row);
            }
            out.extend_from_slice(b"]}");
        }
        AnswerType::JsonLines => {
            for row in rows {
                write_score(&mut out, row);
                out.push(b'\n');
            }
        }
    }
    out
}

fn write_score(out: &mut Vec<u8>, row: &[f32]) {
    out.extend_from_slice(b"{\"score\": ");
    match row {
        [score] => write_number(out, f64::from(*score)),
        scores => {
            out.push(b'[');
            write_numbers(out, scores);
            out.push(b']');
        }
    }
    out.push(b'}');
}

enum Kind {
    Json,
    Ubj,
}

/// Tells the formats apart as the library does: both begin with a brace, and only in JSON a
/// quote or white space follows.
fn kind(bytes: &[u8]) -> Result<Kind, String> {
    const SAVE_AGAIN: &str = "load it in Python with the XGBoost version that wrote it and save it again \
                              with Booster.save_model(\"xgboost-model.json\") or \".ubj\"";
    match bytes {
        [] => Err("is empty".into()),
        [b'{', b'"' | b' ' | b'\n' | b'\r' | b'\t' | b'}', ..] => Ok(Kind::Json),
        [b'{', ..] => Ok(Kind::Ubj),
        [0x80, ..] => {
            Err(format!("is a Python pickle, which can run any code and is not read; {SAVE_AGAIN}"))
        }
        _ => Err(format!("is neither JSON nor UBJSON, perhaps XGBoost's old binary format; {SAVE_AGAIN}")),
    }
}

/// `5E-1` before XGBoost 3.1, `[5E-1,2E-1]` since: one for all groups or one each.
fn base_scores(text: &str, groups: usize) -> Result<Vec<f32>, String> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let scores: Option<Vec<f32>> = inner
        .split(',')
        .map(|score| score.trim().parse().ok().filter(|score: &f32| score.is_finite()))
        .collect();
    match scores {
        Some(scores) if scores.len() == groups => Ok(scores),
        Some(scores) if scores.len() == 1 => Ok(vec![scores[0]; groups]),
        Some(scores) => Err(format!("has {} base scores for {groups} outputs", scores.len())),
        None => Err(format!("has the base_score \"{text}\", which is not a number")),
    }
}

#[cfg(test)]
mod tests;
