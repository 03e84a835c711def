//! `Metadata` in SQLite: one row a resource, one row an event.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use strata_base::Timestamp;
use strata_base::metadata::{
    Cursor, Event, ListQuery, Metadata, MetadataError, Page, Record, SortBy, SortKey,
};

use crate::Database;

pub struct SqliteMetadata {
    database: Database,
}

impl SqliteMetadata {
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Metadata for SqliteMetadata {
    async fn create(&self, record: &Record, event: Option<&Value>) -> Result<(), MetadataError> {
        let mut change = self.database.write.begin().await.map_err(store)?;
        let done = sqlx::query(
            "INSERT INTO record (kind, name, arn, phase, created, modified, version, document, state)
             VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(&record.kind)
        .bind(&record.name)
        .bind(&record.arn)
        .bind(&record.phase)
        .bind(record.created.0)
        .bind(record.modified.0)
        .bind(record.document.to_string())
        .bind(record.state.to_string())
        .execute(&mut *change)
        .await
        .map_err(store)?;
        if done.rows_affected() == 0 {
            return Err(MetadataError::Exists { kind: record.kind.clone(), name: record.name.clone() });
        }
        append(&mut change, &record.kind, &record.name, event).await?;
        change.commit().await.map_err(store)
    }

    async fn get(&self, kind: &str, name: &str) -> Result<Option<Record>, MetadataError> {
        let row = sqlx::query("SELECT * FROM record WHERE kind = ? AND name = ?")
            .bind(kind)
            .bind(name)
            .fetch_optional(&self.database.read)
            .await
            .map_err(store)?;
        row.map(|row| read(&row)).transpose()
    }

    async fn update(&self, record: &Record, event: Option<&Value>) -> Result<u64, MetadataError> {
        let mut change = self.database.write.begin().await.map_err(store)?;
        let done = sqlx::query(
            "UPDATE record SET arn = ?, phase = ?, modified = ?, version = version + 1, document = ?, state = ?
             WHERE kind = ? AND name = ? AND version = ?",
        )
        .bind(&record.arn)
        .bind(&record.phase)
        .bind(record.modified.0)
        .bind(record.document.to_string())
        .bind(record.state.to_string())
        .bind(&record.kind)
        .bind(&record.name)
        .bind(record.version as i64)
        .execute(&mut *change)
        .await
        .map_err(store)?;
        if done.rows_affected() == 0 {
            return Err(unchanged(&mut change, &record.kind, &record.name).await);
        }
        append(&mut change, &record.kind, &record.name, event).await?;
        change.commit().await.map_err(store)?;
        Ok(record.version + 1)
    }

    async fn delete(&self, kind: &str, name: &str, version: Option<u64>) -> Result<(), MetadataError> {
        let mut change = self.database.write.begin().await.map_err(store)?;
        let done =
            sqlx::query("DELETE FROM record WHERE kind = ? AND name = ? AND version = ifnull(?, version)")
                .bind(kind)
                .bind(name)
                .bind(version.map(|version| version as i64))
                .execute(&mut *change)
                .await
                .map_err(store)?;
        if done.rows_affected() == 0 {
            return Err(unchanged(&mut change, kind, name).await);
        }
        change.commit().await.map_err(store)
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, MetadataError> {
        let rows =
            select(query, Cursor::of(query)?).build().fetch_all(&self.database.read).await.map_err(store)?;
        let mut records = rows.iter().map(read).collect::<Result<Vec<Record>, _>>()?;
        let more = query.limit > 0 && records.len() > query.limit;
        if more {
            records.truncate(query.limit);
        }
        let next = records.last().filter(|_| more).map(|last| Cursor::behind(query, last).encode());
        Ok(Page { records, next })
    }

    async fn events(&self, kind: &str, name: &str) -> Result<Vec<Event>, MetadataError> {
        let rows = sqlx::query("SELECT at, what FROM event WHERE kind = ? AND name = ? ORDER BY sequence")
            .bind(kind)
            .bind(name)
            .fetch_all(&self.database.read)
            .await
            .map_err(store)?;
        rows.iter().map(|row| Ok(Event { at: moment(row, "at")?, what: json(row, "what")? })).collect()
    }
}

/// The list as SQL. One row more than the page tells whether another page follows.
fn select(query: &ListQuery, cursor: Option<Cursor>) -> QueryBuilder<Sqlite> {
    let column = match query.sort_by {
        SortBy::Name => "name",
        SortBy::Created => "created",
        SortBy::Modified => "modified",
        SortBy::Phase => "phase",
    };
    let (behind, order) = if query.descending { ("<", "DESC") } else { (">", "ASC") };

    let mut sql = QueryBuilder::new("SELECT * FROM record WHERE kind = ");
    sql.push_bind(query.kind.clone());
    if let Some(part) = &query.name_contains {
        // instr compares exactly; LIKE folds case and gives % and _ a meaning.
        sql.push(" AND instr(name, ").push_bind(part.clone()).push(") > 0");
    }
    if let Some(phase) = &query.phase {
        sql.push(" AND phase = ").push_bind(phase.clone());
    }
    for (bound, condition) in [
        (query.created_after, " AND created > "),
        (query.created_before, " AND created < "),
        (query.modified_after, " AND modified > "),
        (query.modified_before, " AND modified < "),
    ] {
        if let Some(at) = bound {
            sql.push(condition).push_bind(at.0);
        }
    }
    if let Some(Cursor { key, name, .. }) = cursor {
        sql.push(format_args!(" AND ({column}, name) {behind} ("));
        match key {
            SortKey::At(at) => sql.push_bind(at),
            SortKey::Text(text) => sql.push_bind(text),
        };
        sql.push(", ").push_bind(name).push(")");
    }
    sql.push(format_args!(" ORDER BY {column} {order}, name {order}"));
    if query.limit > 0 {
        sql.push(" LIMIT ").push_bind(i64::try_from(query.limit).unwrap_or(i64::MAX - 1) + 1);
    }
    sql
}

async fn append(
    change: &mut SqliteConnection,
    kind: &str,
    name: &str,
    event: Option<&Value>,
) -> Result<(), MetadataError> {
    let Some(what) = event else { return Ok(()) };
    sqlx::query("INSERT INTO event (kind, name, at, what) VALUES (?, ?, ?, ?)")
        .bind(kind)
        .bind(name)
        .bind(Timestamp::now().0)
        .bind(what.to_string())
        .execute(change)
        .await
        .map_err(store)?;
    Ok(())
}

/// Why a change at a version touched no row: the record is another one now, or none.
async fn unchanged(change: &mut SqliteConnection, kind: &str, name: &str) -> MetadataError {
    let found = sqlx::query("SELECT 1 FROM record WHERE kind = ? AND name = ?")
        .bind(kind)
        .bind(name)
        .fetch_optional(change)
        .await;
    let (kind, name) = (kind.into(), name.into());
    match found {
        Ok(Some(_)) => MetadataError::Stale { kind, name },
        Ok(None) => MetadataError::Missing { kind, name },
        Err(cause) => store(cause),
    }
}

fn read(row: &SqliteRow) -> Result<Record, MetadataError> {
    Ok(Record {
        kind: row.try_get("kind").map_err(store)?,
        name: row.try_get("name").map_err(store)?,
        arn: row.try_get("arn").map_err(store)?,
        phase: row.try_get("phase").map_err(store)?,
        created: moment(row, "created")?,
        modified: moment(row, "modified")?,
        version: row.try_get::<i64, _>("version").map_err(store)? as u64,
        document: json(row, "document")?,
        state: json(row, "state")?,
    })
}

fn moment(row: &SqliteRow, column: &str) -> Result<Timestamp, MetadataError> {
    row.try_get(column).map(Timestamp).map_err(store)
}

fn json(row: &SqliteRow, column: &str) -> Result<Value, MetadataError> {
    let text: &str = row.try_get(column).map_err(store)?;
    serde_json::from_str(text).map_err(|cause| MetadataError::Store(format!("column {column}: {cause}")))
}

fn store(cause: sqlx::Error) -> MetadataError {
    MetadataError::Store(cause.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    async fn open(folder: &std::path::Path) -> SqliteMetadata {
        SqliteMetadata::new(Database::open(folder).await.expect("the database opens"))
    }

    #[tokio::test]
    async fn passes_the_exam() {
        let folder = tempfile::tempdir().expect("a folder");
        strata_base::exams::metadata(&open(folder.path()).await).await;
    }

    #[tokio::test]
    async fn records_outlive_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record::new("job", "a", "arn".into(), "New", json!({"k": 1}), json!(null));
        // Not closed: what was acknowledged needs no orderly end.
        open(folder.path()).await.create(&record, Some(&json!("first"))).await.expect("create");
        let again = open(folder.path()).await;
        let stored = again.get("job", "a").await.expect("get");
        assert_eq!(stored, Some(Record { version: 1, ..record }));
        assert_eq!(again.events("job", "a").await.expect("events").len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_writers_at_one_version_exactly_one_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(open(folder.path()).await);
        let record = Record::new("job", "a", "arn".into(), "New", json!({}), json!({}));
        store.create(&record, None).await.expect("create");
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let (store, record) = (store.clone(), Record { version: 1, ..record.clone() });
                tokio::spawn(async move { store.update(&record, Some(&json!(writer))).await.is_ok() })
            })
            .collect();
        let mut won = 0;
        for writer in writers {
            won += usize::from(writer.await.expect("no panic"));
        }
        assert_eq!(won, 1);
        assert_eq!(store.events("job", "a").await.expect("events").len(), 1);
    }

    #[tokio::test]
    async fn lists_walk_an_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path()).await;
        for (sort_by, index) in [
            (SortBy::Name, "sqlite_autoindex_record_1"),
            (SortBy::Created, "record_created"),
            (SortBy::Modified, "record_modified"),
            (SortBy::Phase, "record_phase"),
        ] {
            for descending in [false, true] {
                let query =
                    ListQuery { kind: "job".into(), sort_by, descending, limit: 10, ..ListQuery::default() };
                let last = Record::new("job", "a", "arn".into(), "New", json!({}), json!({}));
                let list = select(&query, Some(Cursor::behind(&query, &last))).into_string();
                let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {list}")))
                    .fetch_all(&store.database.read)
                    .await
                    .expect("a plan");
                let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
                assert!(
                    plan.len() == 1 && plan[0].contains(&format!("USING INDEX {index} ")),
                    "{sort_by:?}: {plan:?}"
                );
            }
        }
    }
}
