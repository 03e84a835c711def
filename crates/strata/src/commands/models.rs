//! `strata models`.

use super::shelf::Kind;

pub const MODELS: Kind = Kind {
    noun: "Model",
    columns: &[("ModelName", "NAME"), ("CreationTime", "CREATED (UTC)")],
    stop: "a model does not run, so there is nothing to stop; \"strata models rm\" removes it",
};
