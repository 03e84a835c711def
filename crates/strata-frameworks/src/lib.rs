//! Layer 1: framework packages, pinned in `frameworks/*.toml`, installed on first use.
//!
//! A package is a wheel of the Python package index: its name, version and SHA-256 are in the
//! source, so that every machine gets the same bytes. `python3 -m pip` fetches it (which honours
//! the user's own index settings), or it is taken from a local folder (`STRATA_WHEELS`) with no
//! network. What is needed of it is unpacked once into a folder that all data folders share.

mod catalogue;
mod error;
mod fetch;
mod shelf;
mod unpack;

use std::path::PathBuf;

pub use catalogue::{Package, Wheel, find, packages};
pub use error::FrameworkError;
pub use shelf::{Shelf, Status};

/// The library of this package, which is installed first where it is missing.
pub fn install(name: &str) -> Result<PathBuf, FrameworkError> {
    Shelf::from_env()?.install(find(name)?)
}

/// Whether the package is installed, without installing it.
pub fn status(name: &str) -> Result<Status, FrameworkError> {
    Ok(Shelf::from_env()?.status(find(name)?))
}
