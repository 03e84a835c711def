//! Objects on disk: bytes in files, and an index in SQLite that says which key they belong to.
//!
//! A put writes a blob (random name, complete, synced) and then, in one transaction, gives it
//! its key: readers see the old object or the new one. Key names never reach the file system.
//! The blob of a replaced object goes when its last reader is done; blobs that a crash left
//! without a key are swept at the next start.

mod digests;
mod files;
mod index;
mod list;
mod multipart;
mod names;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Connection, Row, SqliteConnection};
use strata_base::Timestamp;
use strata_base::objects::{
    Attributes, Body, BucketInfo, ByteStream, Expected, ListObjects, Listing, Multipart, ObjectError,
    ObjectInfo, Objects, Precondition, Source,
};

use crate::Database;
use digests::Digester;
use files::{BlobId, Files, Hold, Piece, Written};
use index::{Found, NewObject, Result, failed};

/// The object store of one machine.
#[derive(Clone)]
pub struct Blobs(Arc<Inner>);

struct Inner {
    database: Database,
    files: Files,
}

impl Blobs {
    /// Opens or creates the store whose index is in `database` and whose files are in `folder`.
    /// What a crash left behind is swept in the background.
    pub async fn open(database: Database, folder: &Path) -> Result<Self> {
        let path = folder.to_path_buf();
        let files = tokio::task::spawn_blocking(move || Files::open(&path)).await.map_err(failed)?;
        let files = files.map_err(|cause| failed(format!("{}: {cause}", folder.display())))?;
        let blobs = Self(Arc::new(Inner { database, files }));
        let sweeper = blobs.clone();
        tokio::spawn(async move {
            match sweeper.sweep().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "removed blobs that no object names"),
                Err(error) => tracing::warn!(%error, "could not sweep the object store"),
            }
        });
        Ok(blobs)
    }

    /// Removes the blobs that nothing refers to; returns how many there were.
    pub async fn sweep(&self) -> Result<usize> {
        let mut count = 0;
        for first in 0..=255u8 {
            let files = self.0.files.clone();
            let idle = tokio::task::spawn_blocking(move || files.idle(first)).await.map_err(failed)?;
            let idle = idle.map_err(failed)?;
            if idle.is_empty() {
                continue;
            }
            // Asked after the folder was read: what was committed meanwhile is found named.
            let mut db = self.0.database.read.acquire().await.map_err(failed)?;
            let rubbish = index::unused(&mut db, &idle).await?;
            count += rubbish.len();
            self.0.files.discard(rubbish);
        }
        Ok(count)
    }

    /// Does a step of the index in one transaction, to its end even when the caller goes away:
    /// a commit that nobody waits for must not be taken for one that failed.
    async fn change<T, F, Fut>(&self, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Change) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(T, Change)>> + Send,
    {
        let blobs = self.clone();
        let work = async move {
            let tx = blobs.0.database.write.begin().await.map_err(failed)?;
            let (value, mut change) = step(Change { tx, freed: Vec::new(), written: None }).await?;
            let unused = index::unused(&mut change.tx, &change.freed).await?;
            if let Some(written) = &mut change.written {
                written.keep();
            }
            change.tx.commit().await.map_err(failed)?;
            blobs.0.files.discard(unused);
            Ok(value)
        };
        tokio::spawn(work).await.map_err(failed)?
    }

    /// Names a written blob in the index; when that is refused, the blob goes.
    async fn adopt<T, F, Fut>(&self, written: Written, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Change) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(T, Change)>> + Send,
    {
        self.change(|mut change| {
            change.written = Some(written);
            step(change)
        })
        .await
    }

    async fn find(&self, bucket: &str, key: &str) -> Result<Found> {
        let mut db = self.0.database.read.acquire().await.map_err(failed)?;
        index::find(&mut db, bucket, key).await
    }

    /// The object, its pieces, and the promise that they stay.
    async fn find_held(&self, bucket: &str, key: &str) -> Result<(Found, Vec<Piece>, Hold)> {
        loop {
            let before = self.0.files.removals();
            let mut db = self.0.database.read.acquire().await.map_err(failed)?;
            let mut tx = db.begin().await.map_err(failed)?;
            let found = index::find(&mut tx, bucket, key).await?;
            let pieces = index::pieces(&mut tx, found.id).await?;
            drop(tx);
            let hold = self.0.files.hold(pieces.iter().map(|piece| piece.blob));
            if self.0.files.removals() == before {
                return Ok((found, pieces, hold));
            }
        }
    }

    /// Writes a body to a blob and compares it with what was promised.
    async fn write(&self, body: Body, compute: &[String]) -> Result<Written> {
        let compute: Vec<String> = body.compute.iter().chain(compute).cloned().collect();
        let digester = Digester::new(&body.expected, &compute)?;
        let written = self.0.files.write(body.stream, digester).await?;
        written.digests.check(&body.expected)?;
        if let Some(trailing) = body.trailing {
            written.digests.check(&trailing()?)?;
        }
        Ok(written)
    }

    async fn require_bucket(&self, bucket: &str) -> Result<i64> {
        let mut db = self.0.database.read.acquire().await.map_err(failed)?;
        index::bucket_id(&mut db, bucket).await
    }

    /// Puts the pieces of an object into one file.
    async fn join(&self, bucket: &str, key: &str) -> Result<()> {
        let (found, pieces, hold) = self.find_held(bucket, key).await?;
        if pieces.len() == 1 {
            return Ok(());
        }
        let stream = self.0.files.read(hold, pieces.clone(), 0, found.info.size);
        let written = self.0.files.write(stream, Digester::default()).await?;
        let piece = written.piece;
        self.adopt(written, move |mut change| async move {
            // Replaced or joined meanwhile? Then the blob just written is one too many.
            if index::pieces(&mut change.tx, found.id).await? == pieces {
                sqlx::query("DELETE FROM pieces WHERE object = ?")
                    .bind(found.id)
                    .execute(&mut *change.tx)
                    .await
                    .map_err(failed)?;
                index::insert_pieces(&mut change.tx, found.id, &[piece]).await?;
                change.freed.extend(pieces.iter().map(|piece| piece.blob));
            } else {
                change.freed.push(piece.blob);
            }
            Ok(((), change))
        })
        .await
    }
}

/// A transaction, and the blobs that may be without a name at its end.
struct Change {
    tx: sqlx::Transaction<'static, sqlx::Sqlite>,
    freed: Vec<BlobId>,
    /// A blob that gets its name here. In use until after the commit, or the sweeper takes it.
    written: Option<Written>,
}

impl Change {
    async fn put(
        &mut self,
        bucket: &str,
        key: &str,
        new: NewObject,
        precondition: &Precondition,
    ) -> Result<ObjectInfo> {
        let (info, replaced) = index::put(&mut self.tx, bucket, key, new, precondition).await?;
        self.freed.extend(replaced);
        Ok(info)
    }
}

/// An object that somebody reads.
struct HeldObject {
    files: Files,
    pieces: Vec<Piece>,
    hold: Hold,
}

impl Source for HeldObject {
    fn stream(self: Box<Self>, from: u64, length: u64) -> ByteStream {
        self.files.read(self.hold, self.pieces, from, length)
    }
}

#[async_trait]
impl Objects for Blobs {
    async fn create_bucket(&self, bucket: &str) -> Result<()> {
        self.create_bucket_in(bucket, "").await
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<()> {
        let bucket = bucket.to_string();
        self.change(move |mut change| async move {
            let id = index::bucket_id(&mut change.tx, &bucket).await?;
            let object = sqlx::query("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1").bind(id);
            if object.fetch_optional(&mut *change.tx).await.map_err(failed)?.is_some() {
                return Err(ObjectError::BucketNotEmpty(bucket));
            }
            // Unfinished uploads go with the bucket, as in AWS.
            let parts = sqlx::query(
                "SELECT blob, size FROM parts JOIN uploads ON uploads.id = parts.upload WHERE uploads.bucket = ?",
            );
            let parts = parts.bind(id).fetch_all(&mut *change.tx).await.map_err(failed)?;
            for row in &parts {
                change.freed.push(index::piece_of(row)?.blob);
            }
            let delete = sqlx::query("DELETE FROM buckets WHERE id = ?").bind(id);
            delete.execute(&mut *change.tx).await.map_err(failed)?;
            Ok(((), change))
        })
        .await
    }

    async fn bucket(&self, bucket: &str) -> Result<BucketInfo> {
        let row = sqlx::query("SELECT name, created FROM buckets WHERE name = ?")
            .bind(bucket)
            .fetch_optional(&self.0.database.read)
            .await
            .map_err(failed)?;
        row.map_or_else(|| Err(ObjectError::NoBucket(bucket.into())), |row| bucket_info(&row))
    }

    async fn buckets(&self) -> Result<Vec<BucketInfo>> {
        let rows = sqlx::query("SELECT name, created FROM buckets ORDER BY name")
            .fetch_all(&self.0.database.read)
            .await
            .map_err(failed)?;
        rows.iter().map(bucket_info).collect()
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        body: ByteStream,
        attributes: Attributes,
        expected: Expected,
        precondition: Precondition,
    ) -> Result<ObjectInfo> {
        self.put_body(bucket, key, Body { expected, ..Body::new(body) }, attributes, precondition).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectInfo> {
        Ok(self.find(bucket, key).await?.info)
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<(ObjectInfo, ByteStream)> {
        let opened = self.open(bucket, key).await?;
        let (from, length) = range.unwrap_or((0, opened.info.size));
        Ok((opened.info, opened.source.stream(from, length)))
    }

    async fn file(&self, bucket: &str, key: &str) -> Result<Option<(ObjectInfo, PathBuf)>> {
        loop {
            let (found, pieces, _hold) = self.find_held(bucket, key).await?;
            if let [piece] = pieces.as_slice() {
                return Ok(Some((found.info, self.0.files.path(piece.blob))));
            }
            self.join(bucket, key).await?;
        }
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let object = strata_base::objects::DeleteObject { key: key.into(), if_match: None };
        self.delete_all(bucket, &[object]).await?.into_iter().collect()
    }

    async fn list(&self, query: &ListObjects) -> Result<Listing> {
        let mut db = self.0.database.read.acquire().await.map_err(failed)?;
        list::objects(&mut db, query).await
    }

    async fn set_tags(&self, bucket: &str, key: &str, tags: BTreeMap<String, String>) -> Result<()> {
        let (bucket, key) = (bucket.to_string(), key.to_string());
        self.change(move |mut change| async move {
            let found = index::find(&mut change.tx, &bucket, &key).await?;
            let attributes = Attributes { tags, ..found.info.attributes };
            sqlx::query("UPDATE objects SET attributes = ? WHERE id = ?")
                .bind(index::to_json(&attributes)?)
                .bind(found.id)
                .execute(&mut *change.tx)
                .await
                .map_err(failed)?;
            Ok(((), change))
        })
        .await
    }
}

fn bucket_info(row: &sqlx::sqlite::SqliteRow) -> Result<BucketInfo> {
    Ok(BucketInfo {
        name: row.try_get("name").map_err(failed)?,
        created: Timestamp(row.try_get("created").map_err(failed)?),
    })
}

#[cfg(test)]
mod tests {
    use strata_base::exams::objects::{self as exam, body};

    use super::*;

    async fn store(folder: &Path) -> Blobs {
        Blobs::open(Database::open(folder).await.unwrap(), &folder.join("objects")).await.unwrap()
    }

    /// Files below the folder, when those that are being removed are gone.
    async fn files(folder: &Path, expected: usize) -> usize {
        let give_up = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while count(folder) != expected && std::time::Instant::now() < give_up {
            tokio::task::yield_now().await;
        }
        count(folder)
    }

    fn count(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }

    async fn put(store: &Blobs, key: &str, bytes: &'static str) {
        let attributes = Attributes::default();
        store
            .put("b-1", key, body(bytes), attributes, Expected::new(), Precondition::default())
            .await
            .unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn passes_the_exam_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        exam::all(&store).await;
        assert_eq!(files(&folder.path().join("objects"), 0).await, 0, "files without an object");
        assert!(store.0.files.removals() > 0);
    }

    #[tokio::test]
    async fn what_a_crash_leaves_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path().join("objects");
        let first = store(folder.path()).await;
        first.create_bucket("b-1").await.unwrap();
        put(&first, "kept", "kept").await;
        let orphan = objects.join("ab").join(format!("ab{}", "0".repeat(30)));
        std::fs::write(&orphan, "no object names it").unwrap();
        std::fs::write(objects.join("tmp").join("half"), "half writ").unwrap();
        first.0.database.close().await;
        drop(first);

        let second = store(folder.path()).await;
        assert_eq!(count(&objects.join("tmp")), 0);
        second.sweep().await.unwrap();
        assert_eq!(files(&objects, 1).await, 1);
        let (info, path) = second.file("b-1", "kept").await.unwrap().unwrap();
        assert_eq!((info.size, std::fs::read(path).unwrap()), (4, b"kept".to_vec()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sweep_spares_what_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        store.create_bucket("b-1").await.unwrap();
        let sweeping = async {
            for _ in 0..10 {
                store.sweep().await.unwrap();
            }
        };
        let writing = async {
            for key in ["1", "2", "3", "4", "5", "6"] {
                put(&store, key, "bytes").await;
            }
        };
        futures::future::join(sweeping, writing).await;
        assert_eq!(files(&folder.path().join("objects"), 6).await, 6);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_put_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        store.create_bucket("b-1").await.unwrap();
        let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<bytes::Bytes>>(1);
        let stream = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let stream: ByteStream = Box::pin(stream);
        let putting = {
            let store = store.clone();
            tokio::spawn(async move {
                let attributes = Attributes::default();
                store.put("b-1", "k", stream, attributes, Expected::new(), Precondition::default()).await
            })
        };
        for _ in 0..8 {
            sender.send(Ok(vec![0; 300_000].into())).await.unwrap();
        }
        putting.abort();
        assert!(putting.await.unwrap_err().is_cancelled());
        assert_eq!(files(&folder.path().join("objects"), 0).await, 0);
        assert!(store.head("b-1", "k").await.is_err());
    }

    /// What the child below writes under a number: its length and its bytes say which it is.
    fn numbered(number: usize) -> bytes::Bytes {
        vec![number as u8; 1 + number * 7919 % 900_000].into()
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "writes without end: the child of survives_kill_9"]
    async fn writer_to_be_killed() {
        let folder = std::env::var("STRATA_TEST_FOLDER").unwrap();
        let store = store(Path::new(&folder)).await;
        store.create_bucket("b-1").await.ok();
        let writers = (0..4).map(|writer| {
            let store = store.clone();
            async move {
                for i in 0.. {
                    let number = writer + i * 4;
                    for key in [format!("own/{number}"), "shared".to_string()] {
                        let attributes = Attributes::default();
                        let stream = body(numbered(number));
                        let put = store.put(
                            "b-1",
                            &key,
                            stream,
                            attributes,
                            Expected::new(),
                            Precondition::default(),
                        );
                        put.await.unwrap();
                    }
                    use std::io::Write;
                    writeln!(std::io::stdout().lock(), "acknowledged {number}").unwrap();
                }
            }
        });
        futures::future::join_all(writers).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn survives_kill_9() {
        use std::io::BufRead;
        let folder = tempfile::tempdir().unwrap();
        let mut acknowledged = std::collections::BTreeSet::new();
        for round in 1..=3 {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "objects::tests::writer_to_be_killed", "--ignored", "--nocapture"])
                .env("STRATA_TEST_FOLDER", folder.path())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
            let numbers = lines.map_while(|line| line.ok()).filter_map(|line| {
                line.split_once("acknowledged ").and_then(|(_, number)| number.parse::<usize>().ok())
            });
            acknowledged.extend(numbers.take(17 * round));
            child.kill().unwrap();
            child.wait().unwrap();

            let store = store(folder.path()).await;
            let query = ListObjects { bucket: "b-1".into(), limit: 10_000, ..Default::default() };
            let objects = store.list(&query).await.unwrap().objects;
            for info in &objects {
                let (_, path) = store.file("b-1", &info.key).await.unwrap().unwrap();
                let bytes = std::fs::read(path).unwrap();
                let mut digester = Digester::default();
                digester.update(&bytes);
                assert_eq!(digester.finish().md5, info.etag, "{} is torn", info.key);
            }
            for number in &acknowledged {
                let stored = objects.iter().find(|info| info.key == format!("own/{number}"));
                let stored = stored.unwrap_or_else(|| panic!("{number} was acknowledged and is lost"));
                assert_eq!(stored.size, numbered(*number).len() as u64);
            }
            store.sweep().await.unwrap();
            let count = objects.len();
            assert_eq!(files(&folder.path().join("objects"), count).await, count, "rubbish stays");
            store.0.database.close().await;
        }
    }
}
