//! Listing keys in the order of their bytes, in pages, grouped by a delimiter.

use sqlx::{Row, SqliteConnection};
use strata_base::Timestamp;
use strata_base::objects::{ListObjects, ListUploads, Listing, UploadInfo, UploadListing};

use super::index::{Result, bucket_id, failed, key_of, listed};

/// Rows asked for at a time, at most.
const BATCH: usize = 1000;

/// Which keys a listing looks at, and how they are grouped.
struct Span<'a> {
    prefix: &'a str,
    delimiter: Option<&'a str>,
    /// The first key behind the prefix's last one.
    end: Vec<u8>,
}

impl<'a> Span<'a> {
    fn new(prefix: &'a str, delimiter: Option<&'a str>) -> Self {
        // No byte of UTF-8 is as large as 0xff.
        let end = if prefix.is_empty() { vec![0xff] } else { behind_group(prefix) };
        Self { prefix, delimiter: delimiter.filter(|text| !text.is_empty()), end }
    }

    /// The part of the key up to and with the first delimiter behind the prefix.
    fn group<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter?;
        let rest = key.strip_prefix(self.prefix)?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        key.get(..end)
    }

    /// The first key that is neither `key` nor before it nor in its group.
    fn behind(&self, key: &str) -> Vec<u8> {
        match self.group(key) {
            Some(group) => behind_group(group),
            None => behind_key(key),
        }
    }

    fn start(&self, after: Option<&str>) -> Vec<u8> {
        let start = after.map(|after| self.behind(after)).unwrap_or_default();
        start.max(self.prefix.as_bytes().to_vec())
    }
}

fn behind_key(key: &str) -> Vec<u8> {
    [key.as_bytes(), &[0]].concat()
}

/// The smallest text that is larger than all which begin with `group`.
fn behind_group(group: &str) -> Vec<u8> {
    let mut bytes = group.as_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    bytes
}

pub async fn objects(db: &mut SqliteConnection, query: &ListObjects) -> Result<Listing> {
    let bucket = bucket_id(db, &query.bucket).await?;
    let span = Span::new(&query.prefix, query.delimiter.as_deref());
    let mut listing = Listing::default();
    if query.limit == 0 {
        return Ok(listing);
    }
    let mut from = span.start(query.after.as_deref());
    let batch = query.limit.min(BATCH) + 1;
    let mut last = None;
    loop {
        let rows = sqlx::query(
            "SELECT key, size, etag, modified, checksums, checksum_type FROM objects
             WHERE bucket = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
        )
        .bind(bucket)
        .bind(&from)
        .bind(&span.end)
        .bind(batch as i64)
        .fetch_all(&mut *db)
        .await
        .map_err(failed)?;
        for row in &rows {
            let key = key_of(row)?;
            let group = span.group(&key).map(str::to_string);
            if group.is_some() && group == last {
                continue;
            }
            if listing.objects.len() + listing.prefixes.len() == query.limit {
                listing.next = last;
                return Ok(listing);
            }
            match group {
                Some(group) => {
                    listing.prefixes.push(group.clone());
                    last = Some(group);
                }
                None => {
                    listing.objects.push(listed(row)?);
                    last = Some(key);
                }
            }
        }
        // A group that fills the batch is passed over whole, not read to its end.
        match &last {
            Some(last) if rows.len() == batch => from = span.behind(last),
            _ => return Ok(listing),
        }
    }
}

pub async fn uploads(db: &mut SqliteConnection, query: &ListUploads) -> Result<UploadListing> {
    let bucket = bucket_id(db, &query.bucket).await?;
    let span = Span::new(&query.prefix, query.delimiter.as_deref());
    let mut listing = UploadListing::default();
    if query.limit == 0 {
        return Ok(listing);
    }
    // Ids are never empty: (key, "") is before all uploads of the key.
    let mut from = match &query.after {
        Some((key, Some(id))) if span.group(key).is_none() => (key.as_bytes().to_vec(), id.clone()),
        after => (span.start(after.as_ref().map(|(key, _)| key.as_str())), String::new()),
    };
    let batch = query.limit.min(BATCH) + 1;
    let mut last: Option<(String, Option<String>)> = None;
    loop {
        let rows = sqlx::query(
            "SELECT key, id, started, algorithm, checksum_type FROM uploads
             WHERE bucket = ? AND (key, id) > (?, ?) AND key >= ? AND key < ? ORDER BY key, id LIMIT ?",
        )
        .bind(bucket)
        .bind(&from.0)
        .bind(&from.1)
        .bind(span.prefix.as_bytes())
        .bind(&span.end)
        .bind(batch as i64)
        .fetch_all(&mut *db)
        .await
        .map_err(failed)?;
        for row in &rows {
            let key = key_of(row)?;
            let id: String = row.try_get("id").map_err(failed)?;
            let group = span.group(&key).map(str::to_string);
            if group.is_some() && group.as_ref() == last.as_ref().map(|(key, _)| key) {
                continue;
            }
            if listing.uploads.len() + listing.prefixes.len() == query.limit {
                listing.next = last;
                return Ok(listing);
            }
            match group {
                Some(group) => {
                    listing.prefixes.push(group.clone());
                    last = Some((group, None));
                }
                None => {
                    let algorithm: Option<String> = row.try_get("algorithm").map_err(failed)?;
                    let kind: Option<String> = row.try_get("checksum_type").map_err(failed)?;
                    listing.uploads.push(UploadInfo {
                        id: id.clone(),
                        key: key.clone(),
                        started: Timestamp(row.try_get("started").map_err(failed)?),
                        checksum: algorithm.zip(kind),
                    });
                    last = Some((key, Some(id)));
                }
            }
        }
        match &last {
            Some((key, Some(id))) if rows.len() == batch => from = (key.as_bytes().to_vec(), id.clone()),
            Some((key, None)) if rows.len() == batch => from = (span.behind(key), String::new()),
            _ => return Ok(listing),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behind_a_group_is_behind_all_its_keys(prefix in "[a-c/]{0,3}", rest in "[a-c/é]{0,5}", other in "[a-c/é]{0,8}") {
            let span = Span::new(&prefix, Some("/"));
            let key = format!("{prefix}{rest}");
            let behind = span.behind(&key);
            let passed = other.as_bytes() < behind.as_slice();
            let same_group = span.group(&key).is_some_and(|group| other.starts_with(group));
            prop_assert_eq!(passed, other.as_str() <= key.as_str() || same_group);
        }
    }
}
