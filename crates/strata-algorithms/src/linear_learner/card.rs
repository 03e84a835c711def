//! The contract of Linear Learner: names, ranges and defaults as AWS documents them.

use crate::card::{Card, ChannelCard, Hyperparameter, Kind, Metric};

pub static CARD: Card = Card {
    name: "linear-learner",
    images: &[],
    summary: "Linear regression and classification: many models in the same passes, the best one kept.",
    hyperparameters: HYPERPARAMETERS,
    channels: &[
        ChannelCard { name: "train", required: true, content_types: &["text/csv"] },
        ChannelCard { name: "validation", required: false, content_types: &["text/csv"] },
        ChannelCard { name: "test", required: false, content_types: &["text/csv"] },
    ],
    metrics: METRICS,
};

const POSITIVE: Kind = Kind::Float { min: 0.0, max: f64::INFINITY, min_open: true, max_open: false };
const NOT_NEGATIVE: Kind = Kind::float(0.0, f64::INFINITY);
const SHARE: Kind = Kind::Float { min: 0.0, max: 1.0, min_open: true, max_open: true };
const DECAY: Kind = Kind::Float { min: 0.0, max: 1.0, min_open: false, max_open: true };
const COUNT: Kind = Kind::integer(1, i64::MAX);
const AUTO_POSITIVE: Kind = Kind::Or(&["auto"], &POSITIVE);
const AUTO_NOT_NEGATIVE: Kind = Kind::Or(&["auto"], &NOT_NEGATIVE);
const AUTO_SHARE: Kind = Kind::Or(&["auto"], &SHARE);
const AUTO_DECAY: Kind = Kind::Or(&["auto"], &DECAY);
const AUTO_COUNT: Kind = Kind::Or(&["auto"], &COUNT);
const AUTO_BOOL: Kind = Kind::Or(&["auto"], &Kind::Bool);

const fn required(name: &'static str, kind: Kind, help: &'static str) -> Hyperparameter {
    Hyperparameter { name, required: true, default: None, kind, help }
}

const fn optional(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    help: &'static str,
) -> Hyperparameter {
    Hyperparameter { name, required: false, default: Some(default), kind, help }
}

/// All are honoured. Of their documented values one is not: `positive_example_weight_mult=auto`,
/// which `Settings` refuses by name.
static HYPERPARAMETERS: &[Hyperparameter] = &[
    required(
        "predictor_type",
        Kind::Choice(&["binary_classifier", "multiclass_classifier", "regressor"]),
        "What the label is: 0 or 1, a class from 0 to num_classes - 1, or a number.",
    ),
    // Required for multiclass_classifier only; `Settings` checks that.
    Hyperparameter {
        name: "num_classes",
        required: false,
        default: None,
        kind: Kind::integer(1, 1_000_000),
        help: "How many classes there are (3 or more); needed for multiclass_classifier.",
    },
    optional("accuracy_top_k", "3", COUNT, "The k of the top-k accuracy metric."),
    optional(
        "balance_multiclass_weights",
        "false",
        Kind::Bool,
        "Gives every class the same say in the loss.",
    ),
    optional("beta_1", "auto", AUTO_DECAY, "Decay of adam's first moment; auto is 0.9."),
    optional("beta_2", "auto", AUTO_DECAY, "Decay of adam's second moment; auto is 0.999."),
    optional("bias_lr_mult", "auto", AUTO_POSITIVE, "Learning rate of the bias, as a multiple; auto is 1."),
    optional(
        "bias_wd_mult",
        "auto",
        AUTO_NOT_NEGATIVE,
        "Weight decay of the bias, as a multiple; auto is 0.",
    ),
    optional(
        "binary_classifier_model_selection_criteria",
        "accuracy",
        Kind::Choice(&[
            "accuracy",
            "f_beta",
            "precision_at_target_recall",
            "recall_at_target_precision",
            "loss_function",
        ]),
        "By which figure on validation data the model and its threshold are chosen.",
    ),
    optional("early_stopping_patience", "3", COUNT, "Passes without improvement before training ends."),
    optional("early_stopping_tolerance", "0.001", POSITIVE, "Relative improvement that counts as one."),
    optional("epochs", "15", COUNT, "Passes over the training data, at most."),
    optional("f_beta", "1.0", POSITIVE, "The beta of the F score."),
    optional("feature_dim", "auto", AUTO_COUNT, "How many features a row has."),
    optional("huber_delta", "1.0", POSITIVE, "Where huber_loss turns from squared to absolute."),
    optional("init_bias", "0.0", Kind::float(f64::NEG_INFINITY, f64::INFINITY), "First value of the bias."),
    optional("init_method", "uniform", Kind::Choice(&["uniform", "normal"]), "How first weights are drawn."),
    optional("init_scale", "0.07", POSITIVE, "Uniform first weights lie between -init_scale and init_scale."),
    optional("init_sigma", "0.01", POSITIVE, "Standard deviation of normal first weights."),
    optional("l1", "auto", AUTO_NOT_NEGATIVE, "L1 regularisation; auto tries several."),
    optional("learning_rate", "auto", AUTO_POSITIVE, "Step size; auto tries several."),
    optional(
        "loss",
        "auto",
        Kind::Choice(&[
            "auto",
            "logistic",
            "hinge_loss",
            "squared_loss",
            "absolute_loss",
            "eps_insensitive_squared_loss",
            "eps_insensitive_absolute_loss",
            "quantile_loss",
            "huber_loss",
            "softmax_loss",
        ]),
        "What is minimised; auto is logistic, softmax_loss or squared_loss by predictor_type.",
    ),
    optional(
        "loss_insensitivity",
        "0.01",
        POSITIVE,
        "Errors below this cost nothing (eps_insensitive losses).",
    ),
    optional(
        "lr_scheduler_factor",
        "auto",
        AUTO_SHARE,
        "The learning rate is multiplied by this; auto is 0.99.",
    ),
    optional(
        "lr_scheduler_minimum_lr",
        "auto",
        AUTO_POSITIVE,
        "The learning rate stays above; auto is 1e-5.",
    ),
    optional("lr_scheduler_step", "auto", AUTO_COUNT, "Steps between two reductions; auto is 100."),
    optional("margin", "1.0", POSITIVE, "The margin of hinge_loss."),
    optional("mini_batch_size", "1000", COUNT, "Rows of one gradient step."),
    optional("momentum", "auto", AUTO_DECAY, "Momentum of sgd; auto is 0.9."),
    optional("normalize_data", "true", AUTO_BOOL, "Scales every feature to standard deviation 1."),
    optional("normalize_label", "auto", AUTO_BOOL, "Scales the label likewise; auto is true for regression."),
    optional(
        "num_calibration_samples",
        "auto",
        AUTO_COUNT,
        "Validation rows from which the threshold is found.",
    ),
    optional("num_models", "auto", AUTO_COUNT, "Models trained side by side; auto is 32."),
    optional("num_point_for_scaler", "10000", COUNT, "Rows from which mean and deviation are taken."),
    optional(
        "optimizer",
        "auto",
        Kind::Choice(&["auto", "sgd", "adam", "rmsprop", "adagrad"]),
        "The method of training; auto takes second-order passes where they are cheap, else adam.",
    ),
    optional(
        "positive_example_weight_mult",
        "1.0",
        Kind::Or(&["balanced", "auto"], &POSITIVE),
        "Weight of positive examples; balanced gives both classes the same say.",
    ),
    optional("quantile", "0.5", SHARE, "The quantile that quantile_loss estimates."),
    optional("target_precision", "0.8", SHARE, "Used by recall_at_target_precision."),
    optional("target_recall", "0.8", SHARE, "Used by precision_at_target_recall."),
    optional("unbias_data", "auto", AUTO_BOOL, "Shifts every feature to mean 0; auto is true."),
    optional("unbias_label", "auto", AUTO_BOOL, "Shifts the label likewise; auto is true for regression."),
    optional("use_bias", "true", Kind::Bool, "Whether the model has a bias."),
    optional("use_lr_scheduler", "true", Kind::Bool, "Whether the learning rate falls with time."),
    optional("wd", "auto", AUTO_NOT_NEGATIVE, "L2 regularisation (weight decay); auto tries several."),
    optional(
        "_tuning_objective_metric",
        "",
        Kind::Text,
        "Set by tuning jobs; training then keeps to one model.",
    ),
];

const fn metric(name: &'static str, maximize: bool, regex: &'static str) -> Metric {
    Metric { name, maximize, regex }
}

static METRICS: &[Metric] = &[
    metric(
        "train:objective_loss",
        false,
        r"#quality_metric: host=\S+, epoch=\S+, train \S+_objective <loss>=(\S+)",
    ),
    metric("train:progress", true, r"#progress_metric: host=\S+, completed (\S+) % of epochs"),
    metric("train:throughput", true, r"#throughput_metric: host=\S+, train throughput=(\S+) records/second"),
    metric(
        "validation:objective_loss",
        false,
        r"#quality_metric: host=\S+, (?:epoch=\S+, )?validation \S+_objective <loss>=(\S+)",
    ),
    metric(
        "validation:absolute_loss",
        false,
        r"#quality_metric: host=\S+, validation absolute_loss <loss>=(\S+)",
    ),
    metric("validation:mse", false, r"#quality_metric: host=\S+, validation mse <loss>=(\S+)"),
    metric("validation:rmse", false, r"#quality_metric: host=\S+, validation rmse <loss>=(\S+)"),
    metric(
        "validation:binary_classification_accuracy",
        true,
        r"#quality_metric: host=\S+, validation binary_classification_accuracy <score>=(\S+)",
    ),
    metric(
        "validation:binary_f_beta",
        true,
        r"#quality_metric: host=\S+, validation binary_f_\S+ <score>=(\S+)",
    ),
    metric("validation:precision", true, r"#quality_metric: host=\S+, validation precision <score>=(\S+)"),
    metric("validation:recall", true, r"#quality_metric: host=\S+, validation recall <score>=(\S+)"),
    metric(
        "validation:roc_auc_score",
        true,
        r"#quality_metric: host=\S+, validation roc_auc_score <score>=(\S+)",
    ),
    metric(
        "validation:multiclass_accuracy",
        true,
        r"#quality_metric: host=\S+, validation multiclass_accuracy <score>=(\S+)",
    ),
    metric(
        "validation:multiclass_top_k_accuracy",
        true,
        r"#quality_metric: host=\S+, validation multiclass_top_k_accuracy_\S+ <score>=(\S+)",
    ),
    metric("validation:dcg", true, r"#quality_metric: host=\S+, validation dcg <score>=(\S+)"),
    metric(
        "validation:macro_recall",
        true,
        r"#quality_metric: host=\S+, validation macro_recall <score>=(\S+)",
    ),
    metric(
        "validation:macro_precision",
        true,
        r"#quality_metric: host=\S+, validation macro_precision <score>=(\S+)",
    ),
    metric(
        "validation:macro_f_beta",
        true,
        r"#quality_metric: host=\S+, validation macro_f_\S+ <score>=(\S+)",
    ),
    metric("test:objective_loss", false, r"#quality_metric: host=\S+, test \S+_objective <loss>=(\S+)"),
    metric("test:absolute_loss", false, r"#quality_metric: host=\S+, test absolute_loss <loss>=(\S+)"),
    metric("test:mse", false, r"#quality_metric: host=\S+, test mse <loss>=(\S+)"),
    metric("test:rmse", false, r"#quality_metric: host=\S+, test rmse <loss>=(\S+)"),
    metric(
        "test:binary_classification_accuracy",
        true,
        r"#quality_metric: host=\S+, test binary_classification_accuracy <score>=(\S+)",
    ),
    metric("test:binary_f_beta", true, r"#quality_metric: host=\S+, test binary_f_\S+ <score>=(\S+)"),
    metric("test:precision", true, r"#quality_metric: host=\S+, test precision <score>=(\S+)"),
    metric("test:recall", true, r"#quality_metric: host=\S+, test recall <score>=(\S+)"),
    metric("test:roc_auc_score", true, r"#quality_metric: host=\S+, test roc_auc_score <score>=(\S+)"),
    metric(
        "test:multiclass_accuracy",
        true,
        r"#quality_metric: host=\S+, test multiclass_accuracy <score>=(\S+)",
    ),
    metric(
        "test:multiclass_top_k_accuracy",
        true,
        r"#quality_metric: host=\S+, test multiclass_top_k_accuracy_\S+ <score>=(\S+)",
    ),
    metric("test:dcg", true, r"#quality_metric: host=\S+, test dcg <score>=(\S+)"),
    metric("test:macro_recall", true, r"#quality_metric: host=\S+, test macro_recall <score>=(\S+)"),
    metric("test:macro_precision", true, r"#quality_metric: host=\S+, test macro_precision <score>=(\S+)"),
    metric("test:macro_f_beta", true, r"#quality_metric: host=\S+, test macro_f_\S+ <score>=(\S+)"),
];
