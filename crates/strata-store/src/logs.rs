//! The `Logs` port on SQLite.
//!
//! Bounded on disk: a group keeps its newest [`GROUP_BYTES`]; when it grows past that, the
//! oldest lines go, a tenth of the bound at a time, in the transaction that appends.

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, Transaction};
use strata_base::Timestamp;
use strata_base::logs::{
    GroupInfo, LINE_OVERHEAD, LogLine, LogQuery, Logs, LogsError, READ_BYTES, StoredLine, StreamInfo,
};

use crate::Database;

/// Most bytes of lines that one group keeps.
pub const GROUP_BYTES: i64 = 256 << 20;

/// Lines in one INSERT: 5 variables each, far below SQLite's 32,766.
const INSERT_LINES: usize = 1000;

pub struct SqliteLogs {
    database: Database,
    group_bytes: i64,
}

impl SqliteLogs {
    pub fn new(database: Database) -> Self {
        Self { database, group_bytes: GROUP_BYTES }
    }

    /// With another bound on the bytes of a group.
    pub fn with_group_bytes(self, group_bytes: i64) -> Self {
        Self { group_bytes, ..self }
    }

    async fn group_id(&self, group: &str) -> Result<i64, LogsError> {
        sqlx::query_scalar("SELECT id FROM log_groups WHERE name = ?")
            .bind(group)
            .fetch_optional(&self.database.read)
            .await
            .map_err(store)?
            .ok_or_else(|| LogsError::NoGroup(group.into()))
    }
}

#[async_trait]
impl Logs for SqliteLogs {
    async fn create_group(&self, group: &str) -> Result<(), LogsError> {
        let done = sqlx::query("INSERT INTO log_groups (name, created) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(group)
            .bind(Timestamp::now().0)
            .execute(&self.database.write)
            .await
            .map_err(store)?;
        if done.rows_affected() == 0 { Err(LogsError::Exists(group.into())) } else { Ok(()) }
    }

    async fn delete_group(&self, group: &str) -> Result<(), LogsError> {
        let done = sqlx::query("DELETE FROM log_groups WHERE name = ?")
            .bind(group)
            .execute(&self.database.write)
            .await
            .map_err(store)?;
        if done.rows_affected() == 0 { Err(LogsError::NoGroup(group.into())) } else { Ok(()) }
    }

    async fn groups(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<GroupInfo>, LogsError> {
        let rows = sqlx::query(
            "SELECT name, created, bytes FROM log_groups
             WHERE name >= ?1 AND name < ?2 AND name > ?3 ORDER BY name LIMIT ?4",
        )
        .bind(prefix)
        .bind(behind(prefix))
        .bind(after.unwrap_or(""))
        .bind(limit as i64)
        .fetch_all(&self.database.read)
        .await
        .map_err(store)?;
        let group = |row: &SqliteRow| {
            Ok(GroupInfo {
                name: row.try_get("name")?,
                created: Timestamp(row.try_get("created")?),
                bytes: row.try_get("bytes")?,
            })
        };
        rows.iter().map(group).collect::<Result<_, _>>().map_err(store)
    }

    async fn create_stream(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        let mut tx = self.database.write.begin().await.map_err(store)?;
        let id: i64 = sqlx::query_scalar("SELECT id FROM log_groups WHERE name = ?")
            .bind(group)
            .fetch_optional(&mut *tx)
            .await
            .map_err(store)?
            .ok_or_else(|| LogsError::NoGroup(group.into()))?;
        let done = sqlx::query(
            "INSERT INTO log_streams (group_id, name, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(stream)
        .bind(Timestamp::now().0)
        .execute(&mut *tx)
        .await
        .map_err(store)?;
        if done.rows_affected() == 0 {
            return Err(LogsError::Exists(stream.into()));
        }
        tx.commit().await.map_err(store)
    }

    async fn delete_stream(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        let group_id = self.group_id(group).await?;
        let mut tx = self.database.write.begin().await.map_err(store)?;
        sqlx::query(
            "UPDATE log_groups SET bytes = bytes - (
                 SELECT coalesce(sum(octet_length(message) + ?1), 0) FROM log_lines WHERE stream_id =
                     (SELECT id FROM log_streams WHERE group_id = ?2 AND name = ?3))
             WHERE id = ?2",
        )
        .bind(LINE_OVERHEAD as i64)
        .bind(group_id)
        .bind(stream)
        .execute(&mut *tx)
        .await
        .map_err(store)?;
        let done = sqlx::query("DELETE FROM log_streams WHERE group_id = ? AND name = ?")
            .bind(group_id)
            .bind(stream)
            .execute(&mut *tx)
            .await
            .map_err(store)?;
        if done.rows_affected() == 0 {
            return Err(LogsError::NoStream(stream.into()));
        }
        tx.commit().await.map_err(store)
    }

    async fn streams(&self, group: &str, prefix: &str) -> Result<Vec<StreamInfo>, LogsError> {
        let rows = sqlx::query(
            "SELECT name, created, first_at, last_at, ingested FROM log_streams
             WHERE group_id = ? AND name >= ? AND name < ? ORDER BY name",
        )
        .bind(self.group_id(group).await?)
        .bind(prefix)
        .bind(behind(prefix))
        .fetch_all(&self.database.read)
        .await
        .map_err(store)?;
        let time = |at: Option<i64>| at.map(Timestamp);
        let stream = |row: &SqliteRow| {
            Ok(StreamInfo {
                name: row.try_get("name")?,
                created: Timestamp(row.try_get("created")?),
                first: time(row.try_get("first_at")?),
                last: time(row.try_get("last_at")?),
                ingested: time(row.try_get("ingested")?),
            })
        };
        rows.iter().map(stream).collect::<Result<_, _>>().map_err(store)
    }

    async fn append(&self, group: &str, stream: &str, lines: &[LogLine]) -> Result<(), LogsError> {
        let mut tx = self.database.write.begin().await.map_err(store)?;
        append(&mut tx, group, stream, lines, self.group_bytes).await.map_err(store)?;
        tx.commit().await.map_err(store)
    }

    async fn read(&self, query: &LogQuery) -> Result<Vec<StoredLine>, LogsError> {
        let group_id = self.group_id(&query.group).await?;
        for stream in &query.streams {
            sqlx::query("SELECT 1 FROM log_streams WHERE group_id = ? AND name = ?")
                .bind(group_id)
                .bind(stream)
                .fetch_optional(&self.database.read)
                .await
                .map_err(store)?
                .ok_or_else(|| LogsError::NoStream(stream.clone()))?;
        }
        let mut lines = Vec::new();
        let mut bytes = 0;
        let mut select = selection(group_id, query);
        let mut rows = select.build().fetch(&self.database.read);
        while let Some(row) = rows.try_next().await.map_err(store)? {
            let line = stored_line(&row).map_err(store)?;
            bytes += line.message.len() + LINE_OVERHEAD;
            // The first line is given however long it is, so that a reader always gets on.
            if bytes > READ_BYTES && !lines.is_empty() {
                break;
            }
            lines.push(line);
        }
        if query.backward {
            lines.reverse();
        }
        Ok(lines)
    }
}

/// Stores the lines and keeps the books of stream and group.
async fn append(
    tx: &mut Transaction<'_, Sqlite>,
    group: &str,
    stream: &str,
    lines: &[LogLine],
    bound: i64,
) -> Result<(), sqlx::Error> {
    let now = Timestamp::now().0;
    let bytes: usize = lines.iter().map(|line| line.message.len() + LINE_OVERHEAD).sum();
    let (group_id, total): (i64, i64) = sqlx::query_as(
        "INSERT INTO log_groups (name, created, bytes) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET bytes = bytes + ?3 RETURNING id, bytes",
    )
    .bind(group)
    .bind(now)
    .bind(bytes as i64)
    .fetch_one(&mut **tx)
    .await?;
    let stream_id: i64 = sqlx::query_scalar(
        "INSERT INTO log_streams (group_id, name, created, first_at, last_at, ingested)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET
             first_at = coalesce(min(first_at, ?4), first_at, ?4),
             last_at = coalesce(max(last_at, ?5), last_at, ?5),
             ingested = coalesce(?6, ingested)
         RETURNING id",
    )
    .bind(group_id)
    .bind(stream)
    .bind(now)
    .bind(lines.iter().map(|line| line.at.0).min())
    .bind(lines.iter().map(|line| line.at.0).max())
    .bind((!lines.is_empty()).then_some(now))
    .fetch_one(&mut **tx)
    .await?;
    for lines in lines.chunks(INSERT_LINES) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO log_lines (group_id, stream_id, at, ingested, message) ",
        );
        insert.push_values(lines, |mut row, line| {
            row.push_bind(group_id)
                .push_bind(stream_id)
                .push_bind(line.at.0)
                .push_bind(now)
                .push_bind(&line.message);
        });
        // Each number of lines is another statement: keeping them all prepared would cost memory.
        insert.build().persistent(false).execute(&mut **tx).await?;
    }
    if total > bound {
        trim(tx, group_id, total - bound + bound / 10).await?;
    }
    Ok(())
}

/// Removes the oldest lines of a group until `excess` bytes are gone.
async fn trim(tx: &mut SqliteConnection, group_id: i64, excess: i64) -> Result<(), sqlx::Error> {
    let mut gone = 0;
    let mut last = (i64::MIN, i64::MIN);
    {
        let mut rows = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT at, sequence, octet_length(message) FROM log_lines INDEXED BY log_lines_by_group
             WHERE group_id = ? ORDER BY at, sequence",
        )
        .bind(group_id)
        .fetch(&mut *tx);
        while gone < excess {
            let Some((at, sequence, length)) = rows.try_next().await? else { break };
            gone += length + LINE_OVERHEAD as i64;
            last = (at, sequence);
        }
    }
    sqlx::query(
        "DELETE FROM log_lines INDEXED BY log_lines_by_group
         WHERE group_id = ?1 AND at <= ?2 AND (at, sequence) <= (?2, ?3)",
    )
    .bind(group_id)
    .bind(last.0)
    .bind(last.1)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE log_groups SET bytes = bytes - ? WHERE id = ?")
        .bind(gone)
        .bind(group_id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// The SELECT for a query. The index is named because the planner, without statistics, would
/// rather sort a whole group than walk it in order.
fn selection(group_id: i64, query: &LogQuery) -> QueryBuilder<Sqlite> {
    let some_streams = !query.streams.is_empty() || query.stream_prefix.is_some();
    let index = if some_streams { "log_lines_by_stream" } else { "log_lines_by_group" };
    let mut select = QueryBuilder::new(
        "SELECT name, sequence, at, log_lines.ingested AS ingested, message FROM log_lines INDEXED BY ",
    );
    // CROSS: lines are the outer loop, whatever the planner thinks of so few streams.
    select.push(index).push(" CROSS JOIN log_streams ON log_streams.id = log_lines.stream_id WHERE ");
    if let ([stream], None) = (&*query.streams, &query.stream_prefix) {
        // One stream is walked in order and needs no sorting: the way jobs are followed.
        select.push("log_lines.stream_id = (SELECT id FROM log_streams WHERE group_id = ");
        select.push_bind(group_id).push(" AND name = ").push_bind(stream.clone()).push(")");
    } else if some_streams {
        select.push("log_lines.stream_id IN (SELECT id FROM log_streams WHERE group_id = ");
        select.push_bind(group_id);
        if !query.streams.is_empty() {
            let mut names = select.push(" AND name IN (").separated(", ");
            for stream in &query.streams {
                names.push_bind(stream.clone());
            }
            names.push_unseparated(")");
        }
        if let Some(prefix) = &query.stream_prefix {
            select.push(" AND name >= ").push_bind(prefix.clone());
            select.push(" AND name < ").push_bind(behind(prefix));
        }
        select.push(")");
    } else {
        select.push("log_lines.group_id = ").push_bind(group_id);
    }
    if let Some(from) = query.from {
        select.push(" AND at >= ").push_bind(from.0);
    }
    if let Some(to) = query.to {
        select.push(" AND at < ").push_bind(to.0);
    }
    if let Some((at, sequence)) = query.cursor {
        // The first half of the condition is what the index can use.
        let [loose, strict] = if query.backward { [" <= ", " < "] } else { [" >= ", " > "] };
        select.push(" AND at").push(loose).push_bind(at);
        select.push(" AND (at, sequence)").push(strict).push("(").push_bind(at);
        select.push(", ").push_bind(sequence).push(")");
    }
    let order = if query.backward { " DESC" } else { " ASC" };
    select.push(" ORDER BY at").push(order).push(", sequence").push(order);
    select.push(" LIMIT ").push_bind(query.limit as i64);
    select
}

fn stored_line(row: &SqliteRow) -> Result<StoredLine, sqlx::Error> {
    Ok(StoredLine {
        stream: row.try_get("name")?,
        sequence: row.try_get("sequence")?,
        at: Timestamp(row.try_get("at")?),
        ingested: Timestamp(row.try_get("ingested")?),
        message: row.try_get("message")?,
    })
}

/// The first text behind all that start with `prefix`, so that a prefix is a range of the index.
fn behind(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

fn store(cause: sqlx::Error) -> LogsError {
    LogsError::Store(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn logs(folder: &tempfile::TempDir) -> SqliteLogs {
        SqliteLogs::new(Database::open(folder.path()).await.unwrap())
    }

    #[tokio::test]
    async fn passes_the_exam() {
        let folder = tempfile::tempdir().unwrap();
        strata_base::exams::logs::all(&logs(&folder).await).await;
    }

    #[tokio::test]
    async fn lines_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let before = logs(&folder).await;
        before.append("g", "s", &[LogLine { at: Timestamp(5), message: "kept".into() }]).await.unwrap();
        before.database.close().await;
        let query = LogQuery { group: "g".into(), limit: 10, ..LogQuery::default() };
        let lines = logs(&folder).await.read(&query).await.unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].message, "kept");
    }

    #[tokio::test]
    async fn a_full_group_drops_its_oldest_lines() {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs(&folder).await.with_group_bytes(10_000);
        for batch in 0..10 {
            let lines: Vec<LogLine> =
                (0..20).map(|i| LogLine { at: Timestamp(batch * 20 + i), message: "x".repeat(74) }).collect();
            logs.append("g", if batch % 2 == 0 { "even" } else { "odd" }, &lines).await.unwrap();
        }
        let query = LogQuery { group: "g".into(), limit: 1000, ..LogQuery::default() };
        let kept = logs.read(&query).await.unwrap();
        let bytes = logs.groups("g", None, 1).await.unwrap()[0].bytes;
        assert_eq!(bytes, kept.len() as i64 * 100);
        assert!((9_000..=10_000).contains(&bytes), "{bytes}");
        let times: Vec<i64> = kept.iter().map(|line| line.at.0).collect();
        assert_eq!(times, (200 - kept.len() as i64..200).collect::<Vec<_>>());
    }
}
