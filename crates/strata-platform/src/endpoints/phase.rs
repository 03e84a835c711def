//! The states of an endpoint and how they change: pure functions over what is recorded.
//!
//! AWS's `RollingBack` and `Deleting` never show here: going back needs nothing, since the
//! old variants never stopped serving, and a deletion is one transaction.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strata_base::Timestamp;

use crate::models::Container;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The first variants are being loaded.
    Creating,
    InService,
    /// New variants are being loaded; the old ones, if any, serve on.
    Updating,
    /// It served once, but its models could not be loaded again after a restart.
    OutOfService,
    /// Its first variants could not be loaded.
    Failed,
}

impl Phase {
    /// AWS's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::InService => "InService",
            Self::Updating => "Updating",
            Self::OutOfService => "OutOfService",
            Self::Failed => "Failed",
        }
    }

    /// Whether work goes on that ends by itself.
    pub fn in_progress(self) -> bool {
        matches!(self, Self::Creating | Self::Updating)
    }
}

/// One set of variants, complete: models and configurations may be deleted or made anew
/// under the same name while an endpoint goes on with what it was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Name of the endpoint configuration.
    pub config: String,
    pub asked: Timestamp,
    pub variants: Vec<Variant>,
    /// The `DeploymentConfig` it was asked with.
    pub policy: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    pub name: String,
    pub model: String,
    pub container: Container,
    pub weight: f64,
    pub instances: u32,
    pub instance_type: String,
    /// Most seconds that loading may take.
    pub patience: u64,
}

/// All that is recorded of an endpoint beside what the caller said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub phase: Phase,
    /// What answers requests, or would.
    pub serving: Option<Deployment>,
    /// What is being loaded to take over.
    pub pending: Option<Deployment>,
    /// Where a failed update goes back to.
    pub before: Option<Phase>,
    /// Why the last thing that failed did.
    pub failure: Option<String>,
}

/// What happens to an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The caller asks for other variants.
    Ask(Deployment),
    /// The pending variants are loaded.
    Ready,
    /// The pending variants cannot be loaded.
    Broken(String),
    /// The caller sets weights and instance counts: name, weight, count.
    Adjust(Vec<(String, Option<f64>, Option<u32>)>),
    /// After a restart, the serving variants cannot be loaded.
    Lost(String),
    /// After a restart, variants that were lost load again.
    Found,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{change} cannot happen to an endpoint that is {}", .phase.word())]
pub struct Illegal {
    pub phase: Phase,
    pub change: &'static str,
}

impl State {
    pub fn created(pending: Deployment) -> Self {
        Self { phase: Phase::Creating, serving: None, pending: Some(pending), before: None, failure: None }
    }

    pub fn next(&self, change: Change) -> Result<Self, Illegal> {
        let illegal = |change| Err(Illegal { phase: self.phase, change });
        let mut next = self.clone();
        match (self.phase, change) {
            (Phase::InService | Phase::OutOfService | Phase::Failed, Change::Ask(deployment)) => {
                next.before = Some(self.phase);
                next.pending = Some(deployment);
                next.phase = Phase::Updating;
            }
            (Phase::Creating | Phase::Updating, Change::Ready) => {
                next = Self {
                    phase: Phase::InService,
                    serving: next.pending.take(),
                    pending: None,
                    before: None,
                    failure: None,
                };
            }
            (Phase::Creating, Change::Broken(reason)) => {
                next.phase = Phase::Failed;
                next.failure = Some(reason);
            }
            (Phase::Updating, Change::Broken(reason)) => {
                next.phase = next.before.take().unwrap_or(Phase::Failed);
                // Where nothing served before, Describe goes on to show what was tried.
                if next.serving.is_some() {
                    next.pending = None;
                }
                next.failure = Some(reason);
            }
            (Phase::InService, Change::Adjust(changes)) => {
                for (name, weight, instances) in changes {
                    let variants = next.serving.iter_mut().flat_map(|serving| &mut serving.variants);
                    for variant in variants.filter(|variant| variant.name == name) {
                        variant.weight = weight.unwrap_or(variant.weight);
                        variant.instances = instances.unwrap_or(variant.instances);
                    }
                }
            }
            (Phase::InService, Change::Lost(reason)) => {
                next.phase = Phase::OutOfService;
                next.failure = Some(reason);
            }
            // The update goes on; should it fail, there is nothing to go back to.
            (Phase::Updating, Change::Lost(_)) if self.before == Some(Phase::InService) => {
                next.before = Some(Phase::OutOfService);
            }
            (Phase::OutOfService, Change::Found) => {
                next.phase = Phase::InService;
                next.failure = None;
            }
            (_, Change::Ask(_)) => return illegal("an update"),
            (_, Change::Ready) => return illegal("the end of loading"),
            (_, Change::Broken(_)) => return illegal("a failure to load"),
            (_, Change::Adjust(_)) => return illegal("a change of weights"),
            (_, Change::Lost(_)) => return illegal("the loss of its models"),
            (_, Change::Found) => return illegal("the return of its models"),
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deployment(config: &str) -> Deployment {
        let container = Container { image: "toy".into(), data: None, environment: Default::default() };
        let variant = Variant {
            name: "v".into(),
            model: "m".into(),
            container,
            weight: 1.0,
            instances: 1,
            instance_type: "ml.m5.large".into(),
            patience: 60,
        };
        Deployment { config: config.into(), asked: Timestamp(0), variants: vec![variant], policy: None }
    }

    fn change(word: &str) -> Change {
        match word {
            "ready" => Change::Ready,
            "broken" => Change::Broken("bad".into()),
            "adjust" => Change::Adjust(vec![("v".into(), Some(2.0), None)]),
            "lost" => Change::Lost("gone".into()),
            "found" => Change::Found,
            config => Change::Ask(deployment(config)),
        }
    }

    /// Follows the words from `CREATE a`; says where that leads.
    fn check(words: &str, expected: &str) {
        let mut state = State::created(deployment("a"));
        for word in words.split_whitespace() {
            state = state.next(change(word)).unwrap();
        }
        let config = state.serving.map_or("nothing".into(), |serving| serving.config);
        let failure = state.failure.map_or(String::new(), |failure| format!(" ({failure})"));
        assert_eq!(format!("{} {config}{failure}", state.phase.word()), expected, "{words}");
    }

    #[test]
    fn ways_of_an_endpoint() {
        check("", "Creating nothing");
        check("ready", "InService a");
        check("broken", "Failed nothing (bad)");
        check("ready b", "Updating a");
        check("ready b ready", "InService b");
        check("ready b broken", "InService a (bad)");
        check("ready b broken c ready", "InService c");
        check("broken b ready", "InService b");
        check("broken b broken", "Failed nothing (bad)");
        check("ready lost", "OutOfService a (gone)");
        check("ready lost found", "InService a");
        check("ready lost b broken", "OutOfService a (bad)");
        check("ready b lost broken", "OutOfService a (bad)");
        check("ready b lost ready", "InService b");
        check("ready adjust", "InService a");
    }

    proptest! {
        #[test]
        fn every_state_keeps_its_promise(
            words in prop::collection::vec(
                prop::sample::select(vec!["ready", "broken", "adjust", "lost", "found", "b", "c"]), 0..30),
        ) {
            let mut state = State::created(deployment("a"));
            for word in words {
                if let Ok(next) = state.next(change(word)) {
                    state = next;
                }
                let (serving, pending) = (state.serving.is_some(), state.pending.is_some());
                match state.phase {
                    Phase::Creating => prop_assert!(!serving && pending),
                    Phase::InService => prop_assert!(serving && !pending),
                    Phase::Updating => prop_assert!(pending && state.before.is_some()),
                    Phase::OutOfService => prop_assert!(serving && !pending && state.failure.is_some()),
                    Phase::Failed => prop_assert!(!serving && state.failure.is_some()),
                }
            }
        }
    }
}
