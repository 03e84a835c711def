//! What training minimises: value, slope and curvature of each loss at one row.

/// Losses of a row with score `z` and label `y`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Half the squared error, so that its curvature is 1.
    Squared,
    Absolute,
    EpsSquared(f64),
    EpsAbsolute(f64),
    Quantile(f64),
    Huber(f64),
    /// Labels 0 and 1.
    Logistic,
    /// Labels 0 and 1; the parameter is the margin.
    Hinge(f64),
    /// Labels are class numbers; one score a class.
    Softmax,
}

impl Loss {
    /// The name under which AWS's log lines report it (`..._objective`).
    pub fn objective(self) -> &'static str {
        match self {
            Self::Squared => "mse_objective",
            Self::Absolute => "absolute_loss_objective",
            Self::EpsSquared(_) => "eps_insensitive_squared_loss_objective",
            Self::EpsAbsolute(_) => "eps_insensitive_absolute_loss_objective",
            Self::Quantile(_) => "quantile_loss_objective",
            Self::Huber(_) => "huber_loss_objective",
            Self::Logistic => "binary_classification_cross_entropy_objective",
            Self::Hinge(_) => "hinge_loss_objective",
            Self::Softmax => "multiclass_cross_entropy_objective",
        }
    }

    /// Whether curvature leads to the best weights in a few passes.
    pub fn is_smooth(self) -> bool {
        matches!(self, Self::Squared | Self::Logistic | Self::Softmax)
    }

    /// The value of a sum of losses as log lines give it, per row.
    pub fn reported(self, mean: f64) -> f64 {
        // The squared loss is reported as the mean squared error.
        if self == Self::Squared { 2.0 * mean } else { mean }
    }

    /// Value and slope by the score. Not for [`Loss::Softmax`].
    #[inline]
    pub fn at(self, z: f64, y: f64) -> (f64, f64) {
        let error = z - y;
        match self {
            Self::Squared => (0.5 * error * error, error),
            Self::Absolute => (error.abs(), sign(error)),
            Self::EpsSquared(eps) => {
                let beyond = (error.abs() - eps).max(0.0);
                (beyond * beyond, 2.0 * beyond * sign(error))
            }
            Self::EpsAbsolute(eps) => {
                let beyond = error.abs() - eps;
                if beyond > 0.0 { (beyond, sign(error)) } else { (0.0, 0.0) }
            }
            Self::Quantile(quantile) => {
                if error > 0.0 {
                    ((1.0 - quantile) * error, 1.0 - quantile)
                } else {
                    (-quantile * error, if error < 0.0 { -quantile } else { 0.0 })
                }
            }
            Self::Huber(delta) => {
                if error.abs() <= delta {
                    (0.5 * error * error, error)
                } else {
                    (delta * (error.abs() - 0.5 * delta), delta * sign(error))
                }
            }
            Self::Logistic => {
                let p = sigmoid(z);
                (softplus(z) - y * z, p - y)
            }
            Self::Hinge(margin) => {
                let side = 2.0 * y - 1.0;
                let short = margin - side * z;
                if short > 0.0 { (short, -side) } else { (0.0, 0.0) }
            }
            // Several scores; see `softmax`.
            Self::Softmax => (0.0, 0.0),
        }
    }
}

fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        0.0
    }
}

pub fn sigmoid(z: f64) -> f64 {
    // The exponential of a negative number cannot overflow.
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// log(1 + exp(z))
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Turns scores into probabilities in place; gives the loss for class `label`.
pub fn softmax(scores: &mut [f64], label: usize) -> f64 {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = scores.get(label).copied().unwrap_or(0.0);
    let mut total = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        total += *score;
    }
    scores.iter_mut().for_each(|score| *score /= total);
    total.ln() + largest - own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_the_derivatives_of_the_values() {
        let losses = [
            Loss::Squared,
            Loss::Absolute,
            Loss::EpsSquared(0.1),
            Loss::EpsAbsolute(0.1),
            Loss::Quantile(0.3),
            Loss::Huber(0.7),
            Loss::Logistic,
            Loss::Hinge(1.0),
        ];
        for loss in losses {
            for z in [-3.1, -0.83, 0.02, 0.47, 2.9] {
                for y in [0.0, 1.0] {
                    let step = 1e-6;
                    let numeric = (loss.at(z + step, y).0 - loss.at(z - step, y).0) / (2.0 * step);
                    let (_, slope) = loss.at(z, y);
                    assert!((slope - numeric).abs() < 1e-4, "{loss:?} at {z}, {y}: {slope} {numeric}");
                }
            }
        }
    }

    #[test]
    fn extreme_scores_stay_finite() {
        for z in [-1e6, -800.0, 800.0, 1e6] {
            let (value, slope) = Loss::Logistic.at(z, 1.0);
            assert!(value.is_finite() && slope.is_finite());
        }
        let mut scores = [1e6, 0.0, -1e6];
        assert_eq!(softmax(&mut scores, 0), 0.0);
        assert_eq!(scores, [1.0, 0.0, 0.0]);
        let mut scores = [0.0, 0.0];
        assert!((softmax(&mut scores, 1) - 2f64.ln()).abs() < 1e-15);
    }
}
