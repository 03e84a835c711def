//! Training data as batches of rows, whatever the format of the files.

/// Some rows with what goes with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// One a row; empty where the data has no label.
    pub labels: Vec<f32>,
    /// One a row; empty where the data has no weights.
    pub weights: Vec<f32>,
    pub features: Features,
}

/// The features of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Row after row, `width` values each; NaN is a missing value.
    Dense { width: usize, values: Vec<f32> },
    /// Compressed rows: row `i` is `starts[i]..starts[i + 1]` of columns and values.
    Sparse { width: usize, starts: Vec<usize>, columns: Vec<u32>, values: Vec<f32> },
}

impl Default for Features {
    fn default() -> Self {
        Self::Dense { width: 0, values: Vec::new() }
    }
}
