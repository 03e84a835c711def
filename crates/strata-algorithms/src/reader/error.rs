//! What can be wrong with a channel, said so that a person finds the cell.

use std::fmt;
use std::io;

use crate::TrainError;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("channel {channel:?} has no folder {folder:?}")]
    Missing { channel: String, folder: String },
    #[error("channel {0:?} has no rows; put at least one file with data under its S3 prefix")]
    Empty(String),
    #[error("channel {channel:?}: content type {given:?} is not one of text/csv, text/libsvm")]
    ContentType { channel: String, given: String },
    #[error("channel {channel:?}: content type {given:?} asks for a label_size that is not 0 or 1")]
    LabelSize { channel: String, given: String },
    #[error("{place}{problem}")]
    Row { place: Place, problem: Problem },
    #[error("channel {channel:?}, file {file:?}: {cause}")]
    File { channel: String, file: String, cause: io::Error },
}

impl From<ReadError> for TrainError {
    fn from(error: ReadError) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let sentence = error.to_string();
        match error {
            ReadError::Missing { .. }
            | ReadError::Empty(_)
            | ReadError::ContentType { .. }
            | ReadError::LabelSize { .. } => Self::Client(sentence),
            ReadError::Row { .. } => Self::Algorithm(sentence),
            // a damaged archive is the caller's; a disk that cannot be read is ours
            ReadError::File { cause, .. } => match cause.kind() {
                InvalidData | InvalidInput | UnexpectedEof => Self::Algorithm(sentence),
                _ => Self::Internal(sentence),
            },
        }
    }
}

/// What is wrong with a row. Columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    NotANumber { column: usize, text: String, first_row: bool },
    NotFinite { column: usize, text: String },
    NoLabel { column: usize },
    BadWeight { column: usize, text: String },
    Columns { found: usize, expected: usize },
    Features { found: usize, expected: usize },
    Quote { column: usize },
    TooLong { limit: usize },
    Pair { text: String },
    Index { text: String, width: Option<usize> },
    Value { index: u32, text: String },
    Query { text: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber { column, text, first_row } => {
                write!(f, ", column {column}: {text:?} is not a number")?;
                let hint = "; training data has no header row, remove it if this is one";
                if *first_row { f.write_str(hint) } else { Ok(()) }
            }
            Self::NotFinite { column, text } => {
                write!(f, ", column {column}: {text:?} is not a finite 32-bit number")
            }
            Self::NoLabel { column } => write!(f, ", column {column}: the label is missing"),
            Self::BadWeight { column, text } => {
                write!(f, ", column {column}: weight {text:?} is not a number of 0 or more")
            }
            Self::Columns { found, expected } => {
                write!(f, ": has {found} columns, but {expected} are expected, as in the first row")
            }
            Self::Features { found, expected } => {
                write!(f, ": has {found} features, but {expected} are expected")
            }
            Self::Quote { column } => write!(f, ", column {column}: a quote is opened and not closed"),
            Self::TooLong { limit } => write!(f, ": is longer than {limit} bytes"),
            Self::Pair { text } => write!(f, ": {text:?} is not of the form index:value"),
            Self::Index { text, width: None } => {
                write!(f, ": {text:?} is not a feature index (0 to 2147483646)")
            }
            Self::Index { text, width: Some(width) } => {
                write!(f, ": feature index {text:?} is not below {width}, the number of features")
            }
            Self::Value { index, text } => write!(f, ", index {index}: {text:?} is not a number"),
            Self::Query { text } => write!(f, ": qid {text:?} is not a whole number of 0 or more"),
        }
    }
}

/// Where a row stands. Rows count from 1 in their file; blank lines do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub channel: String,
    /// Named where the channel has several files.
    pub file: Option<String>,
    pub row: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel {:?}, ", self.channel)?;
        if let Some(file) = &self.file {
            write!(f, "file {file:?}, ")?;
        }
        write!(f, "row {}", self.row)
    }
}

/// Which rows came from which file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub(super) channel: String,
    /// Whether the channel has more than one file.
    pub(super) several: bool,
    /// Name of each file and how many rows of the channel came before it.
    pub(super) files: Vec<(String, usize)>,
}

impl Places {
    /// Where the row stands that has `row` rows of the channel before it.
    pub fn of(&self, row: usize) -> Place {
        let after = self.files.partition_point(|(_, first)| *first <= row);
        let (file, first) = match after.checked_sub(1).and_then(|last| self.files.get(last)) {
            Some((file, first)) => (self.several.then(|| file.clone()), *first),
            None => (None, 0),
        };
        Place { channel: self.channel.clone(), file, row: row - first + 1 }
    }
}

/// A cell as it is shown in a message: printable and short.
pub(super) fn shown(text: &[u8]) -> String {
    const LONGEST: usize = 40;
    let cut = text.get(..LONGEST).unwrap_or(text);
    let mut shown = String::from_utf8_lossy(cut.trim_ascii()).into_owned();
    if cut.len() < text.len() {
        shown.push_str("...");
    }
    shown
}
