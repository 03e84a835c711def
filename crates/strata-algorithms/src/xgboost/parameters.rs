//! The hyperparameters of a job: which go to the library, which are ours, and which do not go
//! together.

use std::collections::BTreeMap;

use super::card::{CARD, OBJECTIVES, WITHOUT_EFFECT};
use super::metrics::OwnMetric;

/// What the container offers that the library computes.
const LIBRARY_METRICS: &[&str] = &[
    "aft-nloglik",
    "auc",
    "aucpr",
    "cox-nloglik",
    "error",
    "gamma-deviance",
    "gamma-nloglik",
    "interval-regression-accuracy",
    "logloss",
    "mae",
    "map",
    "mape",
    "merror",
    "mlogloss",
    "mphe",
    "ndcg",
    "poisson-nloglik",
    "rmse",
    "rmsle",
    "tweedie-nloglik",
];
const TREE_UPDATERS: &[&str] =
    &["grow_colmaker", "grow_histmaker", "grow_quantile_histmaker", "sync", "refresh", "prune"];
const LINEAR_UPDATERS: &[&str] = &["shotgun", "coord_descent"];
const ALIASES: &[(&str, &str)] = &[
    ("eta", "learning_rate"),
    ("gamma", "min_split_loss"),
    ("lambda", "reg_lambda"),
    ("alpha", "reg_alpha"),
];
/// Read here, not by the library.
const OURS: &[&str] = &[
    "_tuning_objective_metric",
    "csv_weights",
    "early_stopping_rounds",
    "eval_metric",
    "nthread",
    "num_round",
    "save_model_on_termination",
];

type Given = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    pub rounds: i32,
    pub objective: Objective,
    /// Measured by the library; its default for the objective where empty.
    pub metrics: Vec<String>,
    /// Measured by us.
    pub own_metrics: Vec<OwnMetric>,
    pub early_stopping: Option<EarlyStopping>,
    /// The second CSV column is the weight.
    pub csv_weights: bool,
    /// A stopped job keeps the model so far.
    pub keep_when_stopped: bool,
    /// Wanted threads.
    pub threads: Option<usize>,
    /// Whether bins are all that training needs of the values.
    pub quantised: bool,
    pub max_bin: i64,
    pub booster: String,
    /// What the library is told.
    pub library: Vec<(String, String)>,
    /// Given, but without effect in this version.
    pub without_effect: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    pub rounds: usize,
    /// The last metric of the validation channel where absent.
    pub metric: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objective {
    pub name: String,
    /// For multi:softmax and multi:softprob.
    pub classes: usize,
}

impl Objective {
    /// What is wrong with a label; `None` when nothing is.
    pub fn problem(&self, label: f32) -> Option<String> {
        let range = match self.name.as_str() {
            "binary:logistic" | "binary:logitraw" | "reg:logistic" if !(0.0..=1.0).contains(&label) => {
                "in [0, 1]"
            }
            "binary:hinge" | "rank:map" if label != 0.0 && label != 1.0 => "0 or 1",
            "count:poisson" | "reg:tweedie" if label < 0.0 => "0 or more",
            "rank:ndcg" | "rank:pairwise" if label < 0.0 => "0 or more",
            "reg:gamma" if label <= 0.0 => "more than 0",
            "reg:squaredlogerror" if label <= -1.0 => "more than -1",
            "multi:softmax" | "multi:softprob"
                if label < 0.0 || label >= self.classes as f32 || label.fract() != 0.0 =>
            {
                return Some(format!(
                    "label {label} is not one of the classes 0 to {} that num_class={} of objective {} means",
                    self.classes - 1,
                    self.classes,
                    self.name
                ));
            }
            _ => return None,
        };
        Some(format!("label {label} is not {range}, which objective {} needs", self.name))
    }

    fn is_multi(&self) -> bool {
        self.name.starts_with("multi:")
    }

    fn is_ranking(&self) -> bool {
        self.name.starts_with("rank:")
    }

    fn is_classification(&self) -> bool {
        self.is_multi() || self.name.starts_with("binary:") || self.name == "reg:logistic"
    }
}

/// Everything that is wrong with these hyperparameters, one sentence a problem.
pub fn problems(given: &Given) -> Vec<String> {
    if given.get("tree_method").is_some_and(|method| method.trim() == "gpu_hist") {
        let sentence = "Value gpu_hist of hyperparameter tree_method needs a GPU, which built-in training does \
                        not use; give hist, which finds the same splits";
        let mut rest = given.clone();
        rest.remove("tree_method");
        return std::iter::once(sentence.to_owned()).chain(problems(&rest)).collect();
    }
    let mut problems = CARD.problems(given);
    if problems.is_empty() {
        problems.extend(contradictions(given));
    }
    problems
}

/// Values that are good alone and do not go together.
fn contradictions(given: &Given) -> Vec<String> {
    let value = |name: &str| given.get(name).map(|value| value.trim());
    let mut problems = Vec::new();
    for (name, alias) in ALIASES {
        if given.contains_key(*name) && given.contains_key(*alias) {
            problems.push(format!("Hyperparameters {name} and {alias} are the same; give one of them"));
        }
    }
    let objective = objective(given);
    let booster = value("booster").unwrap_or("gbtree");
    match (objective.is_multi(), value("num_class")) {
        (true, None) => problems.push(format!(
            "Hyperparameter num_class is required for objective {}: the number of classes",
            objective.name
        )),
        (false, Some(_)) => problems.push(format!(
            "Hyperparameter num_class is for objectives multi:softmax and multi:softprob; leave it out for {}",
            objective.name
        )),
        _ => {}
    }
    for metric in metric_names(given) {
        problems.extend(metric_problem(&metric, &objective));
    }
    if let Some(updater) = value("updater") {
        problems.extend(updater_problem(updater, booster, value("process_type") == Some("update")));
    }
    let list = value("interaction_constraints");
    if list.is_some_and(|list| serde_json::from_str::<Vec<Vec<u32>>>(list).is_err()) {
        problems.push(
            "Hyperparameter interaction_constraints is not a list of lists of feature numbers, like [[0,1],[2,3]]"
                .to_owned(),
        );
    }
    if value("monotone_constraints").is_some_and(|tuple| !is_direction_tuple(tuple)) {
        problems.push(
            "Hyperparameter monotone_constraints is not a tuple of -1, 0 and 1, like (1,0,-1)".to_owned(),
        );
    }
    problems
}

fn metric_problem(metric: &str, objective: &Objective) -> Option<String> {
    let told = |sentence: &str| Some(format!("Metric '{metric}' {sentence}"));
    let (name, threshold) = match metric.split_once('@') {
        Some((name, threshold)) => (name, Some(threshold)),
        None => (metric, None),
    };
    if let Some(threshold) = threshold {
        if !matches!(name, "error" | "ndcg" | "map") {
            return told("takes no threshold; only error, ndcg and map do, like error@0.7");
        }
        if threshold.trim_end_matches('-').parse::<f32>().is_err() {
            return told(&format!("has a threshold that is not a number; write it like {name}@2"));
        }
    }
    if let Some(own) = OwnMetric::named(name) {
        if own.needs_classes() && !objective.is_classification() {
            return told("can only be applied for classification problems");
        }
        if own.is_binary() && objective.is_multi() {
            return told("is for two classes; take the one that ends with _macro");
        }
        if !own.needs_classes() && objective.name == "multi:softprob" {
            return told("needs one prediction a row, and objective multi:softprob gives one a class");
        }
        return None;
    }
    if !LIBRARY_METRICS.contains(&name) {
        let own = OwnMetric::NAMES.iter().map(|(name, _)| *name);
        let mut known: Vec<_> = LIBRARY_METRICS.iter().copied().chain(own).collect();
        known.sort_unstable();
        return told(&format!("is not one of {}", known.join(", ")));
    }
    match name {
        "auc" | "aucpr" if !objective.is_classification() && !objective.is_ranking() => {
            told("can only be applied for classification and ranking problems")
        }
        "merror" | "mlogloss" if !objective.is_multi() => {
            told("is for objectives multi:softmax and multi:softprob")
        }
        "error" | "logloss" if objective.is_multi() => told(&format!("is for two classes; take m{name}")),
        "aft-nloglik" | "interval-regression-accuracy" if objective.name != "survival:aft" => {
            told("can only be applied for objective survival:aft")
        }
        _ => None,
    }
}

fn updater_problem(updater: &str, booster: &str, updating: bool) -> Option<String> {
    let names: Vec<&str> = updater.split(',').map(str::trim).collect();
    let known = match (booster, updating) {
        ("gblinear", _) => LINEAR_UPDATERS,
        (_, true) => &["refresh", "prune"],
        (_, false) => TREE_UPDATERS,
    };
    if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
        return Some(format!("Updater {unknown} is not one of {} (booster {booster})", known.join(", ")));
    }
    let growing =
        names.iter().filter(|name| name.starts_with("grow_") || LINEAR_UPDATERS.contains(*name)).count();
    (growing > 1).then(|| "Hyperparameter updater names more than one way to grow a tree".to_owned())
}

fn is_direction_tuple(tuple: &str) -> bool {
    let inside = tuple.strip_prefix('(').and_then(|tuple| tuple.strip_suffix(')'));
    inside.is_some_and(|inside| {
        inside.trim_end_matches(',').split(',').all(|word| matches!(word.trim(), "-1" | "0" | "1"))
    })
}

fn objective(given: &Given) -> Objective {
    let name = match given.get("objective").map(|name| name.trim()) {
        // the old name of the same
        None | Some("reg:linear") => OBJECTIVES.first().copied().unwrap_or_default(),
        Some(name) => name,
    };
    let classes = given.get("num_class").and_then(|classes| classes.trim().parse().ok()).unwrap_or(1);
    Objective { name: name.to_owned(), classes }
}

/// The metrics to print, in the order given; the one that tuning looks at comes last.
fn metric_names(given: &Given) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        let name = name.trim().to_owned();
        if !name.is_empty() {
            names.retain(|known| *known != name);
            names.push(name);
        }
    };
    let list = given.get("eval_metric").map(|list| list.trim_matches(['[', ']'])).unwrap_or_default();
    list.split(',').map(|name| name.trim().trim_matches(['\'', '"'])).for_each(&mut add);
    if let Some(tuning) = given.get("_tuning_objective_metric") {
        // `validation:auc`
        add(tuning.rsplit(':').next().unwrap_or_default());
    }
    names
}

impl Parameters {
    /// Of hyperparameters that have no problems.
    pub fn new(given: &Given) -> Self {
        let value = |name: &str| given.get(name).map(|value| value.trim());
        let number = |name: &str| value(name).and_then(|value| value.parse::<i64>().ok());
        let objective = objective(given);
        let names = metric_names(given);
        let early_stopping = number("early_stopping_rounds")
            .map(|rounds| EarlyStopping { rounds: rounds.max(1) as usize, metric: names.last().cloned() });
        let (own, metrics): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| OwnMetric::named(name).is_some());
        let booster = value("booster").unwrap_or("gbtree").to_owned();
        let quantised = booster != "gblinear"
            && matches!(value("tree_method").unwrap_or("auto"), "auto" | "hist")
            && matches!(value("updater"), None | Some("grow_quantile_histmaker"))
            && value("process_type") != Some("update");
        let mut library = vec![("objective".to_owned(), objective.name.clone())];
        library.extend(
            given
                .iter()
                .map(|(name, value)| (name.as_str(), value.trim()))
                .filter(|(name, _)| {
                    *name != "objective" && !OURS.contains(name) && !WITHOUT_EFFECT.contains(name)
                })
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Self {
            rounds: number("num_round").and_then(|rounds| i32::try_from(rounds).ok()).unwrap_or(1),
            metrics,
            own_metrics: own.iter().filter_map(|name| OwnMetric::named(name)).collect(),
            early_stopping,
            csv_weights: value("csv_weights") == Some("1"),
            keep_when_stopped: value("save_model_on_termination") != Some("false"),
            threads: number("nthread").and_then(|threads| usize::try_from(threads).ok()),
            quantised,
            max_bin: number("max_bin").unwrap_or(256),
            booster,
            library,
            without_effect: WITHOUT_EFFECT.iter().copied().filter(|name| given.contains_key(*name)).collect(),
            objective,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &str) -> Given {
        let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        words.split_whitespace().filter_map(pair).collect()
    }

    #[track_caller]
    fn check(words: &str, expected: &str) {
        assert_eq!(problems(&given(&format!("num_round=5 {words}"))).join("\n"), expected);
    }

    #[test]
    fn what_sample_notebooks_give_is_good() {
        check("max_depth=5 eta=0.2 gamma=4 min_child_weight=6 subsample=0.8 objective=reg:squarederror", "");
        check("max_depth=5 eta=0.2 objective=binary:logistic eval_metric=auc,logloss,error@0.7,f1", "");
        check("objective=multi:softmax num_class=3 eval_metric=merror,accuracy,f1_macro", "");
        check("objective=rank:pairwise eval_metric=ndcg@5-,map", "");
        check("booster=gblinear updater=coord_descent lambda_bias=0.5", "");
        check("booster=dart rate_drop=0.1 sketch_eps=0.03 single_precision_histogram=true", "");
        check("tree_method=hist monotone_constraints=(1,-1,0) interaction_constraints=[[0,1],[2]]", "");
        check(
            "verbosity=2 seed=-7 save_model_on_termination=true _tuning_objective_metric=validation:rmse",
            "",
        );
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        check(
            "objective=multi:softmax",
            "Hyperparameter num_class is required for objective multi:softmax: the number of classes",
        );
        check(
            "num_class=3",
            "Hyperparameter num_class is for objectives multi:softmax and multi:softprob; leave it out for reg:squarederror",
        );
        check(
            "eta=0.1 learning_rate=0.1",
            "Hyperparameters eta and learning_rate are the same; give one of them",
        );
        check("eval_metric=auc", "Metric 'auc' can only be applied for classification and ranking problems");
        check("eval_metric=accuracy", "Metric 'accuracy' can only be applied for classification problems");
        check(
            "eval_metric=rmse@3",
            "Metric 'rmse@3' takes no threshold; only error, ndcg and map do, like error@0.7",
        );
        check(
            "objective=binary:logistic eval_metric=error@x",
            "Metric 'error@x' has a threshold that is not a number; write it like error@2",
        );
        check(
            "objective=multi:softmax num_class=3 eval_metric=f1_binary",
            "Metric 'f1_binary' is for two classes; take the one that ends with _macro",
        );
        check(
            "updater=grow_skmaker",
            "Updater grow_skmaker is not one of grow_colmaker, grow_histmaker, grow_quantile_histmaker, sync, refresh, prune (booster gbtree)",
        );
        check(
            "updater=grow_colmaker,grow_histmaker",
            "Hyperparameter updater names more than one way to grow a tree",
        );
        check(
            "booster=gblinear updater=prune",
            "Updater prune is not one of shotgun, coord_descent (booster gblinear)",
        );
        check(
            "monotone_constraints=1,2",
            "Hyperparameter monotone_constraints is not a tuple of -1, 0 and 1, like (1,0,-1)",
        );
        assert!(
            problems(&given("num_round=5 eval_metric=speed"))
                .concat()
                .starts_with("Metric 'speed' is not one of accuracy, ")
        );
        assert!(problems(&given("num_round=5 tree_method=gpu_hist")).concat().contains("needs a GPU"));
    }

    #[test]
    fn the_library_is_told_what_is_its_own() {
        let words = "num_round=7 eta=0.1 objective=reg:linear csv_weights=1 nthread=4 sketch_eps=0.1 \
                     eval_metric=mae,accuracy,rmse early_stopping_rounds=3 _tuning_objective_metric=validation:mae";
        let parameters = Parameters::new(&given(words));
        let library: Vec<_> =
            parameters.library.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(library.join(" "), "objective=reg:squarederror eta=0.1");
        assert_eq!(parameters.metrics, ["rmse", "mae"]);
        assert_eq!(parameters.early_stopping, Some(EarlyStopping { rounds: 3, metric: Some("mae".into()) }));
        assert_eq!(parameters.without_effect, ["sketch_eps"]);
        assert_eq!((parameters.rounds, parameters.csv_weights, parameters.threads), (7, true, Some(4)));
        assert!(parameters.quantised);
        assert!(!Parameters::new(&given("tree_method=exact")).quantised);
    }

    #[test]
    fn labels_are_checked_against_the_objective() {
        let problem = |name: &str, classes, label| Objective { name: name.into(), classes }.problem(label);
        assert_eq!(problem("reg:squarederror", 1, -5.0), None);
        assert_eq!(problem("binary:logistic", 1, 0.5), None);
        assert_eq!(
            problem("binary:logistic", 1, 2.0).unwrap(),
            "label 2 is not in [0, 1], which objective binary:logistic needs"
        );
        assert_eq!(problem("multi:softmax", 3, 2.0), None);
        for label in [3.0, -1.0, 1.5] {
            assert!(problem("multi:softmax", 3, label).unwrap().contains("classes 0 to 2"));
        }
        assert!(problem("count:poisson", 1, -1.0).is_some());
        assert!(problem("reg:gamma", 1, 0.0).is_some());
    }

    /// Every metric that the card lists can be asked for.
    #[test]
    fn card_and_metrics_agree() {
        for metric in CARD.metrics {
            let name = metric.name.split_once(':').unwrap().1;
            assert!(LIBRARY_METRICS.contains(&name) != OwnMetric::named(name).is_some(), "{name}");
        }
        assert_eq!(CARD.metrics.len(), 2 * (LIBRARY_METRICS.len() + OwnMetric::NAMES.len()));
    }
}
