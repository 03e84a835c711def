//! LIBSVM text: `label[:weight] [qid:query] index:value ... [# remark]`, one row a line. Indices
//! are kept as given, whether they count from 0 or from 1; a column that is not named is missing.

use super::error::shown;
use super::number;
use super::{Batch, Features, Layout, Problem};

/// XGBoost counts columns in 32 bits, signed.
const HIGHEST_INDEX: u32 = i32::MAX as u32 - 1;

/// The rows of a chunk that ends with a newline. The error names the row, counted from 0.
pub fn parse(chunk: &[u8], layout: &Layout) -> Result<Batch, (usize, Problem)> {
    let mut rows = Rows { starts: vec![0], ..Rows::default() };
    for line in chunk.split(|byte| *byte == b'\n') {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = rows.labels.len();
        rows.push(line, layout).map_err(|problem| (row, problem))?;
    }
    let width = layout.width.unwrap_or(rows.width);
    let Rows { labels, weights, groups, starts, columns, values, .. } = rows;
    let features = Features::Sparse { width, starts, columns, values };
    Ok(Batch { first_row: 0, labels, weights, groups, features })
}

#[derive(Default)]
struct Rows {
    labels: Vec<f32>,
    weights: Vec<f32>,
    groups: Vec<u64>,
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    /// One more than the highest column.
    width: usize,
}

impl Rows {
    fn push(&mut self, line: &[u8], layout: &Layout) -> Result<(), Problem> {
        let rows = self.labels.len();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        let (label, weight) = match split_pair(first) {
            Some((label, weight)) => (label, Some(weight)),
            None => (first, None),
        };
        self.labels.push(finite(label).ok_or_else(|| Problem::NotANumber {
            column: 1,
            text: shown(label),
            first_row: false,
        })?);
        if let Some(weight) = weight {
            let bad = || Problem::BadWeight { column: 1, text: shown(weight) };
            self.weights.resize(rows, 1.0);
            self.weights.push(finite(weight).filter(|weight| *weight >= 0.0).ok_or_else(bad)?);
        } else if !self.weights.is_empty() {
            self.weights.push(1.0);
        }
        let mut words = words.peekable();
        let query = words.next_if(|word| word.starts_with(b"qid:"));
        if let Some(query) = query.and_then(|query| query.strip_prefix(b"qid:")) {
            self.groups.resize(rows, 0);
            self.groups.push(whole(query).ok_or_else(|| Problem::Query { text: shown(query) })?);
        } else if !self.groups.is_empty() {
            self.groups.push(0);
        }
        for word in words {
            let (index, value) = split_pair(word).ok_or_else(|| Problem::Pair { text: shown(word) })?;
            let column = self.column(index, layout)?;
            let number = match finite(value) {
                Some(number) => number,
                None if value.eq_ignore_ascii_case(b"nan") => f32::NAN,
                None => return Err(Problem::Value { index: column, text: shown(value) }),
            };
            self.columns.push(column);
            self.values.push(number);
        }
        self.starts.push(self.values.len());
        Ok(())
    }

    fn column(&mut self, index: &[u8], layout: &Layout) -> Result<u32, Problem> {
        let bad = |width| Problem::Index { text: shown(index), width };
        let column = whole(index).and_then(|column| u32::try_from(column).ok());
        let column = column.filter(|column| *column <= HIGHEST_INDEX).ok_or_else(|| bad(None))?;
        let needed = column as usize + 1;
        if layout.width.is_some_and(|width| needed > width) {
            return Err(bad(layout.width));
        }
        self.width = self.width.max(needed);
        Ok(column)
    }
}

fn split_pair(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let (left, right) = word.split_at_checked(memchr::memchr(b':', word)?)?;
    Some((left, right.get(1..)?))
}

fn finite(text: &[u8]) -> Option<f32> {
    let (value, length) = number::prefix(text)?;
    (length == text.len() && value.is_finite()).then_some(value)
}

fn whole(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}
