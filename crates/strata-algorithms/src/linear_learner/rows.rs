//! The rows of a channel, read and checked once and then passed over many times in memory
//! that does not grow with them: what does not fit a fixed buffer waits in a file.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::settings::{Predictor, Settings};
use crate::reader::{Batch, Features, Format, Layout, Reader};
use crate::{Channel, TrainError};

/// Rows kept in memory, per channel.
const MEMORY_LIMIT: usize = 32 << 20;

pub struct Rows {
    pub width: usize,
    pub count: usize,
    /// By class; of a regression empty.
    pub class_counts: Vec<u64>,
    /// Label and features of row after row: all, or those not yet in the file.
    memory: Vec<f32>,
    file: Option<File>,
    limit: usize,
}

impl Rows {
    /// Reads and checks a channel. `folder` takes the file that large data needs.
    pub fn read(
        channel: &Channel,
        settings: &Settings,
        width: Option<usize>,
        threads: usize,
        folder: &Path,
    ) -> Result<Self, TrainError> {
        Self::read_within(channel, settings, width, threads, folder, MEMORY_LIMIT)
    }

    pub fn read_within(
        channel: &Channel,
        settings: &Settings,
        width: Option<usize>,
        threads: usize,
        folder: &Path,
        limit: usize,
    ) -> Result<Self, TrainError> {
        let mut layout = Layout::of(channel, "text/csv")?;
        if layout.format != Format::Csv {
            return Err(TrainError::Client(format!(
                "channel {:?}: linear-learner reads text/csv, not {}",
                channel.name, channel.content_type
            )));
        }
        if !layout.label {
            return Err(TrainError::Client(format!(
                "channel {:?}: linear-learner needs the label as first column; remove label_size=0",
                channel.name
            )));
        }
        layout.width = width;
        let classes = match settings.predictor {
            Predictor::Regressor => 0,
            Predictor::Binary => 2,
            Predictor::Multiclass => settings.outputs,
        };
        let mut rows = Self {
            width: 0,
            count: 0,
            class_counts: vec![0; classes],
            memory: Vec::new(),
            file: None,
            limit,
        };
        let mut reader = Reader::open_parallel(channel, &layout, threads)?;
        while let Some(batch) = reader.next_batch(4096)? {
            if let Err((row, problem)) = rows.take(&batch) {
                return Err(TrainError::Client(format!("{}{problem}", reader.places().of(row))));
            }
            rows.spill(folder).map_err(|error| disk(&error))?;
        }
        if rows.count == 0 {
            return Err(TrainError::Client(format!("channel {:?} has no rows", channel.name)));
        }
        Ok(rows)
    }

    /// Checks and keeps a batch; else the row and what is wrong with it.
    fn take(&mut self, batch: &Batch) -> Result<(), (usize, String)> {
        let Features::Dense { width, values } = &batch.features else {
            return Err((batch.first_row, ": is sparse, which linear-learner does not read".into()));
        };
        if *width == 0 {
            return Err((batch.first_row, ": has a label and no features".into()));
        }
        self.width = *width;
        let rows = values.chunks_exact(*width).zip(&batch.labels).zip(batch.first_row..);
        for ((features, label), row) in rows {
            if !self.class_counts.is_empty() {
                let classes = self.class_counts.len();
                let class = (*label >= 0.0 && label.fract() == 0.0).then_some(*label as usize);
                let Some(count) = class.and_then(|class| self.class_counts.get_mut(class)) else {
                    let wanted = match classes {
                        2 => "0 or 1, which binary_classifier needs".to_owned(),
                        classes => {
                            format!("an integer from 0 to {}, which num_classes={classes} means", classes - 1)
                        }
                    };
                    return Err((row, format!(", column 1: the label {label} is not {wanted}")));
                };
                *count += 1;
            }
            if let Some(hole) = features.iter().position(|value| value.is_nan()) {
                let column = hole + 2;
                let problem =
                    format!(", column {column}: the value is missing; linear-learner needs every one");
                return Err((row, problem));
            }
            self.memory.push(*label);
            self.memory.extend_from_slice(features);
            self.count += 1;
        }
        Ok(())
    }

    fn spill(&mut self, folder: &Path) -> io::Result<()> {
        if self.memory.len() * 4 <= self.limit {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless_file(folder)?),
        };
        let bytes: Vec<u8> = self.memory.iter().flat_map(|value| value.to_le_bytes()).collect();
        file.write_all(&bytes)?;
        self.memory.clear();
        Ok(())
    }

    /// Calls `each` with pieces of at most `rows` rows, in order: label and features, row after
    /// row, and how many rows come before.
    pub fn pass(&mut self, rows: usize, mut each: impl FnMut(usize, &[f32])) -> Result<(), TrainError> {
        let stride = self.width + 1;
        let mut first = 0;
        let mut give = |piece: &[f32]| {
            each(first, piece);
            first += piece.len() / stride;
        };
        let mut piece: Vec<f32> = Vec::with_capacity(if self.file.is_some() { rows * stride } else { 0 });
        if let Some(file) = &mut self.file {
            let stored = (self.count * stride - self.memory.len()) * 4;
            let mut left = stored;
            let mut bytes = vec![0; rows * stride * 4];
            file.seek(SeekFrom::Start(0)).map_err(|error| disk(&error))?;
            while left > 0 {
                let size = left.min(bytes.len());
                file.read_exact(&mut bytes[..size]).map_err(|error| disk(&error))?;
                left -= size;
                piece.clear();
                let numbers = bytes[..size].as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
                piece.extend(numbers);
                if size == bytes.len() {
                    give(&piece);
                    piece.clear();
                }
            }
        }
        // The last piece of the file goes on with what is in memory, so that pieces are the
        // same whether or not a file was needed.
        let (head, rest) = if piece.is_empty() {
            (&[][..], self.memory.as_slice())
        } else {
            let missing = (rows * stride - piece.len()).min(self.memory.len());
            self.memory.split_at(missing)
        };
        piece.extend_from_slice(head);
        if !piece.is_empty() {
            give(&piece);
        }
        rest.chunks(rows * stride).for_each(give);
        Ok(())
    }
}

fn disk(error: &io::Error) -> TrainError {
    TrainError::Internal(format!("could not keep training rows on disk: {error}"))
}

/// A file without a name: it vanishes with the process, however that ends.
fn nameless_file(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".rows-{}-{number}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Shift and scale of features and label, from the first rows.
#[derive(Clone, Debug)]
pub struct Scaler {
    /// By column; the label comes first.
    pub shift: Vec<f64>,
    /// What values are divided by.
    pub scale: Vec<f64>,
}

impl Scaler {
    pub fn of(rows: &mut Rows, settings: &Settings) -> Result<Self, TrainError> {
        let stride = rows.width + 1;
        let limit = settings.scaler_rows.min(rows.count);
        let mut mean = vec![0.0; stride];
        let mut square = vec![0.0; stride];
        let within = |first: usize, piece: &[f32]| piece.len().min(limit.saturating_sub(first) * stride);
        rows.pass(1024, |first, piece| {
            for row in piece[..within(first, piece)].chunks_exact(stride) {
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        })?;
        mean.iter_mut().for_each(|sum| *sum /= limit as f64);
        rows.pass(1024, |first, piece| {
            for row in piece[..within(first, piece)].chunks_exact(stride) {
                for ((sum, value), mean) in square.iter_mut().zip(row).zip(&mean) {
                    let off = f64::from(*value) - mean;
                    *sum += off * off;
                }
            }
        })?;
        let deviation = |(sum, mean): (f64, &f64)| {
            let deviation = (sum / limit as f64).sqrt();
            // A column that does not vary has nothing to be scaled by but rounding noise.
            if deviation > mean.abs() * 1e-7 && deviation > f64::MIN_POSITIVE { deviation } else { 1.0 }
        };
        let mut scale: Vec<f64> = square.into_iter().zip(&mean).map(deviation).collect();
        let mut shift = mean;
        if !settings.scale_data {
            scale[1..].fill(1.0);
        }
        if !(settings.shift_data && settings.use_bias) {
            // Without a bias a shift could not be undone in the finished weights.
            shift[1..].fill(0.0);
        }
        if !settings.scale_label {
            scale[0] = 1.0;
        }
        if !(settings.shift_label && settings.use_bias) {
            shift[0] = 0.0;
        }
        Ok(Self { shift, scale })
    }
}

/// Some rows, scaled, as training takes them.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub rows: usize,
    /// Features and the constant 1 that the bias multiplies.
    pub stride: usize,
    pub x: Vec<f64>,
    /// Scaled label, or the class.
    pub y: Vec<f64>,
    pub weight: Vec<f64>,
}

/// Which rows of a channel are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    All,
    /// One row in ten, held back to choose by where there is no validation channel.
    Held,
    NotHeld,
}

impl Part {
    fn has(self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::Held => row % 10 == 9,
            Self::NotHeld => row % 10 != 9,
        }
    }
}

/// How rows become blocks.
#[derive(Clone, Debug)]
pub struct Preparation {
    pub scaler: Scaler,
    pub use_bias: bool,
    /// By class; empty where all rows weigh 1.
    pub class_weights: Vec<f64>,
}

impl Preparation {
    /// Calls `each` with the blocks of a part of the rows.
    pub fn blocks(
        &self,
        rows: &mut Rows,
        part: Part,
        size: usize,
        mut each: impl FnMut(&Block),
    ) -> Result<(), TrainError> {
        let width = rows.width;
        let mut block = Block { stride: width + 1, ..Block::default() };
        // Large batches are taken in pieces, and filled up where rows are left out.
        rows.pass(size.min(4096), |first, piece| {
            for (row, number) in piece.chunks_exact(width + 1).zip(first..) {
                if !part.has(number) {
                    continue;
                }
                self.add(row, &mut block);
                if block.rows == size {
                    each(&block);
                    block = Block { stride: width + 1, ..std::mem::take(&mut block) }.emptied();
                }
            }
        })?;
        if block.rows > 0 {
            each(&block);
        }
        Ok(())
    }

    fn add(&self, row: &[f32], block: &mut Block) {
        let scaled = row.iter().zip(&self.scaler.shift).zip(&self.scaler.scale);
        let mut scaled = scaled.map(|((value, shift), scale)| (f64::from(*value) - shift) / scale);
        let label = scaled.next().unwrap_or(0.0);
        block.x.extend(scaled);
        block.x.push(f64::from(u8::from(self.use_bias)));
        block.y.push(label);
        block.weight.push(self.class_weights.get(label as usize).copied().unwrap_or(1.0));
        block.rows += 1;
    }
}

impl Block {
    fn emptied(mut self) -> Self {
        self.rows = 0;
        self.x.clear();
        self.y.clear();
        self.weight.clear();
        self
    }

    pub fn row(&self, row: usize) -> &[f64] {
        &self.x[row * self.stride..(row + 1) * self.stride]
    }
}
