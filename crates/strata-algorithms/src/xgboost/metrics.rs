//! The metrics that AWS's container adds to the library's own, computed from predictions as
//! scikit-learn computes them (rows count alike, whatever their weight).

use super::ffi::Predictions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnMetric {
    Accuracy,
    BalancedAccuracy,
    F1Binary,
    /// Mean over classes.
    F1,
    F1Macro,
    Mse,
    Precision,
    PrecisionMacro,
    PrecisionMicro,
    R2,
    Recall,
    RecallMacro,
    RecallMicro,
}

impl OwnMetric {
    pub const NAMES: &[(&'static str, Self)] = &[
        ("accuracy", Self::Accuracy),
        ("balanced_accuracy", Self::BalancedAccuracy),
        ("f1", Self::F1),
        ("f1_binary", Self::F1Binary),
        ("f1_macro", Self::F1Macro),
        ("mse", Self::Mse),
        ("precision", Self::Precision),
        ("precision_macro", Self::PrecisionMacro),
        ("precision_micro", Self::PrecisionMicro),
        ("r2", Self::R2),
        ("recall", Self::Recall),
        ("recall_macro", Self::RecallMacro),
        ("recall_micro", Self::RecallMicro),
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, metric)| *metric)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| name)
    }

    pub fn needs_classes(self) -> bool {
        !matches!(self, Self::Mse | Self::R2)
    }

    /// Looks at the class 1 of two.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::F1Binary | Self::Precision | Self::Recall)
    }

    /// `threshold` parts the two classes of a single output.
    pub fn value(self, labels: &[f32], predictions: &Predictions, threshold: f32) -> f64 {
        match self {
            Self::Mse => mean_square(labels, &predictions.values),
            Self::R2 => {
                let mean = labels.iter().map(|label| f64::from(*label)).sum::<f64>() / labels.len() as f64;
                let spread = labels.iter().map(|label| (f64::from(*label) - mean).powi(2)).sum::<f64>();
                let left = mean_square(labels, &predictions.values) * labels.len() as f64;
                if spread == 0.0 { f64::from(left == 0.0) } else { 1.0 - left / spread }
            }
            _ => self.of_classes(&Counts::new(labels, predictions, threshold)),
        }
    }

    fn of_classes(self, counts: &Counts) -> f64 {
        let positive = counts.classes.get(1).copied().unwrap_or_default();
        match self {
            // over all classes together these are the same
            Self::Accuracy | Self::PrecisionMicro | Self::RecallMicro => {
                let hits: usize = counts.classes.iter().map(|class| class.hits).sum();
                ratio(hits, counts.rows)
            }
            Self::BalancedAccuracy => {
                mean(counts.classes.iter().filter(|class| class.actual > 0).map(Class::recall))
            }
            Self::F1Binary => positive.f1(),
            Self::Precision => positive.precision(),
            Self::Recall => positive.recall(),
            Self::F1 | Self::F1Macro => mean(counts.present().map(Class::f1)),
            Self::PrecisionMacro => mean(counts.present().map(Class::precision)),
            Self::RecallMacro => mean(counts.present().map(Class::recall)),
            Self::Mse | Self::R2 => f64::NAN,
        }
    }
}

fn mean_square(labels: &[f32], predictions: &[f32]) -> f64 {
    mean(labels.iter().zip(predictions).map(|(label, value)| (f64::from(*label) - f64::from(*value)).powi(2)))
}

/// How often each class was hit, predicted and true.
struct Counts {
    classes: Vec<Class>,
    rows: usize,
}

#[derive(Clone, Copy, Default)]
struct Class {
    hits: usize,
    predicted: usize,
    actual: usize,
}

impl Counts {
    fn new(labels: &[f32], predictions: &Predictions, threshold: f32) -> Self {
        let mut counts =
            Self { classes: vec![Class::default(); 2.max(predictions.outputs)], rows: labels.len() };
        for (label, values) in labels.iter().zip(predictions.values.chunks(predictions.outputs)) {
            let predicted = match values {
                // multi:softmax answers with the class itself, of which there may be many
                [value] if *value > 1.0 && threshold > 0.0 => *value as usize,
                [value] => usize::from(*value > threshold),
                values => most(values),
            };
            let actual = label.round().max(0.0) as usize;
            counts.class(predicted).predicted += 1;
            counts.class(actual).actual += 1;
            if predicted == actual {
                counts.class(actual).hits += 1;
            }
        }
        counts
    }

    fn class(&mut self, class: usize) -> &mut Class {
        if self.classes.len() <= class {
            self.classes.resize(class + 1, Class::default());
        }
        &mut self.classes[class]
    }

    fn present(&self) -> impl Iterator<Item = &Class> {
        self.classes.iter().filter(|class| class.actual + class.predicted > 0)
    }
}

impl Class {
    fn precision(&self) -> f64 {
        ratio(self.hits, self.predicted)
    }

    fn recall(&self) -> f64 {
        ratio(self.hits, self.actual)
    }

    fn f1(&self) -> f64 {
        ratio(2 * self.hits, self.predicted + self.actual)
    }
}

/// The first of the largest.
fn most(values: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if values.get(best).is_some_and(|largest| value > largest) {
            best = at;
        }
    }
    best
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scikit-learn 1.9 for the same labels and predictions.
    #[test]
    fn values_are_those_of_scikit_learn() {
        let labels = [0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 0.0];
        let predicted = [0.0, 2.0, 2.0, 1.0, 1.0, 0.0, 1.0];
        let one_hot = predicted.iter().flat_map(|class| (0..3).map(move |at| f32::from(at as f32 == *class)));
        let expected = [
            ("accuracy", 0.571_428_571_428_571_4),
            ("balanced_accuracy", 0.555_555_555_555_555_5),
            ("f1", 0.566_666_666_666_666_6),
            ("f1_macro", 0.566_666_666_666_666_6),
            ("precision_macro", 0.611_111_111_111_111_2),
            ("precision_micro", 0.571_428_571_428_571_4),
            ("recall_macro", 0.555_555_555_555_555_5),
            ("recall_micro", 0.571_428_571_428_571_4),
        ];
        let shapes = [
            Predictions { values: predicted.to_vec(), outputs: 1 },
            Predictions { values: one_hot.collect(), outputs: 3 },
        ];
        for predictions in shapes {
            for (name, value) in expected {
                let metric = OwnMetric::named(name).unwrap();
                assert!((metric.value(&labels, &predictions, 0.5) - value).abs() < 1e-12, "{name}");
            }
        }
    }

    #[test]
    fn two_classes_are_parted_by_the_threshold() {
        let labels = [0.0, 1.0, 1.0, 0.0, 1.0];
        let predictions = Predictions { values: vec![0.2, 0.9, 0.4, 0.6, 0.7], outputs: 1 };
        let check = |name: &str, value: f64| {
            let metric = OwnMetric::named(name).unwrap();
            assert!((metric.value(&labels, &predictions, 0.5) - value).abs() < 1e-12, "{name}");
        };
        check("accuracy", 0.6);
        check("precision", 2.0 / 3.0);
        check("recall", 2.0 / 3.0);
        check("f1_binary", 2.0 / 3.0);
        check("f1", (2.0 / 3.0 + 0.5) / 2.0);
        let margins = Predictions { values: vec![-0.2, 0.9, -0.4, 0.6, 7.0], outputs: 1 };
        assert!((OwnMetric::Accuracy.value(&labels, &margins, 0.0) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn regression() {
        let labels = [1.0, 2.0, 3.0];
        let predictions = Predictions { values: vec![1.5, 2.0, 2.0], outputs: 1 };
        assert!((OwnMetric::Mse.value(&labels, &predictions, 0.5) - 1.25 / 3.0).abs() < 1e-12);
        assert!((OwnMetric::R2.value(&labels, &predictions, 0.5) - (1.0 - 1.25 / 2.0)).abs() < 1e-12);
    }
}
