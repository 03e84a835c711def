//! One exam a port: what every implementer must do, as functions that panic where it does not.
//! Run them on a fresh, empty implementer.

pub mod logs;
pub mod metrics;
