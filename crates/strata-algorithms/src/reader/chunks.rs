//! The text of a channel as chunks of whole lines, none of which spans two files.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::files::DataFile;

/// Read at once. Large enough that parsing a chunk outweighs handing it over, small enough for
/// the chunks of all threads to stay in the processor's cache.
const CHUNK: usize = 1 << 20;
/// The longest line that is held in memory.
pub const LONGEST_ROW: usize = 64 << 20;

/// Cuts the files of a channel into chunks.
pub struct Chunks {
    waiting: VecDeque<DataFile>,
    open: Option<Open>,
}

struct Open {
    file: DataFile,
    text: Box<dyn Read + Send>,
    /// The beginning of a line whose end is not read yet.
    rest: Vec<u8>,
    /// Nothing of the file has been handed out.
    fresh: bool,
}

/// What a chunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The name of the file where this chunk is its first.
    pub new_file: Option<String>,
}

#[derive(Debug)]
pub enum ChunkError {
    File { file: String, cause: io::Error },
    TooLong { file: String },
}

impl Chunks {
    pub fn new(files: Vec<DataFile>) -> Self {
        Self { waiting: files.into(), open: None }
    }

    /// Puts the next chunk into `chunk`, whose last byte is then a newline; `None` after the last.
    pub fn next(&mut self, chunk: &mut Vec<u8>) -> Result<Option<Mark>, ChunkError> {
        loop {
            chunk.clear();
            let Some(mut open) = self.take_open()? else { return Ok(None) };
            let more = open.fill(chunk)?;
            let mut new_file = None;
            if open.fresh && !chunk.is_empty() {
                open.fresh = false;
                new_file = Some(open.file.name.clone());
                if chunk.starts_with(b"\xEF\xBB\xBF") {
                    chunk.drain(..3);
                }
            }
            if more {
                self.open = Some(open);
            }
            if !chunk.is_empty() {
                if chunk.last() != Some(&b'\n') {
                    chunk.push(b'\n');
                }
                return Ok(Some(Mark { new_file }));
            }
        }
    }

    fn take_open(&mut self) -> Result<Option<Open>, ChunkError> {
        if let Some(open) = self.open.take() {
            return Ok(Some(open));
        }
        let Some(file) = self.waiting.pop_front() else { return Ok(None) };
        match file.open() {
            Ok(text) => Ok(Some(Open { file, text, rest: Vec::new(), fresh: true })),
            Err(cause) => Err(ChunkError::File { file: file.name, cause }),
        }
    }
}

impl Open {
    /// Reads on to the end of a line; whether the file may hold more.
    fn fill(&mut self, chunk: &mut Vec<u8>) -> Result<bool, ChunkError> {
        chunk.append(&mut self.rest);
        loop {
            let read = self.text.by_ref().take(CHUNK as u64).read_to_end(chunk);
            let read = read.map_err(|cause| ChunkError::File { file: self.file.name.clone(), cause })?;
            if read < CHUNK {
                return Ok(false);
            }
            if let Some(newline) = memchr::memrchr(b'\n', chunk) {
                self.rest = chunk.split_off(newline + 1);
                return Ok(true);
            }
            if chunk.len() > LONGEST_ROW {
                return Err(ChunkError::TooLong { file: self.file.name.clone() });
            }
        }
    }
}
