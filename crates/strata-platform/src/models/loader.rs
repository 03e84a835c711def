//! Turns a container into a model in memory: fetches its data, unpacks it under
//! `WORK/models`, loads it, asks it once. What was loaded stays while memory allows, so a
//! second deployment of the same data takes no time.

use std::any::Any;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use strata_algorithms::Algorithm;
use strata_base::objects::{ByteStream, ListObjects, ObjectError, ObjectInfo, Objects};
use strata_base::predictor::{Answer, PredictError, Request, Scorer};
use tokio::sync::{OnceCell, Semaphore, mpsc};

use super::archive::{ArchiveError, Limits, unpack};
use super::{Container, Data, Resolver};
use crate::Ports;

/// Models that are loaded at the same time; each may take a whole core.
const AT_ONCE: usize = 4;
/// Memory that models nobody serves may hold, in case they are deployed again.
const IDLE_BYTES: u64 = 1 << 30;
const IDLE_MODELS: usize = 64;
/// Most objects of a model that is stored unpacked.
const MOST_OBJECTS: usize = 10_000;

/// A model in memory, ready to answer.
pub struct Loaded {
    scorer: Box<dyn Scorer>,
    /// Name of the algorithm.
    pub algorithm: &'static str,
    /// Where it came from, for logs.
    pub source: String,
    /// Bytes held in memory, roughly.
    pub bytes: u64,
}

impl Loaded {
    /// The answer, computed on this thread. A panic inside the model is an error of this one
    /// request.
    pub fn score(&self, request: &Request) -> Result<Answer, PredictError> {
        catch_unwind(AssertUnwindSafe(|| self.scorer.score(request))).unwrap_or_else(|panic| {
            Err(PredictError::Failed(format!(
                "the model failed on this request: {} panicked: {}",
                self.algorithm,
                panic_text(&*panic)
            )))
        })
    }
}

/// Why a container could not be loaded; the sentence is an endpoint's FailureReason.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("Image {0:?} names no built-in algorithm of this cloud.")]
    Image(String),
    #[error("Could not find model data at {0}.")]
    Missing(String),
    #[error(
        "Failed to extract model data archive for container \"primary\" from URL {uri:?}: {cause}. \
         Please ensure that the object located at the URL is a valid tar.gz archive."
    )]
    Archive { uri: String, cause: ArchiveError },
    #[error("Failed to read model data for container \"primary\" from URL {uri:?}: {cause}.")]
    Fetch { uri: String, cause: String },
    #[error("Failed to load the model of container \"primary\" from URL {uri:?} with {algorithm}: {cause}")]
    Model { uri: String, algorithm: &'static str, cause: String },
}

/// Same algorithm and same bytes: same model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    algorithm: &'static str,
    data: Data,
    /// The object's ETag, or a digest over those of a folder.
    etag: String,
}

type Cell = Arc<OnceCell<Arc<Loaded>>>;

pub struct Loader {
    objects: Arc<dyn Objects>,
    folder: PathBuf,
    resolver: Resolver,
    cache: Mutex<HashMap<Key, (Cell, u64)>>,
    clock: AtomicU64,
    places: Semaphore,
}

impl Loader {
    pub fn new(ports: &Ports, resolver: Resolver) -> Self {
        Self {
            objects: ports.objects.clone(),
            folder: ports.work.join("models"),
            resolver,
            cache: Mutex::default(),
            clock: AtomicU64::new(0),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Removes what a process that was killed while it unpacked left behind. To be called
    /// before anything is loaded.
    pub async fn clear(&self) {
        let folder = self.folder.clone();
        match run(move || fs::remove_dir_all(&folder)).await {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.folder.display(), %cause, "could not clear the folder of models");
            }
            _ => {}
        }
    }

    /// The container's model, from memory where the same data was loaded before. Calls for
    /// the same data share one load.
    pub async fn load(&self, container: &Container) -> Result<Arc<Loaded>, LoadError> {
        let algorithm =
            (self.resolver)(&container.image).ok_or_else(|| LoadError::Image(container.image.clone()))?;
        let data = container.data.as_ref().ok_or_else(|| LoadError::Missing("(none given)".into()))?;
        let objects = self.find(data).await?;
        let key = Key { algorithm: algorithm.card().name, data: data.clone(), etag: etag_of(&objects) };
        let cell = {
            let mut cache = self.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let entry = cache.entry(key.clone()).or_default();
            entry.1 = self.clock.fetch_add(1, Ordering::Relaxed);
            entry.0.clone()
        };
        let loaded = cell.get_or_try_init(|| self.load_fresh(algorithm, data, &objects)).await.cloned();
        drop(cell);
        self.forget_some(loaded.is_err().then_some(&key));
        loaded
    }

    /// The objects that hold the data: one, or all of a folder.
    async fn find(&self, data: &Data) -> Result<Vec<ObjectInfo>, LoadError> {
        let missing = || LoadError::Missing(data.uri().into());
        let failed = |error: ObjectError| match error {
            ObjectError::NoBucket(_) | ObjectError::NoObject { .. } | ObjectError::InvalidName(_) => {
                missing()
            }
            error => LoadError::Fetch { uri: data.uri().into(), cause: error.to_string() },
        };
        let (bucket, key) = data.location().ok_or_else(missing)?;
        if !matches!(data, Data::Folder(_)) {
            return Ok(vec![self.objects.head(bucket, key).await.map_err(failed)?]);
        }
        let mut found = Vec::new();
        let mut query =
            ListObjects { bucket: bucket.into(), prefix: key.into(), limit: 1000, ..ListObjects::default() };
        loop {
            let listing = self.objects.list(&query).await.map_err(failed)?;
            // Consoles mark a folder by an empty object whose key ends with a slash.
            found.extend(listing.objects.into_iter().filter(|object| !object.key.ends_with('/')));
            if found.len() > MOST_OBJECTS {
                let cause = format!("there are more than {MOST_OBJECTS} objects");
                return Err(LoadError::Fetch { uri: data.uri().into(), cause });
            }
            match listing.next {
                Some(next) => query.after = Some(next),
                None if found.is_empty() => return Err(missing()),
                None => return Ok(found),
            }
        }
    }

    async fn load_fresh(
        &self,
        algorithm: &'static dyn Algorithm,
        data: &Data,
        objects: &[ObjectInfo],
    ) -> Result<Arc<Loaded>, LoadError> {
        let unread = |cause: String| LoadError::Fetch { uri: data.uri().into(), cause };
        let _place = self.places.acquire().await.map_err(|cause| unread(cause.to_string()))?;
        let home = self.folder.clone();
        let folder = run(move || {
            fs::create_dir_all(&home)?;
            tempfile::Builder::new().prefix("model-").tempdir_in(&home)
        })
        .await
        .map_err(|cause| unread(format!("could not make a folder for it: {cause}")))?;
        self.fetch(data, objects, folder.path()).await?;

        let name = algorithm.card().name;
        let uri = data.uri().to_string();
        run(move || {
            let failed = |cause| LoadError::Model { uri: uri.clone(), algorithm: name, cause };
            let scorer = catch_unwind(AssertUnwindSafe(|| algorithm.load(folder.path())))
                .unwrap_or_else(|panic| Err(format!("loading it panicked: {}", panic_text(&*panic))))
                .map_err(failed)?;
            let loaded = Loaded { bytes: scorer.size() as u64, scorer, algorithm: name, source: uri.clone() };
            // Asked once before anybody depends on it; any answer will do, also a refusal of
            // the empty body.
            match loaded.score(&Request { content_type: "text/csv".into(), ..Request::default() }) {
                Err(PredictError::Failed(cause)) => Err(failed(cause)),
                _ => Ok(Arc::new(loaded)),
            }
        })
        .await
    }

    /// Brings the data's files into the folder.
    async fn fetch(&self, data: &Data, objects: &[ObjectInfo], folder: &Path) -> Result<(), LoadError> {
        let uri = data.uri();
        let unread = |cause: String| LoadError::Fetch { uri: uri.into(), cause };
        let (bucket, prefix) = data.location().ok_or_else(|| LoadError::Missing(uri.into()))?;
        for object in objects {
            let source = self.open(bucket, object).await.map_err(|cause| unread(cause.to_string()))?;
            let folder = folder.to_path_buf();
            match data {
                Data::Archive(_) => {
                    let limits = Limits::for_archive(object.size);
                    run(move || unpack(source, &folder, limits))
                        .await
                        .map_err(|cause| LoadError::Archive { uri: uri.into(), cause })?;
                }
                Data::File(_) | Data::Folder(_) => {
                    let name = match data {
                        Data::File(_) => object.key.rsplit('/').next().unwrap_or_default(),
                        _ => object.key.strip_prefix(prefix).unwrap_or_default(),
                    };
                    let target = below(&folder, name)
                        .ok_or_else(|| unread(format!("key {:?} makes no file name", object.key)))?;
                    run(move || write(source, &target)).await.map_err(|cause| unread(cause.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// A blocking reader of the object, if it still is the one that was found.
    async fn open(&self, bucket: &str, object: &ObjectInfo) -> Result<Box<dyn Read + Send>, ObjectError> {
        let replaced = || ObjectError::Body("it was replaced while it was read: deploy again".into());
        if let Some((info, path)) = self.objects.file(bucket, &object.key).await? {
            if info.etag != object.etag {
                return Err(replaced());
            }
            // The file may be gone by now; then the stream below says what is there instead.
            if let Ok(file) = run(move || File::open(path)).await {
                return Ok(Box::new(file));
            }
        }
        let (info, stream) = self.objects.get(bucket, &object.key, None).await?;
        if info.etag != object.etag {
            return Err(replaced());
        }
        Ok(Box::new(StreamReader::new(stream)))
    }

    /// Drops the cell of a failed load, and idle models beyond the bounds, oldest first.
    fn forget_some(&self, failed: Option<&Key>) {
        let mut cache = self.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(failed) = failed
            && cache.get(failed).is_some_and(|(cell, _)| !cell.initialized() && Arc::strong_count(cell) == 1)
        {
            cache.remove(failed);
        }
        let mut idle: Vec<(u64, u64, Key)> = cache
            .iter()
            .filter_map(|(key, (cell, used))| {
                let model = cell.get().filter(|model| Arc::strong_count(model) == 1)?;
                Some((*used, model.bytes, key.clone()))
            })
            .collect();
        idle.sort_unstable_by_key(|(used, ..)| *used);
        let mut bytes: u64 = idle.iter().map(|(_, bytes, _)| bytes).sum();
        let mut count = idle.len();
        for (_, size, key) in idle {
            if bytes <= IDLE_BYTES && count <= IDLE_MODELS {
                break;
            }
            cache.remove(&key);
            bytes -= size;
            count -= 1;
        }
    }
}

/// Runs blocking work on the threads meant for it.
async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only when the runtime shuts down, and then nobody waits for us either.
        Err(_) => futures::future::pending().await,
    }
}

fn etag_of(objects: &[ObjectInfo]) -> String {
    if let [only] = objects {
        return only.etag.clone();
    }
    let mut digest = Sha256::new();
    for object in objects {
        digest.update(format!("{}\0{}\0", object.key, object.etag));
    }
    hex::encode(digest.finalize())
}

/// The path of `name` below `folder`, if it stays there.
fn below(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let inward = path.components().all(|part| matches!(part, Component::Normal(_)));
    (inward && !name.is_empty()).then(|| folder.join(path))
}

fn write(mut source: Box<dyn Read + Send>, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    io::copy(&mut source, &mut File::create(target)?)?;
    Ok(())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// A stream as a blocking reader, a few pieces ahead.
struct StreamReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl StreamReader {
    fn new(mut stream: ByteStream) -> Self {
        let (sender, pieces) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Some(piece) = stream.next().await {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        });
        Self { pieces, current: Bytes::new() }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.current = piece?,
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
