//! From chunks of text to batches in order, on the caller's thread or on several.
//!
//! Each thread takes the next chunk, parses it and puts the batch where its number says; the
//! caller takes batches by number. At most a window of chunks is under way, so memory is bounded
//! whatever the size of the channel.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::chunks::{ChunkError, Chunks, LONGEST_ROW, Mark};
use super::{Batch, Format, Layout, Place, Places, Problem, ReadError, csv, files, libsvm};
use crate::algorithm::Channel;

pub struct Pipeline {
    channel: String,
    blocks: Blocks,
    places: Places,
    /// Rows that came out so far.
    rows: usize,
    width: usize,
    libsvm_width: Option<usize>,
    ended: bool,
}

impl Pipeline {
    pub fn open(channel: &Channel, layout: &Layout, threads: usize) -> Result<Self, ReadError> {
        let files = files::list(channel)?;
        let places = Places {
            channel: channel.name.clone(),
            several: files.len() > 1,
            files: Vec::with_capacity(files.len()),
        };
        let mut pipeline = Self {
            channel: channel.name.clone(),
            blocks: Blocks::Ended,
            places,
            rows: 0,
            width: layout.width.unwrap_or(0),
            libsvm_width: layout.width,
            ended: false,
        };
        let mut chunks = Chunks::new(files);
        // the first chunk tells the shape of all
        let mut first = Vec::new();
        let (parser, mark) = loop {
            let Some(mark) = pipeline.placed(chunks.next(&mut first))? else {
                return Err(ReadError::Empty(channel.name.clone()));
            };
            match Parser::new(&first, layout) {
                Some(parser) => break (parser, mark),
                // blank so far; the file still has its place
                None => pipeline.enter(mark),
            }
        };
        if let Parser::Csv(shape) = &parser {
            pipeline.width = shape.width();
        }
        pipeline.blocks = if threads <= 1 {
            Blocks::Here { parser, chunks, first: Some((first, mark)), chunk: Vec::new() }
        } else {
            Blocks::Threads(Team::start(parser, chunks, (first, mark), threads))
        };
        Ok(pipeline)
    }

    /// The next batch, of at least one row; `None` after the last.
    pub fn next(&mut self) -> Result<Option<Batch>, ReadError> {
        while !self.ended {
            let block = self.blocks.next();
            let Some(Block { mark, batch }) = self.placed(block)? else {
                self.ended = true;
                if self.rows == 0 {
                    return Err(ReadError::Empty(self.channel.clone()));
                }
                break;
            };
            self.enter(mark);
            let mut batch = match batch {
                Ok(batch) => batch,
                Err((row, problem)) => {
                    self.ended = true;
                    return Err(self.at(self.rows + row, problem));
                }
            };
            batch.first_row = self.rows;
            self.rows += batch.rows();
            if self.libsvm_width.is_none() {
                self.width = self.width.max(batch.width());
            }
            if batch.rows() > 0 {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    pub fn width(&self) -> usize {
        self.width
    }

    fn enter(&mut self, mark: Mark) {
        if let Some(file) = mark.new_file {
            self.places.files.push((file, self.rows));
        }
    }

    fn at(&self, row: usize, problem: Problem) -> ReadError {
        let place = self.places.of(row);
        let problem = match problem {
            Problem::NotANumber { column, text, .. } => {
                Problem::NotANumber { column, text, first_row: place.row == 1 }
            }
            other => other,
        };
        ReadError::Row { place, problem }
    }

    fn placed<T>(&mut self, result: Result<T, ChunkError>) -> Result<T, ReadError> {
        let channel = self.channel.clone();
        result.map_err(|error| {
            self.ended = true;
            match error {
                ChunkError::File { file, cause } => ReadError::File { channel, file, cause },
                ChunkError::TooLong { file } => {
                    let row = self.places.of(self.rows).row;
                    let place = Place { channel, file: self.places.several.then_some(file), row };
                    ReadError::Row { place, problem: Problem::TooLong { limit: LONGEST_ROW } }
                }
            }
        })
    }
}

/// How chunks of this channel become batches.
#[derive(Clone, Copy)]
enum Parser {
    Csv(csv::Shape),
    Libsvm(Layout),
}

impl Parser {
    /// `None` where the first chunk has nothing but blank lines.
    fn new(first: &[u8], layout: &Layout) -> Option<Self> {
        match layout.format {
            Format::Csv => csv::Shape::of(first, layout).map(Self::Csv),
            Format::Libsvm => Some(Self::Libsvm(*layout)),
        }
    }

    fn parse(&self, chunk: &[u8]) -> Result<Batch, (usize, Problem)> {
        match self {
            Self::Csv(shape) => csv::parse(chunk, shape),
            Self::Libsvm(layout) => libsvm::parse(chunk, layout),
        }
    }
}

/// A parsed chunk. The error names a row, counted from the chunk's first.
struct Block {
    mark: Mark,
    batch: Result<Batch, (usize, Problem)>,
}

enum Blocks {
    Ended,
    Here { parser: Parser, chunks: Chunks, first: Option<(Vec<u8>, Mark)>, chunk: Vec<u8> },
    Threads(Team),
}

impl Blocks {
    fn next(&mut self) -> Result<Option<Block>, ChunkError> {
        match self {
            Self::Ended => Ok(None),
            Self::Here { parser, chunks, first, chunk } => {
                let mark = match first.take() {
                    Some((first, mark)) => {
                        *chunk = first;
                        Some(mark)
                    }
                    None => chunks.next(chunk)?,
                };
                Ok(mark.map(|mark| Block { mark, batch: parser.parse(chunk) }))
            }
            Self::Threads(team) => team.next(),
        }
    }
}

/// Threads that parse ahead.
struct Team {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Number of the block that the caller gets next.
    next: usize,
}

struct Shared {
    parser: Parser,
    source: Mutex<Source>,
    state: Mutex<State>,
    /// A block is ready, a place in the window is free, or all is over.
    changed: Condvar,
}

struct Source {
    chunks: Chunks,
    first: Option<(Vec<u8>, Mark)>,
    /// Number of the chunk that is taken next.
    next: usize,
    ended: bool,
}

#[derive(Default)]
struct State {
    ready: BTreeMap<usize, std::thread::Result<Result<Block, ChunkError>>>,
    /// Chunks that may still be taken.
    free: usize,
    /// How many blocks there are, once known.
    total: Option<usize>,
    /// Nobody waits for blocks any more.
    closed: bool,
}

impl Team {
    fn start(parser: Parser, chunks: Chunks, first: (Vec<u8>, Mark), threads: usize) -> Self {
        let source = Source { chunks, first: Some(first), next: 0, ended: false };
        let state = State { free: threads * 2, ..State::default() };
        let shared = Arc::new(Shared {
            parser,
            source: Mutex::new(source),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let work = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work())
        };
        Self { threads: (0..threads).map(work).collect(), shared, next: 0 }
    }

    fn next(&mut self) -> Result<Option<Block>, ChunkError> {
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(block) = state.ready.remove(&self.next) {
                state.free += 1;
                self.next += 1;
                drop(state);
                self.shared.changed.notify_all();
                return block.unwrap_or_else(|panic| resume_unwind(panic)).map(Some);
            }
            if state.total.is_some_and(|total| self.next >= total) {
                return Ok(None);
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // a thread that panicked has said so itself
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut chunk = Vec::new();
        while self.wait_for_place() {
            let mut source = lock(&self.source);
            let number = source.next;
            let taken = source.take(&mut chunk);
            drop(source);
            let block = match taken {
                Ok(Some(mark)) => {
                    // a panic belongs to the caller, who would wait for this block for ever
                    catch_unwind(AssertUnwindSafe(|| self.parser.parse(&chunk)))
                        .map(|batch| Ok(Block { mark, batch }))
                }
                Ok(None) => {
                    let mut state = lock(&self.state);
                    state.total.get_or_insert(number);
                    drop(state);
                    self.changed.notify_all();
                    return;
                }
                Err(error) => Ok(Err(error)),
            };
            lock(&self.state).ready.insert(number, block);
            self.changed.notify_all();
        }
    }

    /// Takes a place in the window; false where nobody waits for blocks any more.
    fn wait_for_place(&self) -> bool {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return false;
            }
            if state.free > 0 {
                state.free -= 1;
                return true;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Source {
    fn take(&mut self, chunk: &mut Vec<u8>) -> Result<Option<Mark>, ChunkError> {
        if self.ended {
            return Ok(None);
        }
        let mark = match self.first.take() {
            Some((first, mark)) => {
                *chunk = first;
                Ok(Some(mark))
            }
            None => self.chunks.next(chunk),
        };
        match &mark {
            Ok(Some(_)) => self.next += 1,
            Ok(None) => self.ended = true,
            Err(_) => {
                self.next += 1;
                self.ended = true;
            }
        }
        mark
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
