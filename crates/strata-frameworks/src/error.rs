//! Why a framework package is not there, and what to do.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum FrameworkError {
    #[error("no framework package {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("framework package {package} is not available for {machine}")]
    Unsupported { package: String, machine: String },
    #[error(
        "no folder for framework packages: set STRATA_FRAMEWORKS_DIR to one (HOME and XDG_CACHE_HOME are not set)"
    )]
    NoFolder,
    #[error(
        "framework package {package} is not installed and could not be fetched: {cause}. \
         Install Python with pip (`python3 -m pip --version`), or download {file} elsewhere, \
         put it into a folder and set STRATA_WHEELS to that folder"
    )]
    Fetch { package: String, file: String, cause: String },
    #[error(
        "{path:?} is not the file that was pinned: its SHA-256 is {found}, not {expected}; remove it and try again",
        path = path.display().to_string()
    )]
    Hash { path: PathBuf, found: String, expected: String },
    #[error("{file}: {cause}")]
    Archive { file: String, cause: String },
    #[error("{path:?}: {cause}", path = path.display().to_string())]
    Io { path: PathBuf, cause: io::Error },
}

impl FrameworkError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |cause| Self::Io { path, cause }
    }
}
