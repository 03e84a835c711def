//! One exam a port: what every implementer must do, run on each of them.
//! An exam panics at the first broken promise, as a test does.

mod metadata;

pub use metadata::metadata;
