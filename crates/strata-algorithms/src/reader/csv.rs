//! CSV without a header: one row a line, numbers only. Cells may be quoted; an empty cell, `nan`
//! and `NA` are missing values.

use super::error::shown;
use super::number;
use super::{Batch, Features, Layout, Problem};

/// What the first row tells about all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    delimiter: u8,
    /// Columns of a row, label and weight included.
    columns: usize,
    label: bool,
    weights: bool,
    /// The caller named the number of features.
    fixed: bool,
}

impl Shape {
    /// From the first line that is not blank; `None` where there is none. Like AWS's container
    /// the delimiter is guessed: a comma, else a tab, semicolon or bar where the line has one.
    pub fn of(chunk: &[u8], layout: &Layout) -> Option<Self> {
        let line = chunk.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty())?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let delimiter = *b",\t;|".iter().find(|mark| line.contains(mark)).unwrap_or(&b',');
        let columns = match layout.width {
            Some(width) => width.saturating_add(layout.leading()),
            None => count_columns(line, delimiter),
        };
        // a row without its label is told as a row that is too short
        let columns = columns.max(layout.leading()).max(1);
        let fixed = layout.width.is_some();
        Some(Self { delimiter, columns, label: layout.label, weights: layout.weights, fixed })
    }

    pub fn width(&self) -> usize {
        self.columns.saturating_sub(self.leading())
    }

    fn leading(&self) -> usize {
        usize::from(self.label) + usize::from(self.weights)
    }

    fn wrong_width(&self, found: usize) -> Problem {
        if self.fixed {
            let found = found.saturating_sub(self.leading());
            return Problem::Features { found, expected: self.width() };
        }
        Problem::Columns { found, expected: self.columns }
    }
}

/// The rows of a chunk that ends with a newline. The error names the row, counted from 0.
pub fn parse(chunk: &[u8], shape: &Shape) -> Result<Batch, (usize, Problem)> {
    // an upper bound, so that no vector grows
    let lines = memchr::memchr_iter(b'\n', chunk).count();
    let width = shape.width();
    let mut labels = Vec::with_capacity(if shape.label { lines } else { 0 });
    let mut weights = Vec::with_capacity(if shape.weights { lines } else { 0 });
    let mut values = Vec::with_capacity(lines.saturating_mul(width).min(chunk.len()));
    let mut rest = chunk;
    let mut row = 0;
    while !rest.is_empty() {
        if let Some(next) = skip_blank(rest) {
            rest = next;
            continue;
        }
        let line = rest;
        let at_row = |problem| (row, problem);
        for column in 0..shape.columns {
            let cell = Cell::read(rest, shape.delimiter).map_err(|wrong| match wrong {
                // a row of the wrong width explains more than the cell it goes wrong at
                Wrong::Cell(text) => {
                    let found = columns_of(line, shape.delimiter);
                    if found != shape.columns && row > 0 {
                        return at_row(shape.wrong_width(found));
                    }
                    at_row(Problem::NotANumber { column: column + 1, text, first_row: false })
                }
                Wrong::Infinite(text) => at_row(Problem::NotFinite { column: column + 1, text }),
                Wrong::Quote => at_row(Problem::Quote { column: column + 1 }),
            })?;
            if cell.last != (column + 1 == shape.columns) {
                return Err(at_row(shape.wrong_width(columns_of(line, shape.delimiter))));
            }
            rest = cell.rest;
            if column == 0 && shape.label {
                if cell.value.is_nan() {
                    return Err(at_row(Problem::NoLabel { column: 1 }));
                }
                labels.push(cell.value);
            } else if column < shape.leading() {
                if cell.value.is_nan() || cell.value < 0.0 {
                    let text = cell.value.to_string();
                    return Err(at_row(Problem::BadWeight { column: column + 1, text }));
                }
                weights.push(cell.value);
            } else {
                values.push(cell.value);
            }
        }
        row += 1;
    }
    let features = Features::Dense { width, values };
    Ok(Batch { first_row: 0, labels, weights, groups: Vec::new(), features })
}

/// What stands behind a blank line; `None` where the line is not blank.
#[inline]
fn skip_blank(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => Some(rest),
        [b' ' | b'\t', ..] => {
            let end = memchr::memchr(b'\n', text)?;
            let (line, rest) = text.split_at_checked(end + 1)?;
            // a row of nothing but tabs can be a row of missing values
            line.iter().all(|byte| matches!(byte, b' ' | b'\r' | b'\n')).then_some(rest)
        }
        _ => None,
    }
}

struct Cell<'a> {
    value: f32,
    /// The line ends behind this cell.
    last: bool,
    rest: &'a [u8],
}

enum Wrong {
    Cell(String),
    Infinite(String),
    Quote,
}

impl<'a> Cell<'a> {
    /// The cell that `text` begins with; `text` holds the rest of a line, newline included.
    #[inline]
    fn read(text: &'a [u8], delimiter: u8) -> Result<Self, Wrong> {
        if let Some((value, length)) = number::prefix(text)
            && value.is_finite()
        {
            match text.get(length..) {
                Some([b'\n', rest @ ..]) => return Ok(Self { value, last: true, rest }),
                Some([mark, rest @ ..]) if *mark == delimiter => {
                    return Ok(Self { value, last: false, rest });
                }
                _ => {}
            }
        }
        Self::read_odd(text, delimiter)
    }

    /// Quotes, spaces, missing values, `\r\n`, and what is wrong.
    #[cold]
    fn read_odd(text: &'a [u8], delimiter: u8) -> Result<Self, Wrong> {
        let space = text.iter().take_while(|byte| **byte == b' ').count();
        let start = text.get(space..).unwrap_or_default();
        let (content, after) = match start.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = quoted.iter().position(|byte| matches!(byte, b'"' | b'\n')).unwrap_or(quoted.len());
                let (content, after) = quoted.split_at_checked(end).unwrap_or((quoted, b""));
                (content, after.strip_prefix(b"\"").ok_or(Wrong::Quote)?)
            }
            None => {
                let end = cell_end(start, delimiter);
                start.split_at_checked(end).unwrap_or((start, b""))
            }
        };
        // behind a quote only space may stand
        let behind = cell_end(after, delimiter);
        let (space, after) = after.split_at_checked(behind).unwrap_or((after, b""));
        if !space.trim_ascii().is_empty() {
            return Err(Wrong::Cell(shown(start.get(..start.len() - after.len()).unwrap_or(start))));
        }
        let content = content.trim_ascii();
        let value = match number::prefix(content) {
            Some((value, length)) if length == content.len() => value,
            _ if is_missing(content) => f32::NAN,
            _ if is_infinite(content) => f32::INFINITY,
            _ => return Err(Wrong::Cell(shown(content))),
        };
        if value.is_infinite() {
            return Err(Wrong::Infinite(shown(content)));
        }
        match after {
            [mark, rest @ ..] if *mark == delimiter => Ok(Self { value, last: false, rest }),
            [_newline, rest @ ..] => Ok(Self { value, last: true, rest }),
            [] => Ok(Self { value, last: true, rest: after }),
        }
    }
}

/// How many bytes come before the delimiter or the end of the line.
fn cell_end(text: &[u8], delimiter: u8) -> usize {
    memchr::memchr2(delimiter, b'\n', text).unwrap_or(text.len())
}

fn is_missing(text: &[u8]) -> bool {
    text.is_empty() || text == b"NA" || text.eq_ignore_ascii_case(b"nan")
}

fn is_infinite(text: &[u8]) -> bool {
    let word = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity")
}

/// Columns of the line that `text` begins with.
fn columns_of(text: &[u8], delimiter: u8) -> usize {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    count_columns(text.get(..end).unwrap_or(text), delimiter)
}

fn count_columns(line: &[u8], delimiter: u8) -> usize {
    let mut quoted = false;
    let mut columns = 1;
    for byte in line {
        if *byte == b'"' {
            quoted = !quoted;
        } else if *byte == delimiter && !quoted {
            columns += 1;
        }
    }
    columns
}
