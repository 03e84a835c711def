//! Which algorithms exist.

use crate::{Algorithm, linear_learner, xgboost};

/// Every built-in algorithm, in alphabetical order; one line each.
pub static ALGORITHMS: &[&dyn Algorithm] = &[&linear_learner::LinearLearner, &xgboost::XGBoost];

/// The algorithm that AWS's image repository of this name holds.
pub fn find(repository: &str) -> Option<&'static dyn Algorithm> {
    ALGORITHMS.iter().copied().find(|algorithm| {
        let card = algorithm.card();
        card.name == repository || card.images.contains(&repository)
    })
}
