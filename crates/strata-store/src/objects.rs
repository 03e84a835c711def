//! Objects on disk: bytes in files, and an index in SQLite that says which key they belong to.
//!
//! A put writes a blob (random name, complete, synced) and then, in one transaction, gives it
//! its key: readers see the old object or the new one. Key names never reach the file system.
//! The blob of a replaced object goes when its last reader is done; blobs that a crash left
//! without a key are swept at the next start.

mod digests;
#[cfg(any(test, feature = "exam"))]
pub mod exam;
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
