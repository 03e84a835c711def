//! A channel as the library's matrix, its labels checked on the way.

use super::ffi::{Library, Matrix, Reading};
use super::parameters::Parameters;
use crate::TrainError;
use crate::algorithm::{Channel, Job};
use crate::reader::{self, Batch, Features, Format, Layout, Problem, ReadError, Reader, Table};

/// AWS's container reads LIBSVM where the channel does not say what it holds.
const DEFAULT_CONTENT_TYPE: &str = "text/libsvm";

/// A channel, ready to train on or to measure with.
pub struct Data {
    pub matrix: Matrix,
    pub rows: usize,
    pub width: usize,
    /// Kept where we measure something ourselves.
    pub labels: Vec<f32>,
}

/// The training channel and, where the job has one, the validation channel.
pub fn load(
    library: &Library,
    job: &Job,
    parameters: &Parameters,
    threads: usize,
) -> Result<(Data, Option<Data>), TrainError> {
    let loader = Loader { library, parameters, threads };
    let channel = job.channel("train")?;
    let layout = Layout { weights: parameters.csv_weights, ..Layout::of(channel, DEFAULT_CONTENT_TYPE)? };
    let train = loader.load(channel, layout, None)?;
    let Some(channel) = job.channels.get("validation") else { return Ok((train, None)) };
    let layout = validation_layout(channel, parameters, &train)?;
    let validation = loader.load(channel, layout, Some(&train))?;
    Ok((train, Some(validation)))
}

/// Rows of the validation channel look like those of the training channel, but need no weights.
fn validation_layout(channel: &Channel, parameters: &Parameters, train: &Data) -> Result<Layout, TrainError> {
    let layout = Layout::of(channel, DEFAULT_CONTENT_TYPE)?;
    if layout.format == Format::Libsvm {
        return Ok(layout);
    }
    let columns = Reader::open(channel, &layout).map_err(|error| explained(channel, error))?.width();
    let weights = parameters.csv_weights && columns == train.width + 1;
    Ok(Layout { weights, width: Some(train.width), ..layout })
}

struct Loader<'a> {
    library: &'a Library,
    parameters: &'a Parameters,
    threads: usize,
}

impl Loader<'_> {
    fn load(&self, channel: &Channel, layout: Layout, train: Option<&Data>) -> Result<Data, TrainError> {
        if !layout.label {
            return Err(TrainError::Client(format!(
                "channel {:?}: content type {:?} says that there is no label, but the first column must be one; \
                 give text/csv or text/csv;label_size=1",
                channel.name, channel.content_type
            )));
        }
        let table =
            reader::read_all(channel, &layout, self.threads).map_err(|error| explained(channel, error))?;
        self.check(&table)?;
        if table.width == 0 {
            return Err(TrainError::Client(format!("channel {:?} has labels but no features", channel.name)));
        }
        let (rows, width) = (table.rows, table.width);
        let labels = match self.parameters.own_metrics.is_empty() {
            true => Vec::new(),
            false => table.batches.iter().flat_map(|piece| piece.labels.iter().copied()).collect(),
        };
        let matrix = self.matrix(table, train);
        let matrix =
            matrix.map_err(|cause| TrainError::Algorithm(format!("channel {:?}: {cause}", channel.name)))?;
        Ok(Data { matrix, rows, width, labels })
    }

    /// The numbers that were read are freed as soon as the library has its own form of them.
    fn matrix(&self, table: Table, train: Option<&Data>) -> Result<Matrix, String> {
        let reading = Reading { threads: self.threads, max_bin: self.parameters.max_bin };
        let is_dense = |piece: &Batch| matches!(piece.features, Features::Dense { .. });
        if self.parameters.quantised && table.batches.iter().all(is_dense) {
            let like = train.map(|train| &train.matrix);
            return Matrix::quantised(self.library, &table.batches, reading, like);
        }
        Matrix::plain(self.library, &table.into_batch(), reading)
    }

    /// Labels that the objective cannot learn, and queries whose rows do not stand together.
    fn check(&self, table: &Table) -> Result<(), TrainError> {
        let told = |row: usize, problem: String| {
            Err(TrainError::Client(format!("{}: {problem}", table.places.of(row))))
        };
        let mut last_group = None;
        for piece in &table.batches {
            for (row, label) in piece.labels.iter().enumerate() {
                if let Some(problem) = self.parameters.objective.problem(*label) {
                    return told(piece.first_row + row, problem);
                }
            }
            for (row, group) in piece.groups.iter().enumerate() {
                if last_group.is_some_and(|last| last > *group) {
                    let problem = format!("qid {group} comes after a higher one; sort the rows by qid");
                    return told(piece.first_row + row, problem);
                }
                last_group = Some(*group);
            }
        }
        Ok(())
    }
}

/// Says that a format was assumed, where that may be why nothing is understood.
fn explained(channel: &Channel, error: ReadError) -> TrainError {
    let assumed = channel.content_type.trim().is_empty();
    let unreadable = matches!(
        &error,
        ReadError::Row {
            problem: Problem::NotANumber { .. } | Problem::Pair { .. } | Problem::Index { .. },
            ..
        }
    );
    match TrainError::from(error) {
        TrainError::Algorithm(sentence) if assumed && unreadable => TrainError::Algorithm(format!(
            "{sentence}; the channel has no ContentType, so {DEFAULT_CONTENT_TYPE} was assumed: \
             give text/csv if it is CSV"
        )),
        other => other,
    }
}
