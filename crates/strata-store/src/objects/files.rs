//! Blobs: files that hold the bytes of objects and parts. A blob has a random name, is complete
//! and on disk before its name appears, and never changes. Which blob belongs to which key is the
//! index's matter; a blob that the index does not name is rubbish of a crash.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::StreamExt;
use rand::RngExt;
use strata_base::objects::{ByteStream, ObjectError};
use tokio::task::{JoinHandle, spawn_blocking};

use super::digests::{Digester, Digests};

/// Bytes that travel together between the network and the disk. Larger pieces gain nothing;
/// smaller ones pay a change of thread too often.
const CHUNK: usize = 512 * 1024;

/// Pieces of a body that are gathered before they are written, at most: bounds what a body
/// that arrives in crumbs can hold.
const CRUMBS: usize = 1024;

/// The name of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobId([u8; 16]);

impl BlobId {
    fn random() -> Self {
        Self(rand::rng().random())
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_slice(&hex::decode(name).ok()?)
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn name(&self) -> String {
        hex::encode(self.0)
    }
}

/// A stretch of an object's bytes: one whole blob.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    pub blob: BlobId,
    pub size: u64,
}

/// The folder of blobs, and who uses which at the moment.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    uses: Mutex<Uses>,
}

#[derive(Default)]
struct Uses {
    /// Readers and writers of a blob, and whether it shall go when they are done.
    held: HashMap<BlobId, (usize, bool)>,
    /// Counts the removals that have begun.
    removals: u64,
}

impl Files {
    /// Opens or creates the folder, and clears away what was being written when it was left.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let temporary = folder.join("tmp");
        if temporary.exists() {
            for entry in fs::read_dir(&temporary)? {
                fs::remove_file(entry?.path())?;
            }
        } else {
            fs::create_dir_all(folder)?;
            for fan in 0..=255u8 {
                match fs::create_dir(folder.join(hex::encode([fan]))) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
            }
            // Made last: its presence says that the others are there.
            fs::create_dir(&temporary)?;
            sync_folder(folder)?;
        }
        Ok(Self(Arc::new(Inner { folder: folder.into(), uses: Mutex::default() })))
    }

    pub fn path(&self, blob: BlobId) -> PathBuf {
        let name = blob.name();
        self.fan(blob.0[0]).join(name)
    }

    fn fan(&self, first: u8) -> PathBuf {
        self.0.folder.join(hex::encode([first]))
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.0.uses.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writes a body to a new blob: complete and durable when this returns, unless its sender
    /// fails first. Dropping the result (or this future) removes the blob again; see [`Written::keep`].
    pub async fn write(&self, mut body: ByteStream, digester: Digester) -> Result<Written, ObjectError> {
        let mut sink = Pending::Idle(Sink::new(self, digester));
        let mut batch = Vec::new();
        let mut filled = 0;
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|cause| ObjectError::Body(cause.to_string()))?;
            filled += bytes.len();
            batch.push(bytes);
            if filled >= CHUNK || batch.len() >= CRUMBS {
                let mut ready = sink.ready().await?;
                let full = std::mem::take(&mut batch);
                filled = 0;
                // The disk works on this batch while the next one arrives.
                sink = Pending::Busy(spawn_blocking(move || {
                    ready.append(&full)?;
                    Ok(ready)
                }));
            }
        }
        let mut ready = sink.ready().await?;
        let written = spawn_blocking(move || {
            ready.append(&batch)?;
            ready.finish()
        });
        joined(written.await)
    }

    /// Keeps these blobs on disk until the result is dropped, even when they are discarded.
    pub fn hold(&self, blobs: impl IntoIterator<Item = BlobId>) -> Hold {
        let blobs: Vec<BlobId> = blobs.into_iter().collect();
        let mut uses = self.uses();
        for blob in &blobs {
            uses.held.entry(*blob).or_default().0 += 1;
        }
        Hold { files: self.clone(), blobs }
    }

    /// Changes whenever blobs begin to be removed. A reader that finds it unchanged between
    /// asking the index and holding the blobs knows that it holds them in time.
    pub fn removals(&self) -> u64 {
        self.uses().removals
    }

    /// Removes blobs that the index no longer names; those in use go when their users are done.
    pub fn discard(&self, blobs: Vec<BlobId>) {
        if blobs.is_empty() {
            return;
        }
        let mut idle = Vec::new();
        let mut uses = self.uses();
        uses.removals += 1;
        for blob in blobs {
            match uses.held.get_mut(&blob) {
                Some((_, doomed)) => *doomed = true,
                None => idle.push(blob),
            }
        }
        drop(uses);
        self.unlink(idle);
    }

    fn unlink(&self, blobs: Vec<BlobId>) {
        if blobs.is_empty() {
            return;
        }
        let files = self.clone();
        let work = move || {
            for blob in blobs {
                let path = files.path(blob);
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(path = %path.display(), %error, "could not remove blob");
                }
            }
        };
        // Freeing a large file takes the disk a while: not on a thread that answers requests.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }

    /// The blobs in one of the 256 folders that nobody uses at the moment.
    pub fn idle(&self, first: u8) -> io::Result<Vec<BlobId>> {
        let mut blobs = Vec::new();
        for entry in fs::read_dir(self.fan(first))? {
            if let Some(blob) = entry?.file_name().to_str().and_then(BlobId::from_name) {
                blobs.push(blob);
            }
        }
        let uses = self.uses();
        blobs.retain(|blob| !uses.held.contains_key(blob));
        Ok(blobs)
    }

    /// `length` bytes from byte `from` on of pieces laid end to end. The stream keeps `hold`.
    pub fn read(&self, hold: Hold, pieces: Vec<Piece>, from: u64, length: u64) -> ByteStream {
        let mut skip = from;
        let mut pieces = pieces.into_iter().peekable();
        while pieces.next_if(|piece| piece.size <= skip).is_some_and(|piece| {
            skip -= piece.size;
            true
        }) {}
        let reader = Reader {
            files: self.clone(),
            pieces: pieces.collect::<Vec<_>>().into_iter(),
            file: None,
            skip,
            left: length,
        };
        let first = spawn_read(reader);
        // One chunk is read ahead while the one before it travels.
        futures::stream::try_unfold((first, hold), |(next, hold)| async move {
            let Some(next) = next else { return Ok(None) };
            let (bytes, reader) = next.await.map_err(io::Error::other)??;
            Ok(Some((bytes, (spawn_read(reader), hold))))
        })
        .boxed()
    }
}

/// Blobs that stay on disk while this lives.
pub struct Hold {
    files: Files,
    blobs: Vec<BlobId>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut doomed = Vec::new();
        let mut uses = self.files.uses();
        for blob in &self.blobs {
            if let Some((count, doom)) = uses.held.get_mut(blob) {
                *count -= 1;
                if *count == 0 {
                    if *doom {
                        doomed.push(*blob);
                    }
                    uses.held.remove(blob);
                }
            }
        }
        drop(uses);
        self.files.unlink(doomed);
    }
}

/// A complete blob that the index does not name yet.
pub struct Written {
    pub piece: Piece,
    pub digests: Digests,
    hold: Hold,
    keep: bool,
}

impl Written {
    /// From here on the blob stays. To be called before the index is asked to name it: whether a
    /// commit that failed took place after all is known only when the store is opened again.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.keep {
            self.hold.files.discard(vec![self.piece.blob]);
        }
    }
}

/// A blob being written.
struct Sink {
    files: Files,
    blob: BlobId,
    file: Option<File>,
    digester: Digester,
    size: u64,
    /// Marks the blob as in use from before its name appears.
    hold: Option<Hold>,
}

enum Pending {
    Idle(Sink),
    Busy(JoinHandle<Result<Sink, ObjectError>>),
}

impl Pending {
    async fn ready(self) -> Result<Sink, ObjectError> {
        match self {
            Self::Idle(sink) => Ok(sink),
            Self::Busy(writing) => joined(writing.await),
        }
    }
}

impl Sink {
    fn new(files: &Files, digester: Digester) -> Self {
        let blob = BlobId::random();
        let hold = Some(files.hold([blob]));
        Self { files: files.clone(), blob, file: None, digester, size: 0, hold }
    }

    fn temporary(&self) -> PathBuf {
        self.files.0.folder.join("tmp").join(self.blob.name())
    }

    fn append(&mut self, batch: &[Bytes]) -> Result<(), ObjectError> {
        let path = self.temporary();
        let failed = |cause: io::Error| ObjectError::Store(format!("{}: {cause}", path.display()));
        if self.file.is_none() {
            self.file = Some(File::create_new(&path).map_err(failed)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        for bytes in batch {
            file.write_all(bytes).map_err(failed)?;
            self.digester.update(bytes);
            self.size += bytes.len() as u64;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Written, ObjectError> {
        let path = self.files.path(self.blob);
        let failed = |cause: io::Error| ObjectError::Store(format!("{}: {cause}", path.display()));
        if let Some(file) = &self.file {
            file.sync_data().map_err(failed)?;
        }
        fs::rename(self.temporary(), &path).map_err(failed)?;
        self.file = None;
        let Some(hold) = self.hold.take() else {
            return Err(ObjectError::Store("blob is not held".into()));
        };
        let digester = std::mem::take(&mut self.digester);
        let piece = Piece { blob: self.blob, size: self.size };
        // From here on the blob is removed when `written` is dropped.
        let written = Written { piece, digests: digester.finish(), hold, keep: false };
        sync_folder(&self.files.fan(self.blob.0[0])).map_err(failed)?;
        Ok(written)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = fs::remove_file(self.temporary())
        {
            tracing::warn!(path = %self.temporary().display(), %error, "could not remove temporary file");
        }
    }
}

struct Reader {
    files: Files,
    pieces: std::vec::IntoIter<Piece>,
    /// The open piece and what is left of it.
    file: Option<(File, u64)>,
    /// Bytes to pass over in the next piece.
    skip: u64,
    left: u64,
}

type Reading = JoinHandle<io::Result<(Bytes, Reader)>>;

fn spawn_read(mut reader: Reader) -> Option<Reading> {
    (reader.left > 0).then(|| spawn_blocking(move || Ok((reader.chunk()?, reader))))
}

impl Reader {
    /// The next bytes; never none, for `left` is more than zero.
    fn chunk(&mut self) -> io::Result<Bytes> {
        let (mut file, rest) = match self.file.take() {
            Some(open) => open,
            None => self.open_next()?,
        };
        let wanted = rest.min(self.left).min(CHUNK as u64);
        let mut bytes = Vec::with_capacity(wanted as usize);
        (&mut file).take(wanted).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != wanted {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "blob is shorter than the index says"));
        }
        self.left -= wanted;
        if rest > wanted {
            self.file = Some((file, rest - wanted));
        }
        Ok(bytes.into())
    }

    fn open_next(&mut self) -> io::Result<(File, u64)> {
        loop {
            let Some(piece) = self.pieces.next() else {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "object is shorter than the index says",
                ));
            };
            let skip = std::mem::take(&mut self.skip);
            if piece.size == skip {
                continue;
            }
            let mut file = File::open(self.files.path(piece.blob))?;
            if skip > 0 {
                file.seek(SeekFrom::Start(skip))?;
            }
            return Ok((file, piece.size - skip));
        }
    }
}

fn joined<T>(result: Result<Result<T, ObjectError>, tokio::task::JoinError>) -> Result<T, ObjectError> {
    result.unwrap_or_else(|cause| Err(ObjectError::Store(cause.to_string())))
}

/// Makes names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
