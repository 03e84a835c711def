//! The contract of XGBoost: AWS's image `sagemaker-xgboost`.

use crate::card::{Card, ChannelCard, Hyperparameter, Kind, Metric};

const INF: f64 = f64::INFINITY;
const MANY: i64 = i64::MAX;
const SHARE: Kind = Kind::float(0.0, 1.0);
/// A share that is not nothing.
const SOME: Kind = Kind::Float { min: 0.0, max: 1.0, min_open: true, max_open: false };
const POSITIVE: Kind = Kind::Float { min: 0.0, max: INF, min_open: true, max_open: false };
const AT_LEAST_0: Kind = Kind::float(0.0, INF);
const SWITCH: Kind = Kind::integer(0, 1);
const WORD_BOOL: Kind = Kind::Choice(&["true", "false"]);
const FORMATS: &[&str] = &["text/csv", "text/libsvm", "text/x-libsvm", "csv", "libsvm"];

pub const OBJECTIVES: &[&str] = &[
    "reg:squarederror",
    "reg:linear",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:logistic",
    "reg:gamma",
    "reg:tweedie",
    "binary:logistic",
    "binary:logitraw",
    "binary:hinge",
    "count:poisson",
    "multi:softmax",
    "multi:softprob",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
    "survival:cox",
    "survival:aft",
];

/// Accepted, but without effect in this version of the library.
pub const WITHOUT_EFFECT: &[&str] = &[
    "deterministic_histogram",
    "dsplit",
    "predictor",
    "prob_buffer_row",
    "single_precision_histogram",
    "sketch_eps",
];

/// Each metric of each channel, found in lines like `[0]#011train-rmse:0.5#011validation-rmse:0.6`.
macro_rules! metrics {
    (maximize $($up:literal)* minimize $($down:literal)*) => {
        &[
            $(metrics!("validation", $up, true), metrics!("train", $up, true),)*
            $(metrics!("validation", $down, false), metrics!("train", $down, false),)*
        ]
    };
    ($channel:literal, $name:literal, $maximize:literal) => {
        Metric {
            name: concat!($channel, ":", $name),
            maximize: $maximize,
            // `tweedie-nloglik` is printed with its power: `tweedie-nloglik@1.5`
            // and a number ends where the next `#011` begins.
            regex: concat!(
                r".*\[[0-9]+\].*#011",
                $channel,
                "-",
                $name,
                r"(?:@[^:\s]+)?:([-+]?(?:[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|nan|inf))"
            ),
        }
    };
}

#[rustfmt::skip]
pub static CARD: Card = Card {
    name: "xgboost",
    images: &["sagemaker-xgboost"],
    summary: "Gradient boosted trees for regression, classification and ranking: the XGBoost library itself.",
    hyperparameters: &[
        required("num_round", Kind::integer(1, i32::MAX as i64), "How many rounds of boosting to run."),
        given("num_class", Kind::integer(2, MANY), "How many classes; needed by multi:softmax and multi:softprob."),
        or("_tuning_objective_metric", "", Kind::Text, "The metric that tuning looks at, added to eval_metric."),
        or("aft_loss_distribution", "normal", Kind::Choice(&["normal", "logistic", "extreme"]), "The distribution of survival:aft."),
        or("aft_loss_distribution_scale", "1", AT_LEAST_0, "The scale of that distribution."),
        or("alpha", "0", AT_LEAST_0, "L1 regularisation of leaf weights."),
        given("base_score", AT_LEAST_0, "The first prediction; found from the labels where absent."),
        or("booster", "gbtree", Kind::Choice(&["gbtree", "gblinear", "dart"]), "Trees, a linear model, or trees with dropout."),
        or("colsample_bylevel", "1", SOME, "Share of columns looked at for each level."),
        or("colsample_bynode", "1", SOME, "Share of columns looked at for each split."),
        or("colsample_bytree", "1", SOME, "Share of columns looked at for each tree."),
        or("csv_weights", "0", SWITCH, "1: the second CSV column is the weight of the row."),
        or("deterministic_histogram", "true", WORD_BOOL, "Without effect: histograms on processors are."),
        or("dsplit", "row", Kind::Choice(&["row", "col"]), "Without effect: the training runs on one instance."),
        given("early_stopping_rounds", Kind::integer(1, MANY), "Stops after this many rounds without a better validation score; the best model is kept."),
        or("eta", "0.3", SHARE, "Shrinks each step to prevent overfitting (learning rate)."),
        given("eval_metric", Kind::Text, "What to measure, separated by commas; by objective where absent."),
        or("gamma", "0", AT_LEAST_0, "The least gain for a split."),
        or("grow_policy", "depthwise", Kind::Choice(&["depthwise", "lossguide"]), "Which leaf is split next."),
        given("interaction_constraints", Kind::Text, "Nested lists of features that may meet in a branch: [[0,1],[2,3]]."),
        or("lambda", "1", AT_LEAST_0, "L2 regularisation of leaf weights."),
        or("lambda_bias", "0", SHARE, "L2 regularisation of the bias (gblinear)."),
        given("learning_rate", SHARE, "Another name of eta."),
        or("max_bin", "256", Kind::integer(2, i32::MAX as i64), "Bins a feature is cut into."),
        or("max_delta_step", "0", AT_LEAST_0, "The most a leaf may change; 0 for no limit."),
        or("max_depth", "6", Kind::integer(0, i32::MAX as i64), "The deepest tree; 0 for no limit."),
        or("max_leaves", "0", Kind::integer(0, i32::MAX as i64), "The most leaves of a tree; 0 for no limit."),
        or("min_child_weight", "1", AT_LEAST_0, "The least weight of a leaf."),
        given("min_split_loss", AT_LEAST_0, "Another name of gamma."),
        given("monotone_constraints", Kind::Text, "Direction of each feature: (1,0,-1)."),
        or("normalize_type", "tree", Kind::Choice(&["tree", "forest"]), "How dropped trees weigh (dart)."),
        given("nthread", Kind::integer(1, MANY), "Threads; never more than the instance has."),
        or("num_parallel_tree", "1", Kind::integer(1, i32::MAX as i64), "Trees a round, for random forests."),
        or("objective", "reg:squarederror", Kind::Choice(OBJECTIVES), "What is learnt."),
        or("one_drop", "0", SWITCH, "1: at least one tree is dropped (dart)."),
        given("predictor", Kind::Choice(&["auto", "cpu_predictor", "gpu_predictor"]), "Without effect."),
        given("prob_buffer_row", POSITIVE, "Without effect."),
        or("process_type", "default", Kind::Choice(&["default", "update"]), "Builds trees, or updates those of a checkpoint."),
        or("rate_drop", "0.0", SHARE, "Share of trees to drop (dart)."),
        or("refresh_leaf", "1", SWITCH, "Whether the refresh updater changes leaves too."),
        given("reg_alpha", AT_LEAST_0, "Another name of alpha."),
        given("reg_lambda", AT_LEAST_0, "Another name of lambda."),
        or("sample_type", "uniform", Kind::Choice(&["uniform", "weighted"]), "How trees to drop are chosen (dart)."),
        or("sampling_method", "uniform", Kind::Choice(&["uniform", "gradient_based"]), "How rows are sampled."),
        or("save_model_on_termination", "true", WORD_BOOL, "Whether a stopped job keeps the model so far."),
        or("scale_pos_weight", "1", POSITIVE, "The weight of positive rows."),
        or("seed", "0", Kind::integer(-(1 << 31) + 1, (1 << 31) - 2), "Of all that is random."),
        or("single_precision_histogram", "false", WORD_BOOL, "Without effect."),
        given("sketch_eps", Kind::Float { min: 0.0, max: 1.0, min_open: true, max_open: true }, "Without effect: use max_bin."),
        or("skip_drop", "0.0", SHARE, "How likely no tree is dropped in a round (dart)."),
        or("subsample", "1", SOME, "Share of rows looked at for each tree."),
        or("tree_method", "auto", Kind::Choice(&["auto", "exact", "approx", "hist"]), "How splits are found; auto is hist."),
        or("tweedie_variance_power", "1.5", Kind::Float { min: 1.0, max: 2.0, min_open: true, max_open: true }, "The variance of reg:tweedie."),
        given("updater", Kind::Text, "The steps that build a tree, separated by commas."),
        or("verbosity", "1", Kind::integer(0, 3), "0 silent, 1 warnings, 2 information, 3 everything."),
    ],
    channels: &[
        ChannelCard { name: "train", required: true, content_types: FORMATS },
        ChannelCard { name: "validation", required: false, content_types: FORMATS },
    ],
    metrics: metrics! {
        maximize "accuracy" "auc" "aucpr" "balanced_accuracy" "f1" "f1_binary" "f1_macro" "map" "ndcg" "precision"
            "precision_macro" "precision_micro" "r2" "recall" "recall_macro" "recall_micro"
        minimize "aft-nloglik" "cox-nloglik" "error" "gamma-deviance" "gamma-nloglik"
            "interval-regression-accuracy" "logloss" "mae" "mape" "merror" "mlogloss" "mphe" "mse"
            "poisson-nloglik" "rmse" "rmsle" "tweedie-nloglik"
    },
};

const fn required(name: &'static str, kind: Kind, help: &'static str) -> Hyperparameter {
    Hyperparameter { name, required: true, default: None, kind, help }
}

/// One that is not set where it is not given.
const fn given(name: &'static str, kind: Kind, help: &'static str) -> Hyperparameter {
    Hyperparameter { name, required: false, default: None, kind, help }
}

/// One with a default.
const fn or(name: &'static str, default: &'static str, kind: Kind, help: &'static str) -> Hyperparameter {
    Hyperparameter { name, required: false, default: Some(default), kind, help }
}

#[cfg(test)]
mod tests {
    use super::CARD;

    #[test]
    fn each_metric_of_a_line_is_found() {
        let line = "[12]#011train-logloss:0.25#011train-tweedie-nloglik@1.5:-1e-05#011validation-logloss:nan";
        let found = |name: &str| {
            let metric = CARD.metrics.iter().find(|metric| metric.name == name).unwrap();
            let regex = regex::Regex::new(metric.regex).unwrap();
            regex.captures(line).map(|captures| captures[1].to_string())
        };
        assert_eq!(found("train:logloss").as_deref(), Some("0.25"));
        assert_eq!(found("train:tweedie-nloglik").as_deref(), Some("-1e-05"));
        assert_eq!(found("validation:logloss").as_deref(), Some("nan"));
        assert_eq!(found("validation:rmse"), None);
    }
}
