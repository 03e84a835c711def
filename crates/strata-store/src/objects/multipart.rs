//! What S3 asks beyond whole objects: uploads in parts, copies, many deletions at once.
//!
//! Completing an upload moves no bytes: the parts' blobs become the pieces of the object, in
//! one transaction. `file` joins them into one when a program wants a file.

use std::collections::HashMap;

use super::*;
use digests::{Algorithm, multipart_checksum, multipart_etag};
use rand::RngExt;
use strata_base::objects::{
    CopyObject, DeleteObject, ListUploads, Opened, PartClaim, PartInfo, UploadInfo, UploadListing,
};

#[async_trait]
impl Multipart for Blobs {
    async fn create_bucket_in(&self, bucket: &str, region: &str) -> Result<()> {
        names::check_bucket(bucket)?;
        let (bucket, region) = (bucket.to_string(), region.to_string());
        self.change(move |mut change| async move {
            let created = sqlx::query(
                "INSERT INTO buckets (name, region, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(&bucket)
            .bind(region)
            .bind(Timestamp::now().0)
            .execute(&mut *change.tx)
            .await
            .map_err(failed)?;
            match created.rows_affected() {
                0 => Err(ObjectError::BucketExists(bucket)),
                _ => Ok(((), change)),
            }
        })
        .await
    }

    async fn region(&self, bucket: &str) -> Result<String> {
        let row = sqlx::query("SELECT region FROM buckets WHERE name = ?")
            .bind(bucket)
            .fetch_optional(&self.0.database.read)
            .await
            .map_err(failed)?;
        row.ok_or_else(|| ObjectError::NoBucket(bucket.into()))?.try_get(0).map_err(failed)
    }

    async fn put_body(
        &self,
        bucket: &str,
        key: &str,
        body: Body,
        attributes: Attributes,
        precondition: Precondition,
    ) -> Result<ObjectInfo> {
        names::check_key(key)?;
        self.require_bucket(bucket).await?;
        let written = self.write(body, &[]).await?;
        let digests = written.digests.clone();
        let new = NewObject {
            size: written.piece.size,
            etag: digests.md5,
            checksum_type: (!digests.checksums.is_empty()).then(|| "FULL_OBJECT".to_string()),
            checksums: digests.checksums,
            attributes,
            parts: Vec::new(),
            pieces: vec![written.piece],
        };
        let (bucket, key) = (bucket.to_string(), key.to_string());
        self.adopt(written, move |mut change| async move {
            let info = change.put(&bucket, &key, new, &precondition).await?;
            Ok((info, change))
        })
        .await
    }

    async fn open(&self, bucket: &str, key: &str) -> Result<Opened> {
        let (found, pieces, hold) = self.find_held(bucket, key).await?;
        let files = self.0.files.clone();
        Ok(Opened { info: found.info, source: Box::new(HeldObject { files, pieces, hold }) })
    }

    async fn copy(&self, copy: CopyObject) -> Result<ObjectInfo> {
        names::check_key(&copy.key)?;
        self.change(move |mut change| async move {
            let from = index::find(&mut change.tx, &copy.from_bucket, &copy.from_key).await?;
            let pieces = index::pieces(&mut change.tx, from.id).await?;
            let unchanged = Precondition { if_match: copy.from_etag, if_none_match: false };
            index::check(&unchanged, &copy.from_bucket, &copy.from_key, Some(&from.info.etag))?;
            let tags = copy.tags.unwrap_or(from.info.attributes.tags.clone());
            let new = NewObject {
                size: from.info.size,
                etag: from.info.etag,
                checksums: from.info.checksums,
                checksum_type: from.info.checksum_type,
                attributes: Attributes { tags, ..copy.attributes.unwrap_or(from.info.attributes) },
                parts: from.parts,
                pieces,
            };
            let info = change.put(&copy.bucket, &copy.key, new, &copy.precondition).await?;
            Ok((info, change))
        })
        .await
    }

    async fn delete_all(&self, bucket: &str, objects: &[DeleteObject]) -> Result<Vec<Result<()>>> {
        let (bucket, objects) = (bucket.to_string(), objects.to_vec());
        self.change(move |mut change| async move {
            let id = index::bucket_id(&mut change.tx, &bucket).await?;
            let mut results = Vec::with_capacity(objects.len());
            for object in objects {
                results.push(delete(&mut change, id, &bucket, object).await?);
            }
            Ok((results, change))
        })
        .await
    }

    async fn object_parts(&self, bucket: &str, key: &str) -> Result<Vec<PartInfo>> {
        Ok(self.find(bucket, key).await?.parts)
    }

    async fn start_upload(
        &self,
        bucket: &str,
        key: &str,
        attributes: Attributes,
        checksum: Option<(String, String)>,
    ) -> Result<String> {
        names::check_key(key)?;
        if let Some((algorithm, _)) = &checksum {
            Algorithm::parse(algorithm)?;
        }
        let (bucket, key) = (bucket.to_string(), key.to_string());
        let upload = hex::encode(rand::rng().random::<[u8; 24]>());
        self.change(move |mut change| async move {
            let id = index::bucket_id(&mut change.tx, &bucket).await?;
            let (algorithm, kind) = checksum.unzip();
            sqlx::query(
                "INSERT INTO uploads (id, bucket, key, started, attributes, algorithm, checksum_type)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&upload)
            .bind(id)
            .bind(key.as_bytes())
            .bind(Timestamp::now().0)
            .bind(index::to_json(&attributes)?)
            .bind(algorithm)
            .bind(kind)
            .execute(&mut *change.tx)
            .await
            .map_err(failed)?;
            Ok((upload, change))
        })
        .await
    }

    async fn upload(&self, bucket: &str, key: &str, upload: &str) -> Result<UploadInfo> {
        let mut db = self.0.database.read.acquire().await.map_err(failed)?;
        Ok(find_upload(&mut db, bucket, key, upload).await?.0)
    }

    async fn put_part(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: u32,
        body: Body,
    ) -> Result<PartInfo> {
        let started = self.upload(bucket, key, upload).await?;
        let algorithm: Vec<String> = started.checksum.into_iter().map(|(algorithm, _)| algorithm).collect();
        let written = self.write(body, &algorithm).await?;
        let piece = written.piece;
        let part = PartInfo {
            number,
            size: piece.size,
            etag: written.digests.md5.clone(),
            modified: Timestamp::now(),
            checksums: written.digests.checksums.clone(),
        };
        let (bucket, key, upload) = (bucket.to_string(), key.to_string(), upload.to_string());
        self.adopt(written, move |mut change| async move {
            find_upload(&mut change.tx, &bucket, &key, &upload).await?;
            let old = sqlx::query("DELETE FROM parts WHERE upload = ? AND number = ? RETURNING blob, size")
                .bind(&upload)
                .bind(number)
                .fetch_optional(&mut *change.tx)
                .await
                .map_err(failed)?;
            if let Some(row) = old {
                change.freed.push(index::piece_of(&row)?.blob);
            }
            sqlx::query(
                "INSERT INTO parts (upload, number, blob, size, etag, modified, checksums)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&upload)
            .bind(number)
            .bind(piece.blob.as_slice())
            .bind(piece.size as i64)
            .bind(&part.etag)
            .bind(part.modified.0)
            .bind(index::to_json(&part.checksums)?)
            .execute(&mut *change.tx)
            .await
            .map_err(failed)?;
            Ok((part, change))
        })
        .await
    }

    async fn parts(&self, bucket: &str, key: &str, upload: &str) -> Result<Vec<PartInfo>> {
        let mut db = self.0.database.read.acquire().await.map_err(failed)?;
        find_upload(&mut db, bucket, key, upload).await?;
        Ok(stored_parts(&mut db, upload).await?.into_iter().map(|(part, _)| part).collect())
    }

    async fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        parts: &[PartClaim],
        expected: Expected,
        precondition: Precondition,
    ) -> Result<ObjectInfo> {
        let (bucket, key, upload) = (bucket.to_string(), key.to_string(), upload.to_string());
        let claims = parts.to_vec();
        self.change(move |mut change| async move {
            let (started, attributes) = match find_upload(&mut change.tx, &bucket, &key, &upload).await {
                Err(ObjectError::NoUpload(upload)) => {
                    let info = completed(&mut change.tx, &bucket, &key, &claims).await?;
                    return Ok((info.ok_or(ObjectError::NoUpload(upload))?, change));
                }
                found => found?,
            };
            let stored = stored_parts(&mut change.tx, &upload).await?;
            change.freed.extend(stored.iter().map(|(_, piece)| piece.blob));
            let new = assemble(claims, stored, &started, attributes)?;
            for (name, expected) in expected {
                let actual = new.checksums.get(&name).cloned().unwrap_or_default();
                if actual != expected {
                    return Err(ObjectError::Digest { name, expected, actual });
                }
            }
            let info = change.put(&bucket, &key, new, &precondition).await?;
            delete_upload(&mut change.tx, &upload).await?;
            Ok((info, change))
        })
        .await
    }

    async fn abort_upload(&self, bucket: &str, key: &str, upload: &str) -> Result<()> {
        let (bucket, key, upload) = (bucket.to_string(), key.to_string(), upload.to_string());
        self.change(move |mut change| async move {
            find_upload(&mut change.tx, &bucket, &key, &upload).await?;
            let stored = stored_parts(&mut change.tx, &upload).await?;
            change.freed.extend(stored.iter().map(|(_, piece)| piece.blob));
            delete_upload(&mut change.tx, &upload).await?;
            Ok(((), change))
        })
        .await
    }

    async fn uploads(&self, query: &ListUploads) -> Result<UploadListing> {
        let mut db = self.0.database.read.acquire().await.map_err(failed)?;
        list::uploads(&mut db, query).await
    }
}

/// The object, if it is what the claimed parts made: the caller asks again because the answer
/// to its first request was lost.
async fn completed(
    db: &mut SqliteConnection,
    bucket: &str,
    key: &str,
    claims: &[PartClaim],
) -> Result<Option<ObjectInfo>> {
    let made = multipart_etag(claims.iter().map(|claim| claim.etag.as_str()));
    match index::find(db, bucket, key).await {
        Ok(found) if Some(&found.info.etag) == made.as_ref() => Ok(Some(found.info)),
        Ok(_) | Err(ObjectError::NoObject { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The object that the claimed parts make.
fn assemble(
    claims: Vec<PartClaim>,
    stored: Vec<(PartInfo, Piece)>,
    upload: &UploadInfo,
    attributes: Attributes,
) -> Result<NewObject> {
    let mut stored: HashMap<u32, (PartInfo, Piece)> =
        stored.into_iter().map(|(part, piece)| (part.number, (part, piece))).collect();
    let mut new = NewObject { attributes, ..NewObject::default() };
    for claim in claims {
        let number = claim.number;
        let (part, piece) = stored
            .remove(&number)
            .ok_or_else(|| ObjectError::InvalidPart(format!("part {number} was not uploaded")))?;
        if part.etag != claim.etag {
            let message = format!("part {number} has the ETag {}, not {}", part.etag, claim.etag);
            return Err(ObjectError::InvalidPart(message));
        }
        if claim.checksums.iter().any(|(name, sum)| part.checksums.get(name) != Some(sum)) {
            return Err(ObjectError::InvalidPart(format!("part {number} has another checksum")));
        }
        new.size += part.size;
        new.parts.push(part);
        new.pieces.push(piece);
    }
    let etags = new.parts.iter().map(|part| part.etag.as_str());
    new.etag = multipart_etag(etags).ok_or_else(|| failed("the ETag of a part is no MD5"))?;
    if let Some((name, kind)) = &upload.checksum {
        let sums: Option<Vec<(&str, u64)>> =
            new.parts.iter().map(|part| Some((part.checksums.get(name)?.as_str(), part.size))).collect();
        let sum = sums.and_then(|sums| multipart_checksum(Algorithm::parse(name).ok()?, kind, &sums));
        let sum = sum.ok_or_else(|| failed(format!("no {kind} {name} can be made of the parts")))?;
        new.checksums.insert(name.clone(), sum);
        new.checksum_type = Some(kind.clone());
    }
    Ok(new)
}

async fn delete(
    change: &mut Change,
    bucket_id: i64,
    bucket: &str,
    object: DeleteObject,
) -> Result<Result<()>> {
    let row = sqlx::query("SELECT id, etag FROM objects WHERE bucket = ? AND key = ?")
        .bind(bucket_id)
        .bind(object.key.as_bytes())
        .fetch_optional(&mut *change.tx)
        .await
        .map_err(failed)?;
    let etag: Option<String> = match &row {
        Some(row) => row.try_get("etag").map_err(failed)?,
        None => None,
    };
    let precondition = Precondition { if_match: object.if_match, if_none_match: false };
    if let Err(refusal) = index::check(&precondition, bucket, &object.key, etag.as_deref()) {
        return Ok(Err(refusal));
    }
    if let Some(row) = row {
        let blobs = index::remove(&mut change.tx, row.try_get("id").map_err(failed)?).await?;
        change.freed.extend(blobs);
    }
    Ok(Ok(()))
}

async fn find_upload(
    db: &mut SqliteConnection,
    bucket: &str,
    key: &str,
    upload: &str,
) -> Result<(UploadInfo, Attributes)> {
    let id = index::bucket_id(db, bucket).await?;
    let row = sqlx::query("SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?")
        .bind(upload)
        .bind(id)
        .bind(key.as_bytes())
        .fetch_optional(db)
        .await
        .map_err(failed)?;
    let row = row.ok_or_else(|| ObjectError::NoUpload(upload.into()))?;
    let algorithm: Option<String> = row.try_get("algorithm").map_err(failed)?;
    let kind: Option<String> = row.try_get("checksum_type").map_err(failed)?;
    let attributes: String = row.try_get("attributes").map_err(failed)?;
    let info = UploadInfo {
        id: upload.into(),
        key: key.into(),
        started: Timestamp(row.try_get("started").map_err(failed)?),
        checksum: algorithm.zip(kind),
    };
    Ok((info, index::from_json(&attributes)?))
}

async fn stored_parts(db: &mut SqliteConnection, upload: &str) -> Result<Vec<(PartInfo, Piece)>> {
    let rows = sqlx::query("SELECT * FROM parts WHERE upload = ? ORDER BY number")
        .bind(upload)
        .fetch_all(db)
        .await
        .map_err(failed)?;
    let mut parts = Vec::with_capacity(rows.len());
    for row in &rows {
        let checksums: String = row.try_get("checksums").map_err(failed)?;
        let piece = index::piece_of(row)?;
        let part = PartInfo {
            number: row.try_get("number").map_err(failed)?,
            size: piece.size,
            etag: row.try_get("etag").map_err(failed)?,
            modified: Timestamp(row.try_get("modified").map_err(failed)?),
            checksums: index::from_json(&checksums)?,
        };
        parts.push((part, piece));
    }
    Ok(parts)
}

async fn delete_upload(db: &mut SqliteConnection, upload: &str) -> Result<()> {
    sqlx::query("DELETE FROM uploads WHERE id = ?").bind(upload).execute(db).await.map_err(failed)?;
    Ok(())
}
