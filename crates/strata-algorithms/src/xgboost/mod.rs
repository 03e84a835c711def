//! XGBoost: gradient boosted trees.

pub mod serve;
