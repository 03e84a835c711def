//! `strata models`.

use super::shelf::Kind;

pub const MODELS: Kind =
    Kind { noun: "Model", columns: &[("ModelName", "NAME"), ("CreationTime", "CREATED (UTC)")] };
