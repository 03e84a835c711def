//! Training data as rows, whatever the format of the files: the files of a channel are cut into
//! chunks of whole lines, the chunks are parsed (on several threads where asked), and come out
//! in order. What is read, and which error is reported first, does not depend on the threads.

mod chunks;
mod csv;
mod error;
mod files;
mod libsvm;
pub(crate) mod number;
mod pipeline;

use std::path::PathBuf;

use crate::algorithm::Channel;
pub use error::{Place, Places, Problem, ReadError};
use pipeline::Pipeline;

/// Some rows with what goes with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// How many rows of the channel come before this batch.
    pub first_row: usize,
    /// One a row; empty where the data has no label.
    pub labels: Vec<f32>,
    /// One a row; empty where the data has no weights (every row then weighs 1).
    pub weights: Vec<f32>,
    /// The query each row belongs to (`qid` of libsvm); empty where the data has none.
    pub groups: Vec<u64>,
    pub features: Features,
}

/// The features of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Row after row, `width` values each; NaN is a missing value.
    Dense { width: usize, values: Vec<f32> },
    /// Compressed rows: row `i` is `starts[i]..starts[i + 1]` of columns and values. `width` is
    /// the expected width where the layout gives one, else one more than the highest column.
    Sparse { width: usize, starts: Vec<usize>, columns: Vec<u32>, values: Vec<f32> },
}

impl Default for Features {
    fn default() -> Self {
        Self::Dense { width: 0, values: Vec::new() }
    }
}

impl Features {
    pub fn width(&self) -> usize {
        match self {
            Self::Dense { width, .. } | Self::Sparse { width, .. } => *width,
        }
    }
}

impl Batch {
    pub fn rows(&self) -> usize {
        match &self.features {
            Features::Dense { width: 0, .. } => self.labels.len(),
            Features::Dense { width, values } => values.len() / width,
            Features::Sparse { starts, .. } => starts.len().saturating_sub(1),
        }
    }

    pub fn width(&self) -> usize {
        self.features.width()
    }

    /// How many numbers the features are.
    fn values(&self) -> usize {
        match &self.features {
            Features::Dense { values, .. } | Features::Sparse { values, .. } => values.len(),
        }
    }

    /// Puts the rows of `next` behind these.
    fn append(&mut self, next: Batch) {
        if self.rows() == 0 {
            let first_row = self.first_row;
            *self = Batch { first_row, ..next };
            return;
        }
        let (rows, more) = (self.rows(), next.rows());
        fill_up(&mut self.weights, rows, &next.weights, more, 1.0);
        fill_up(&mut self.groups, rows, &next.groups, more, 0);
        self.labels.extend(next.labels);
        match (&mut self.features, next.features) {
            (Features::Dense { values, .. }, Features::Dense { values: more, .. }) => values.extend(more),
            (
                Features::Sparse { width, starts, columns, values },
                Features::Sparse { width: wide, starts: more_starts, columns: more_columns, values: more },
            ) => {
                *width = (*width).max(wide);
                let base = values.len();
                starts.extend(more_starts.iter().skip(1).map(|start| start + base));
                columns.extend(more_columns);
                values.extend(more);
            }
            // one channel has one format
            (Features::Dense { .. }, Features::Sparse { .. })
            | (Features::Sparse { .. }, Features::Dense { .. }) => {}
        }
    }

    /// Takes away the first `count` rows, which are returned.
    fn split_front(&mut self, count: usize) -> Batch {
        let rows = self.rows();
        if count >= rows {
            let left = Batch { first_row: self.first_row + rows, ..Batch::default() };
            return std::mem::replace(self, left);
        }
        let features = match &mut self.features {
            Features::Dense { width, values } => {
                Features::Dense { width: *width, values: front(values, count * *width) }
            }
            Features::Sparse { width, starts, columns, values } => {
                let cut = starts.get(count).copied().unwrap_or(0);
                let mut first = front(starts, count);
                first.push(cut);
                starts.iter_mut().for_each(|start| *start -= cut);
                Features::Sparse {
                    width: *width,
                    starts: first,
                    columns: front(columns, cut),
                    values: front(values, cut),
                }
            }
        };
        let batch = Batch {
            first_row: self.first_row,
            labels: front(&mut self.labels, count),
            weights: front(&mut self.weights, count),
            groups: front(&mut self.groups, count),
            features,
        };
        self.first_row += count;
        batch
    }
}

/// Appends `next` where either side has values; a side without gets `neutral` for each row.
fn fill_up<T: Copy>(here: &mut Vec<T>, rows: usize, next: &[T], more: usize, neutral: T) {
    if here.is_empty() && next.is_empty() {
        return;
    }
    here.resize(rows, neutral);
    here.extend_from_slice(next);
    here.resize(rows + more, neutral);
}

/// The first `count` elements, taken away; all of them where there are fewer.
fn front<T>(all: &mut Vec<T>, count: usize) -> Vec<T> {
    let rest = all.split_off(count.min(all.len()));
    std::mem::replace(all, rest)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Libsvm,
}

/// What the columns of a channel mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub format: Format,
    /// CSV: the first column is the label (`label_size=1`, which is the default).
    pub label: bool,
    /// CSV: the second column is the weight of the row (`csv_weights=1`).
    pub weights: bool,
    /// How many features a row must have; found from the data where absent.
    pub width: Option<usize>,
}

impl Layout {
    pub const CSV: Self = Self { format: Format::Csv, label: true, weights: false, width: None };
    pub const LIBSVM: Self = Self { format: Format::Libsvm, ..Self::CSV };

    /// As the channel's content type says, e.g. `text/csv;label_size=0`; `default` is the content
    /// type that the algorithm assumes where the channel names none.
    pub fn of(channel: &Channel, default: &str) -> Result<Self, ReadError> {
        let given = if channel.content_type.trim().is_empty() { default } else { &channel.content_type };
        let mut parts = given.split(';').map(str::trim);
        let mut layout = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/csv" | "csv" => Self::CSV,
            "text/libsvm" | "text/x-libsvm" | "libsvm" => Self::LIBSVM,
            _ => {
                return Err(ReadError::ContentType {
                    channel: channel.name.clone(),
                    given: given.to_owned(),
                });
            }
        };
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.trim().eq_ignore_ascii_case("label_size") {
                layout.label = match value.trim() {
                    "0" => false,
                    "1" => true,
                    _ => {
                        let given = given.to_owned();
                        return Err(ReadError::LabelSize { channel: channel.name.clone(), given });
                    }
                };
            }
        }
        Ok(layout)
    }

    /// Columns of a CSV row before the features.
    fn leading(&self) -> usize {
        usize::from(self.label) + usize::from(self.weights)
    }
}

/// Reads a channel from its first row to its last, in bounded memory.
pub struct Reader {
    pipeline: Pipeline,
    /// Rows that were parsed and not yet handed out.
    waiting: Batch,
}

impl Reader {
    /// Reads and parses on the caller's thread.
    pub fn open(channel: &Channel, layout: &Layout) -> Result<Self, ReadError> {
        Self::open_parallel(channel, layout, 1)
    }

    /// Reads ahead and parses on `threads` further threads (none where 1).
    pub fn open_parallel(channel: &Channel, layout: &Layout, threads: usize) -> Result<Self, ReadError> {
        Ok(Self { pipeline: Pipeline::open(channel, layout, threads)?, waiting: Batch::default() })
    }

    /// The next rows, at most `max_rows` and at least one; `None` after the last.
    pub fn next_batch(&mut self, max_rows: usize) -> Result<Option<Batch>, ReadError> {
        let max_rows = max_rows.max(1);
        while self.waiting.rows() < max_rows {
            match self.pipeline.next()? {
                Some(block) => self.waiting.append(block),
                None => break,
            }
        }
        let batch = self.waiting.split_front(max_rows);
        Ok((batch.rows() > 0).then_some(batch))
    }

    /// Where the rows that came so far stand, for error messages.
    pub fn places(&self) -> &Places {
        self.pipeline.places()
    }

    /// Features of a row; for sparse data what is known so far.
    pub fn width(&self) -> usize {
        self.pipeline.width()
    }
}

/// How many values a piece of a table holds before the next begins: 16 MB. The library starts its
/// threads anew for each piece, so they must not be small; nor should one be moved as it grows.
const PIECE: usize = 4 << 20;

/// A whole channel in memory, as several pieces: one copy of the numbers.
#[derive(Debug, Default)]
pub struct Table {
    /// In order.
    pub batches: Vec<Batch>,
    pub rows: usize,
    pub width: usize,
    pub places: Places,
}

impl Table {
    /// All rows as one batch. Pieces are freed as they are taken over.
    pub fn into_batch(self) -> Batch {
        let mut pieces = self.batches.into_iter();
        let mut whole = pieces.next().unwrap_or_default();
        if let Features::Dense { values, .. } = &mut whole.features {
            values.reserve_exact((self.rows * self.width).saturating_sub(values.len()));
        }
        pieces.for_each(|piece| whole.append(piece));
        if let Features::Sparse { width, .. } = &mut whole.features {
            *width = self.width;
        }
        whole
    }
}

/// Reads a whole channel, parsing on `threads` threads.
pub fn read_all(channel: &Channel, layout: &Layout, threads: usize) -> Result<Table, ReadError> {
    let mut pipeline = Pipeline::open(channel, layout, threads)?;
    let mut table = Table::default();
    while let Some(block) = pipeline.next()? {
        table.rows += block.rows();
        match table.batches.last_mut() {
            Some(last) if last.values() < PIECE => last.append(block),
            _ => table.batches.push(block),
        }
    }
    table.width = pipeline.width();
    table.places = pipeline.places().clone();
    Ok(table)
}

/// The data files of a channel: name inside the channel, and path.
pub fn data_files(channel: &Channel) -> Result<Vec<(String, PathBuf)>, ReadError> {
    Ok(files::list(channel)?.into_iter().map(|file| (file.name, file.path)).collect())
}

#[cfg(test)]
mod tests;
