//! Hyperparameters as typed settings, with what the documentation calls `auto` decided.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::card::CARD;
use super::loss::Loss;
use crate::card::truth;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    Regressor,
    Binary,
    Multiclass,
}

/// By which figure the best binary classifier and its threshold are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Criterion {
    Accuracy,
    FBeta,
    PrecisionAtRecall(f64),
    RecallAtPrecision(f64),
    Loss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// Second-order passes where they are cheap, else adam.
    Auto,
    Sgd,
    Adam,
    RmsProp,
    AdaGrad,
}

impl Optimizer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Sgd => "sgd",
            Self::Adam => "adam",
            Self::RmsProp => "rmsprop",
            Self::AdaGrad => "adagrad",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PositiveWeight {
    Given(f64),
    Balanced,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    pub step: u64,
    pub factor: f64,
    pub minimum: f64,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub predictor: Predictor,
    pub loss: Loss,
    /// 1 but for multiclass.
    pub outputs: usize,
    pub features: Option<usize>,
    pub epochs: usize,
    /// Whether early stopping was asked for, rather than left at its defaults.
    pub wants_early_stop: bool,
    pub patience: usize,
    pub tolerance: f64,
    pub batch: usize,
    pub models: Option<usize>,
    pub optimizer: Optimizer,
    /// Whether a setting that only gradient steps know was given.
    pub wants_steps: bool,
    pub learning_rate: Option<f64>,
    pub l1: Option<f64>,
    pub wd: Option<f64>,
    pub beta_1: f64,
    pub beta_2: f64,
    pub momentum: f64,
    pub schedule: Option<Schedule>,
    pub bias_rate: f64,
    pub bias_decay: f64,
    pub use_bias: bool,
    pub init_bias: f64,
    /// Uniform between these, or normal with this deviation.
    pub init: Init,
    pub scale_data: bool,
    pub shift_data: bool,
    pub scale_label: bool,
    pub shift_label: bool,
    pub scaler_rows: usize,
    pub positive_weight: PositiveWeight,
    pub balance_classes: bool,
    pub criterion: Criterion,
    pub calibration_rows: Option<usize>,
    pub f_beta: f64,
    pub top_k: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Uniform(f64),
    Normal(f64),
}

impl Settings {
    /// Checks against the card, then what the card cannot say: which go together. Fails with
    /// one sentence a problem.
    pub fn of(given: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let problems = CARD.problems(given);
        if !problems.is_empty() {
            return Err(problems);
        }
        Self::checked(given).map_err(|problem| vec![problem])
    }

    fn checked(given: &BTreeMap<String, String>) -> Result<Self, String> {
        let values = Values(given);
        let predictor = match values.text("predictor_type") {
            "regressor" => Predictor::Regressor,
            "binary_classifier" => Predictor::Binary,
            _ => Predictor::Multiclass,
        };
        let outputs = match predictor {
            Predictor::Multiclass => values.number::<usize>("num_classes")?.filter(|classes| *classes >= 3).ok_or_else(|| {
                "predictor_type multiclass_classifier needs num_classes, an integer of 3 or more; for 2 classes choose binary_classifier".to_owned()
            })?,
            _ => 1,
        };
        let regression = predictor == Predictor::Regressor;
        let yes = |name: &str, auto: bool| truth(values.text(name)).unwrap_or(auto);
        let optimizer = match values.text("optimizer") {
            "sgd" => Optimizer::Sgd,
            "adam" => Optimizer::Adam,
            "rmsprop" => Optimizer::RmsProp,
            "adagrad" => Optimizer::AdaGrad,
            _ => Optimizer::Auto,
        };
        let steps_only = [
            "learning_rate",
            "beta_1",
            "beta_2",
            "momentum",
            "bias_lr_mult",
            "lr_scheduler_factor",
            "lr_scheduler_minimum_lr",
            "lr_scheduler_step",
            "use_lr_scheduler",
            "init_method",
            "init_scale",
            "init_sigma",
            "init_bias",
        ];
        let wants_steps = steps_only.iter().any(|name| !values.is_default(name));
        let schedule = Schedule {
            step: values.number("lr_scheduler_step")?.unwrap_or(100),
            factor: values.number("lr_scheduler_factor")?.unwrap_or(0.99),
            minimum: values.number("lr_scheduler_minimum_lr")?.unwrap_or(1e-5),
        };
        let positive_weight = match values.text("positive_example_weight_mult") {
            "balanced" => PositiveWeight::Balanced,
            "auto" => {
                return Err(
                    "positive_example_weight_mult=auto is not offered; give a number or balanced".to_owned()
                );
            }
            _ => PositiveWeight::Given(values.number("positive_example_weight_mult")?.unwrap_or(1.0)),
        };
        let target = |name: &str| values.number::<f64>(name).map(|share| share.unwrap_or(0.8));
        let criterion = match values.text("binary_classifier_model_selection_criteria") {
            "f_beta" => Criterion::FBeta,
            "precision_at_target_recall" => Criterion::PrecisionAtRecall(target("target_recall")?),
            "recall_at_target_precision" => Criterion::RecallAtPrecision(target("target_precision")?),
            "loss_function" => Criterion::Loss,
            _ => Criterion::Accuracy,
        };
        let tuning = !values.text("_tuning_objective_metric").is_empty();
        let init = match values.text("init_method") {
            "normal" => Init::Normal(values.number("init_sigma")?.unwrap_or(0.01)),
            _ => Init::Uniform(values.number("init_scale")?.unwrap_or(0.07)),
        };
        Ok(Self {
            predictor,
            loss: loss(predictor, &values)?,
            outputs,
            features: values.number("feature_dim")?,
            epochs: values.number("epochs")?.unwrap_or(15),
            wants_early_stop: given.contains_key("early_stopping_patience")
                || given.contains_key("early_stopping_tolerance"),
            patience: values.number("early_stopping_patience")?.unwrap_or(3),
            tolerance: values.number("early_stopping_tolerance")?.unwrap_or(0.001),
            batch: values.number("mini_batch_size")?.unwrap_or(1000),
            // As AWS documents: a tuning job turns the models of its own off.
            models: if tuning { Some(1) } else { values.number("num_models")? },
            optimizer,
            wants_steps,
            learning_rate: values.number("learning_rate")?,
            l1: values.number("l1")?,
            wd: values.number("wd")?,
            beta_1: values.number("beta_1")?.unwrap_or(0.9),
            beta_2: values.number("beta_2")?.unwrap_or(0.999),
            momentum: values.number("momentum")?.unwrap_or(0.9),
            schedule: yes("use_lr_scheduler", true).then_some(schedule),
            bias_rate: values.number("bias_lr_mult")?.unwrap_or(1.0),
            bias_decay: values.number("bias_wd_mult")?.unwrap_or(0.0),
            use_bias: yes("use_bias", true),
            init_bias: values.number("init_bias")?.unwrap_or(0.0),
            init,
            scale_data: yes("normalize_data", true),
            shift_data: yes("unbias_data", true),
            scale_label: regression && yes("normalize_label", true),
            shift_label: regression && yes("unbias_label", true),
            scaler_rows: values.number("num_point_for_scaler")?.unwrap_or(10_000),
            positive_weight,
            balance_classes: yes("balance_multiclass_weights", false),
            criterion,
            calibration_rows: values.number("num_calibration_samples")?,
            f_beta: values.number("f_beta")?.unwrap_or(1.0),
            top_k: values.number("accuracy_top_k")?.unwrap_or(3),
        })
    }
}

fn loss(predictor: Predictor, values: &Values<'_>) -> Result<Loss, String> {
    let number = |name: &str, default: f64| values.number::<f64>(name).map(|value| value.unwrap_or(default));
    let insensitivity = number("loss_insensitivity", 0.01)?;
    let name = values.text("loss");
    Ok(match (predictor, name) {
        (Predictor::Regressor, "auto" | "squared_loss") => Loss::Squared,
        (Predictor::Regressor, "absolute_loss") => Loss::Absolute,
        (Predictor::Regressor, "eps_insensitive_squared_loss") => Loss::EpsSquared(insensitivity),
        (Predictor::Regressor, "eps_insensitive_absolute_loss") => Loss::EpsAbsolute(insensitivity),
        (Predictor::Regressor, "quantile_loss") => Loss::Quantile(number("quantile", 0.5)?),
        (Predictor::Regressor, "huber_loss") => Loss::Huber(number("huber_delta", 1.0)?),
        (Predictor::Binary, "auto" | "logistic") => Loss::Logistic,
        (Predictor::Binary, "hinge_loss") => Loss::Hinge(number("margin", 1.0)?),
        (Predictor::Multiclass, "auto" | "softmax_loss") => Loss::Softmax,
        (predictor, name) => {
            let fitting = match predictor {
                Predictor::Regressor => {
                    "squared_loss, absolute_loss, eps_insensitive_squared_loss, eps_insensitive_absolute_loss, \
                     quantile_loss, huber_loss"
                }
                Predictor::Binary => "logistic, hinge_loss",
                Predictor::Multiclass => "softmax_loss",
            };
            return Err(format!(
                "loss {name} does not go with predictor_type {}; choose auto or one of {fitting}",
                values.text("predictor_type")
            ));
        }
    })
}

/// The given text, else the card's default.
struct Values<'a>(&'a BTreeMap<String, String>);

impl Values<'_> {
    fn text(&self, name: &str) -> &str {
        let default = || CARD.hyperparameter(name).and_then(|known| known.default).unwrap_or_default();
        self.0.get(name).map_or_else(default, |value| value.trim())
    }

    fn is_default(&self, name: &str) -> bool {
        let default = CARD.hyperparameter(name).and_then(|known| known.default).unwrap_or_default();
        let given = self.text(name);
        let same_number = || given.parse::<f64>().is_ok_and(|given| default.parse() == Ok(given));
        given == default || same_number() || (truth(given).is_some() && truth(given) == truth(default))
    }

    /// `None` for `auto` (or nothing).
    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        match self.text(name) {
            "auto" | "" => Ok(None),
            text => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("hyperparameter {name}: {text} is not a number of its kind")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: &str) {
        let pairs = given.split_whitespace().filter_map(|pair| pair.split_once('='));
        let given = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let found = match Settings::of(&given) {
            Ok(settings) => format!("{:?} {:?} {}", settings.loss, settings.models, settings.wants_steps),
            Err(problems) => problems.join("; "),
        };
        assert!(found.starts_with(expected), "{given:?}: {found}");
    }

    #[test]
    fn hyperparameters_become_settings_or_a_sentence() {
        check("predictor_type=regressor", "Squared None false");
        check("predictor_type=regressor loss=huber_loss huber_delta=2", "Huber(2.0) None false");
        check("predictor_type=binary_classifier num_models=4 learning_rate=0.1", "Logistic Some(4) true");
        check("predictor_type=binary_classifier init_bias=0 use_lr_scheduler=True", "Logistic None false");
        check(
            "predictor_type=multiclass_classifier num_classes=3 _tuning_objective_metric=x",
            "Softmax Some(1)",
        );
        check("", "Missing required hyperparameter: predictor_type");
        check(
            "predictor_type=multiclass_classifier",
            "predictor_type multiclass_classifier needs num_classes",
        );
        check(
            "predictor_type=regressor loss=logistic",
            "loss logistic does not go with predictor_type regressor",
        );
        check(
            "predictor_type=binary_classifier positive_example_weight_mult=auto",
            "positive_example_weight_mult=auto is not offered; give a number or balanced",
        );
        check("predictor_type=regressor epochs=0", "Value 0 of hyperparameter epochs is not in the range");
        check("predictor_type=regressor learning=1", "Extraneous hyperparameter found: learning");
    }
}
