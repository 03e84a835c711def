//! The index: SQL that says which buckets and objects there are and which blobs they are made of.
//! Each function is one step of a transaction that its caller opens and commits.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use strata_base::Timestamp;
use strata_base::objects::{Attributes, ObjectError, ObjectInfo, PartInfo, Precondition};

use super::files::{BlobId, Piece};

pub type Result<T> = std::result::Result<T, ObjectError>;

pub fn failed(cause: impl std::fmt::Display) -> ObjectError {
    ObjectError::Store(cause.to_string())
}

/// An object before it is stored.
#[derive(Clone, Debug, Default)]
pub struct NewObject {
    pub size: u64,
    pub etag: String,
    pub checksums: BTreeMap<String, String>,
    pub checksum_type: Option<String>,
    pub attributes: Attributes,
    pub parts: Vec<PartInfo>,
    pub pieces: Vec<Piece>,
}

/// An object as the index has it.
pub struct Found {
    pub id: i64,
    pub info: ObjectInfo,
    pub parts: Vec<PartInfo>,
}

pub async fn bucket_id(db: &mut SqliteConnection, bucket: &str) -> Result<i64> {
    let row = sqlx::query("SELECT id FROM buckets WHERE name = ?").bind(bucket).fetch_optional(db).await;
    match row.map_err(failed)? {
        Some(row) => row.try_get(0).map_err(failed),
        None => Err(ObjectError::NoBucket(bucket.into())),
    }
}

pub async fn find(db: &mut SqliteConnection, bucket: &str, key: &str) -> Result<Found> {
    let row = sqlx::query(
        "SELECT o.* FROM buckets b JOIN objects o ON o.bucket = b.id WHERE b.name = ? AND o.key = ?",
    )
    .bind(bucket)
    .bind(key.as_bytes())
    .fetch_optional(&mut *db)
    .await
    .map_err(failed)?;
    match row {
        Some(row) => found(&row),
        None => {
            bucket_id(db, bucket).await?;
            Err(ObjectError::NoObject { bucket: bucket.into(), key: key.into() })
        }
    }
}

fn found(row: &SqliteRow) -> Result<Found> {
    let parts: Vec<PartInfo> = match row.try_get::<Option<String>, _>("parts").map_err(failed)? {
        Some(json) => from_json(&json)?,
        None => Vec::new(),
    };
    let attributes: String = row.try_get("attributes").map_err(failed)?;
    let info = ObjectInfo {
        parts: parts.iter().map(|part| part.size).collect(),
        attributes: from_json(&attributes)?,
        ..listed(row)?
    };
    Ok(Found { id: row.try_get("id").map_err(failed)?, info, parts })
}

/// What a listing shows of an object.
pub fn listed(row: &SqliteRow) -> Result<ObjectInfo> {
    let checksums: String = row.try_get("checksums").map_err(failed)?;
    Ok(ObjectInfo {
        key: key_of(row)?,
        size: row.try_get::<i64, _>("size").map_err(failed)? as u64,
        etag: row.try_get("etag").map_err(failed)?,
        modified: Timestamp(row.try_get("modified").map_err(failed)?),
        checksums: from_json(&checksums)?,
        checksum_type: row.try_get("checksum_type").map_err(failed)?,
        attributes: Attributes::default(),
        parts: Vec::new(),
    })
}

pub fn key_of(row: &SqliteRow) -> Result<String> {
    String::from_utf8(row.try_get("key").map_err(failed)?).map_err(failed)
}

pub async fn pieces(db: &mut SqliteConnection, object: i64) -> Result<Vec<Piece>> {
    let rows = sqlx::query("SELECT blob, size FROM pieces WHERE object = ? ORDER BY position")
        .bind(object)
        .fetch_all(db)
        .await
        .map_err(failed)?;
    rows.iter().map(piece_of).collect()
}

pub fn piece_of(row: &SqliteRow) -> Result<Piece> {
    let blob: Vec<u8> = row.try_get("blob").map_err(failed)?;
    let blob = BlobId::from_slice(&blob).ok_or_else(|| failed("a blob's name is not 16 bytes long"))?;
    Ok(Piece { blob, size: row.try_get::<i64, _>("size").map_err(failed)? as u64 })
}

/// Gives the key to a new object. Returns it, and the blobs of the object it replaces.
pub async fn put(
    db: &mut SqliteConnection,
    bucket: &str,
    key: &str,
    new: NewObject,
    precondition: &Precondition,
) -> Result<(ObjectInfo, Vec<BlobId>)> {
    let id = bucket_id(db, bucket).await?;
    let old = sqlx::query("SELECT id, etag FROM objects WHERE bucket = ? AND key = ?")
        .bind(id)
        .bind(key.as_bytes())
        .fetch_optional(&mut *db)
        .await
        .map_err(failed)?;
    let etag: Option<String> = match &old {
        Some(row) => row.try_get("etag").map_err(failed)?,
        None => None,
    };
    check(precondition, bucket, key, etag.as_deref())?;
    let replaced = match old {
        Some(row) => remove(db, row.try_get("id").map_err(failed)?).await?,
        None => Vec::new(),
    };
    let modified = Timestamp::now();
    let parts = (!new.parts.is_empty()).then(|| to_json(&new.parts)).transpose()?;
    let row = sqlx::query(
        "INSERT INTO objects (bucket, key, size, etag, modified, checksums, checksum_type, attributes, parts)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(id)
    .bind(key.as_bytes())
    .bind(new.size as i64)
    .bind(&new.etag)
    .bind(modified.0)
    .bind(to_json(&new.checksums)?)
    .bind(&new.checksum_type)
    .bind(to_json(&new.attributes)?)
    .bind(parts)
    .fetch_one(&mut *db)
    .await
    .map_err(failed)?;
    insert_pieces(db, row.try_get("id").map_err(failed)?, &new.pieces).await?;
    let info = ObjectInfo {
        key: key.into(),
        size: new.size,
        etag: new.etag,
        modified,
        checksums: new.checksums,
        checksum_type: new.checksum_type,
        attributes: new.attributes,
        parts: new.parts.iter().map(|part| part.size).collect(),
    };
    Ok((info, replaced))
}

/// May an object with this ETag (or none) be replaced or removed?
pub fn check(precondition: &Precondition, bucket: &str, key: &str, etag: Option<&str>) -> Result<()> {
    match (&precondition.if_match, etag) {
        (Some(_), None) => return Err(ObjectError::NoObject { bucket: bucket.into(), key: key.into() }),
        (Some(wanted), Some(etag)) if wanted != "*" && wanted != etag => {
            return Err(ObjectError::Precondition(format!("the object's ETag is {etag}, not {wanted}")));
        }
        _ => {}
    }
    if precondition.if_none_match && etag.is_some() {
        return Err(ObjectError::Precondition(format!("there is an object {key:?}")));
    }
    Ok(())
}

/// Removes an object; returns the blobs it was made of.
pub async fn remove(db: &mut SqliteConnection, object: i64) -> Result<Vec<BlobId>> {
    let blobs = pieces(db, object).await?.iter().map(|piece| piece.blob).collect();
    sqlx::query("DELETE FROM objects WHERE id = ?").bind(object).execute(db).await.map_err(failed)?;
    Ok(blobs)
}

pub async fn insert_pieces(db: &mut SqliteConnection, object: i64, pieces: &[Piece]) -> Result<()> {
    // One statement however many there are: an object may have ten thousand.
    let list: Vec<(String, u64)> =
        pieces.iter().map(|piece| (hex::encode(piece.blob.as_slice()), piece.size)).collect();
    sqlx::query(
        "INSERT INTO pieces (object, position, blob, size)
         SELECT ?, key, unhex(value ->> 0), value ->> 1 FROM json_each(?)",
    )
    .bind(object)
    .bind(to_json(&list)?)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Those of `blobs` that neither an object nor a part is made of.
pub async fn unused(db: &mut SqliteConnection, blobs: &[BlobId]) -> Result<Vec<BlobId>> {
    if blobs.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = blobs.iter().map(|blob| hex::encode(blob.as_slice())).collect();
    let rows = sqlx::query(
        "SELECT DISTINCT value FROM json_each(?)
         WHERE NOT EXISTS (SELECT 1 FROM pieces WHERE blob = unhex(value))
           AND NOT EXISTS (SELECT 1 FROM parts WHERE blob = unhex(value))",
    )
    .bind(to_json(&list)?)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    let names: std::result::Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    Ok(names.map_err(failed)?.iter().filter_map(|name| BlobId::from_name(name)).collect())
}

pub fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(failed)
}

pub fn from_json<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(failed)
}
