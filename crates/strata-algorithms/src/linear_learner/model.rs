//! The finished model: its file, and its answers.
//!
//! The file `linear-learner.json` holds an object:
//!
//! | member | meaning |
//! |---|---|
//! | `format`, `version` | `strata-linear-learner`, 1 |
//! | `predictor_type` | as in the hyperparameters |
//! | `link` | `identity`, `logistic`, `margin` or `softmax`: from sums to scores |
//! | `features` | how many a row has |
//! | `outputs` | one (or one a class) of `{"bias": b, "weights": [..]}`, for raw features |
//! | `threshold` | of a binary classifier: the score from which on a row is labelled 1 |
//! | `chosen` | the settings of the best model: `learning_rate`, `l1`, `wd` |

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use strata_base::predictor::{Answer, PredictError, Request, Scorer};

use super::loss::{sigmoid, softmax};
use crate::answers::{AnswerType, write_number};
use crate::requests::{self, media_type};

pub const FILE: &str = "linear-learner.json";
const FILE_LIMIT: u64 = 1 << 30;
/// Numbers in one answer, so that a model of many classes cannot multiply a small body.
const ANSWER_LIMIT: usize = 8_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictorType {
    Regressor,
    BinaryClassifier,
    MulticlassClassifier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    Identity,
    Logistic,
    Margin,
    Softmax,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub bias: f64,
    pub weights: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    pub learning_rate: Option<f64>,
    pub l1: f64,
    pub wd: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    format: Format,
    version: u32,
    pub predictor_type: PredictorType,
    pub link: Link,
    pub features: usize,
    pub outputs: Vec<Output>,
    pub threshold: Option<f64>,
    pub chosen: Chosen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "strata-linear-learner")]
    LinearLearner,
}

impl Model {
    pub fn new(
        predictor_type: PredictorType,
        link: Link,
        outputs: Vec<Output>,
        threshold: Option<f64>,
        chosen: Chosen,
    ) -> Self {
        let features = outputs.first().map_or(0, |output| output.weights.len());
        Self {
            format: Format::LinearLearner,
            version: 1,
            predictor_type,
            link,
            features,
            outputs,
            threshold,
            chosen,
        }
    }

    /// Written under another name first, so that a half-written file is never taken for a model.
    pub fn save(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let draft = folder.join(format!(".{FILE}.draft"));
        fs::write(&draft, serde_json::to_vec(self)?)?;
        fs::rename(draft, folder.join(FILE))
    }

    pub fn load(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes));
        let size = read.map_err(|error| {
            let mxnet = folder.join("model_algo-1").exists();
            let hint =
                if mxnet { "; model_algo-1 is AWS's own format, train the model again here" } else { "" };
            format!("could not read model file \"{FILE}\": {error}{hint}")
        })?;
        if size as u64 > FILE_LIMIT {
            return Err(format!("model file \"{FILE}\" is larger than 1 GiB"));
        }
        Self::parse(&bytes).map_err(|problem| format!("model file \"{FILE}\" {problem}"))
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let model: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("is not a linear-learner model: {error}"))?;
        if model.version != 1 {
            return Err(format!("has version {}; this program reads version 1", model.version));
        }
        let count = model.outputs.len();
        let fits = match model.predictor_type {
            PredictorType::Regressor => count == 1 && model.link == Link::Identity,
            PredictorType::BinaryClassifier => {
                let sound = model.threshold.is_some_and(f64::is_finite);
                count == 1 && matches!(model.link, Link::Logistic | Link::Margin) && sound
            }
            PredictorType::MulticlassClassifier => count >= 2 && model.link == Link::Softmax,
        };
        if !fits {
            return Err("has outputs, link or threshold that do not go with its predictor_type".into());
        }
        if model.features == 0 || model.outputs.iter().any(|output| output.weights.len() != model.features) {
            return Err(format!("does not have {} weights for each output", model.features));
        }
        let numbers = model.outputs.iter().flat_map(|output| output.weights.iter().chain([&output.bias]));
        if numbers.into_iter().any(|number| !number.is_finite()) {
            return Err("has weights that are no numbers".into());
        }
        Ok(model)
    }

    /// The scores of one row (one, or one a class).
    pub fn scores(&self, row: &[f32], scores: &mut Vec<f64>) {
        scores.clear();
        for output in &self.outputs {
            let mut sum = output.bias;
            for (weight, value) in output.weights.iter().zip(row) {
                sum += weight * f64::from(*value);
            }
            scores.push(sum);
        }
        match self.link {
            Link::Identity | Link::Margin => {}
            Link::Logistic => scores.iter_mut().for_each(|score| *score = sigmoid(*score)),
            Link::Softmax => {
                softmax(scores, 0);
            }
        }
    }

    fn label(&self, scores: &[f64]) -> Option<usize> {
        match self.predictor_type {
            PredictorType::Regressor => None,
            PredictorType::BinaryClassifier => {
                let threshold = self.threshold.unwrap_or(0.5);
                Some(usize::from(scores.first().is_some_and(|score| *score >= threshold)))
            }
            PredictorType::MulticlassClassifier => {
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                scores.iter().position(|score| *score == largest)
            }
        }
    }

    fn rows(&self, request: &Request) -> Result<Vec<f32>, PredictError> {
        let width = self.features;
        let rows = match media_type(&request.content_type) {
            "" | "text/csv" => requests::csv(&request.body, width)?,
            "application/json" => requests::json(&request.body, width)?,
            "application/jsonlines" => requests::json_lines(&request.body, width)?,
            other => {
                return Err(PredictError::UnsupportedContentType(format!(
                    "Content-type {other} not supported. Supported content-type is text/csv, application/json, \
                     application/jsonlines"
                )));
            }
        };
        if let Some(hole) = rows.iter().position(|value| value.is_nan()) {
            let (row, column) = (hole / width + 1, hole % width + 1);
            return Err(PredictError::BadRequest(format!(
                "row {row}, column {column}: the value is missing; this model needs every one"
            )));
        }
        let count = rows.len() / width;
        if count.saturating_mul(self.outputs.len()) > ANSWER_LIMIT {
            return Err(PredictError::BadRequest(format!(
                "{count} rows of {} classes make too large an answer; send fewer rows at once",
                self.outputs.len()
            )));
        }
        Ok(rows)
    }

    fn write(&self, answer_type: AnswerType, out: &mut Vec<u8>, scores: &[f64]) {
        // As AWS's container: scores are 32-bit numbers.
        let number = |out: &mut Vec<u8>, score: f64| write_number(out, f64::from(score as f32));
        let label = self.label(scores);
        if answer_type == AnswerType::Csv {
            if let Some(label) = label {
                out.extend_from_slice(label.to_string().as_bytes());
                out.push(b',');
            }
            for (place, score) in scores.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                number(out, *score);
            }
            out.push(b'\n');
            return;
        }
        out.extend_from_slice(b"{\"score\": ");
        match scores {
            [score] => number(out, *score),
            scores => {
                out.push(b'[');
                for (place, score) in scores.iter().enumerate() {
                    if place > 0 {
                        out.extend_from_slice(b", ");
                    }
                    number(out, *score);
                }
                out.push(b']');
            }
        }
        if let Some(label) = label {
            out.extend_from_slice(b", \"predicted_label\": ");
            out.extend_from_slice(label.to_string().as_bytes());
        }
        out.push(b'}');
        if answer_type == AnswerType::JsonLines {
            out.push(b'\n');
        }
    }
}

impl Scorer for Model {
    fn score(&self, request: &Request) -> Result<Answer, PredictError> {
        let answer_type = AnswerType::choose(&request.accept, AnswerType::Json)?;
        let rows = self.rows(request)?;
        let mut out = Vec::with_capacity(32 + rows.len() / self.features * (40 + 24 * self.outputs.len()));
        let json = answer_type == AnswerType::Json;
        if json {
            out.extend_from_slice(b"{\"predictions\": [");
        }
        let mut scores = Vec::with_capacity(self.outputs.len());
        for (place, row) in rows.chunks_exact(self.features).enumerate() {
            if json && place > 0 {
                out.extend_from_slice(b", ");
            }
            self.scores(row, &mut scores);
            self.write(answer_type, &mut out, &scores);
        }
        if json {
            out.extend_from_slice(b"]}");
        }
        Ok(answer_type.answer(out))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.outputs.len() * (self.features + 4) * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn output(bias: f64, weights: &[f64]) -> Output {
        Output { bias, weights: weights.to_vec() }
    }

    fn model(kind: PredictorType) -> Model {
        let chosen = Chosen { learning_rate: None, l1: 0.0, wd: 0.5 };
        match kind {
            PredictorType::Regressor => {
                Model::new(kind, Link::Identity, vec![output(1.0, &[2.0, -0.5])], None, chosen)
            }
            PredictorType::BinaryClassifier => {
                Model::new(kind, Link::Logistic, vec![output(0.0, &[1.0, 1.0])], Some(0.5), chosen)
            }
            PredictorType::MulticlassClassifier => {
                let outputs =
                    vec![output(0.0, &[1.0, 0.0]), output(0.0, &[0.0, 1.0]), output(0.0, &[0.0, 0.0])];
                Model::new(kind, Link::Softmax, outputs, None, chosen)
            }
        }
    }

    fn check(kind: PredictorType, content_type: &str, accept: &str, body: &str, expected: &str) {
        let request = Request {
            content_type: content_type.into(),
            accept: accept.into(),
            body: body.as_bytes().to_vec().into(),
            ..Request::default()
        };
        let found = match model(kind).score(&request) {
            Ok(answer) => format!("{} {}", answer.content_type, String::from_utf8_lossy(&answer.body)),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn answers_have_the_documented_forms() {
        use PredictorType::*;
        check(Regressor, "text/csv", "", "1,2", "application/json {\"predictions\": [{\"score\": 2.0}]}");
        check(Regressor, "text/csv", "text/csv", "1,2\n0,0", "text/csv 2.0\n1.0\n");
        let body = r#"{"instances": [{"features": [0, 0]}, {"data": {"features": {"values": [-3, 0]}}}]}"#;
        check(
            BinaryClassifier,
            "application/json",
            "application/json",
            body,
            "application/json {\"predictions\": [{\"score\": 0.5, \"predicted_label\": 1}, \
             {\"score\": 0.04742587357759476, \"predicted_label\": 0}]}",
        );
        check(BinaryClassifier, "text/csv", "text/csv", "0,0", "text/csv 1,0.5\n");
        check(
            MulticlassClassifier,
            "application/jsonlines",
            "application/jsonlines",
            "{\"features\": [0, 100]}\n{\"features\": [0, 0]}",
            "application/jsonlines {\"score\": [3.783505853677006e-44, 1.0, 3.783505853677006e-44], \
             \"predicted_label\": 1}\n{\"score\": [0.3333333432674408, 0.3333333432674408, \
             0.3333333432674408], \"predicted_label\": 0}\n",
        );
        check(
            MulticlassClassifier,
            "",
            "text/csv",
            "100,0",
            "text/csv 0,1.0,3.783505853677006e-44,3.783505853677006e-44\n",
        );
    }

    #[test]
    fn bad_requests_name_the_cause() {
        use PredictorType::*;
        check(Regressor, "text/csv", "", "1", "BadRequest(\"row 1 has 1 features, the model needs 2\")");
        check(
            Regressor,
            "text/csv",
            "",
            "1,2\n3,",
            "BadRequest(\"row 2, column 2: the value is missing; this model needs every one\")",
        );
        check(
            Regressor,
            "text/libsvm",
            "",
            "0:1",
            "UnsupportedContentType(\"Content-type text/libsvm not supported. Supported content-type is text/csv, \
             application/json, application/jsonlines\")",
        );
    }

    #[test]
    fn a_file_is_checked_when_it_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Model::load(folder.path()).unwrap_err().starts_with("could not read model file"));
        let good = model(PredictorType::MulticlassClassifier);
        good.save(folder.path()).unwrap();
        assert_eq!(Model::load(folder.path()).unwrap(), good);
        let check = |change: &dyn Fn(&mut Model), expected: &str| {
            let mut model = model(PredictorType::BinaryClassifier);
            change(&mut model);
            let problem = Model::parse(&serde_json::to_vec(&model).unwrap()).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        };
        check(&|model| model.version = 2, "has version 2; this program reads version 1");
        check(&|model| model.features = 3, "does not have 3 weights for each output");
        check(&|model| model.outputs.clear(), "has outputs, link or threshold that do not go with");
        check(&|model| model.threshold = None, "has outputs, link or threshold that do not go with");
        check(&|model| model.link = Link::Softmax, "has outputs, link or threshold that do not go with");
    }

    proptest! {
        #[test]
        fn changed_files_never_panic(place in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = serde_json::to_vec(&model(PredictorType::BinaryClassifier)).unwrap();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(model) = Model::parse(&bytes) {
                model.scores(&[1.0, 2.0], &mut Vec::new());
            }
        }
    }
}
