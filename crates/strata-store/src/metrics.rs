//! The `Metrics` port on SQLite.
//!
//! Bounded on disk: a series keeps its newest [`SERIES_BYTES`] (half a year of one summary a
//! minute); when it grows past that, its oldest data go, a tenth of the bound at a time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use strata_base::Timestamp;
use strata_base::metrics::{Datum, Metrics, MetricsError, Series};

use crate::Database;

/// Most bytes of data that one series keeps.
pub const SERIES_BYTES: i64 = 16 << 20;

/// What a datum weighs beside its observed values.
const DATUM_BYTES: i64 = 64;

pub struct SqliteMetrics {
    database: Database,
    series_bytes: i64,
}

impl SqliteMetrics {
    pub fn new(database: Database) -> Self {
        Self { database, series_bytes: SERIES_BYTES }
    }

    /// With another bound on the bytes of a series.
    pub fn with_series_bytes(self, series_bytes: i64) -> Self {
        Self { series_bytes, ..self }
    }
}

#[async_trait]
impl Metrics for SqliteMetrics {
    async fn put(&self, data: &[Datum]) -> Result<(), MetricsError> {
        let mut by_series: BTreeMap<&Series, Vec<&Datum>> = BTreeMap::new();
        for datum in data {
            by_series.entry(&datum.series).or_default().push(datum);
        }
        let mut tx = self.database.write.begin().await.map_err(store)?;
        for (series, data) in by_series {
            put(&mut tx, series, &data, self.series_bytes).await?;
        }
        tx.commit().await.map_err(store)
    }

    async fn read(
        &self,
        series: &Series,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Datum>, MetricsError> {
        let mut rows = sqlx::query(
            "SELECT at, count, sum, minimum, maximum, unit, observed FROM metric_data
             WHERE series_id =
                 (SELECT id FROM metric_series WHERE namespace = ? AND metric = ? AND dimensions = ?)
               AND at >= ? AND at < ?
             ORDER BY at, id",
        )
        .bind(&series.namespace)
        .bind(&series.metric)
        .bind(dimensions_text(series)?)
        .bind(from.0)
        .bind(to.0)
        .fetch(&self.database.read);
        let mut data = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(store)? {
            data.push(datum(series, &row)?);
        }
        Ok(data)
    }

    async fn series(
        &self,
        namespace: Option<&str>,
        metric: Option<&str>,
        dimensions: &[(String, Option<String>)],
    ) -> Result<Vec<Series>, MetricsError> {
        self.list(namespace, metric, dimensions, None).await
    }

    async fn active_series(
        &self,
        namespace: Option<&str>,
        metric: Option<&str>,
        dimensions: &[(String, Option<String>)],
        since: Timestamp,
    ) -> Result<Vec<Series>, MetricsError> {
        self.list(namespace, metric, dimensions, Some(since)).await
    }
}

impl SqliteMetrics {
    async fn list(
        &self,
        namespace: Option<&str>,
        metric: Option<&str>,
        dimensions: &[(String, Option<String>)],
        since: Option<Timestamp>,
    ) -> Result<Vec<Series>, MetricsError> {
        let mut select =
            QueryBuilder::<Sqlite>::new("SELECT namespace, metric, dimensions FROM metric_series WHERE true");
        if let Some(namespace) = namespace {
            select.push(" AND namespace = ").push_bind(namespace);
        }
        if let Some(metric) = metric {
            select.push(" AND metric = ").push_bind(metric);
        }
        for (name, value) in dimensions {
            select.push(" AND EXISTS (SELECT 1 FROM json_each(dimensions) WHERE key = ").push_bind(name);
            if let Some(value) = value {
                select.push(" AND value = ").push_bind(value);
            }
            select.push(")");
        }
        if let Some(since) = since {
            select.push(" AND last_at >= ").push_bind(since.0);
        }
        select.push(" ORDER BY namespace, metric, dimensions");
        let mut rows = select.build().fetch(&self.database.read);
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(store)? {
            let dimensions: String = row.try_get("dimensions").map_err(store)?;
            found.push(Series {
                namespace: row.try_get("namespace").map_err(store)?,
                metric: row.try_get("metric").map_err(store)?,
                dimensions: serde_json::from_str(&dimensions).map_err(json)?,
            });
        }
        // The text of the dimensions sorts almost, but not quite, as the dimensions do.
        found.sort();
        Ok(found)
    }
}

async fn put(
    tx: &mut SqliteConnection,
    series: &Series,
    data: &[&Datum],
    bound: i64,
) -> Result<(), MetricsError> {
    let mut rows = Vec::with_capacity(data.len());
    let mut bytes = 0;
    for datum in data {
        let observed = match datum.values.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&datum.values).map_err(json)?,
        };
        bytes += DATUM_BYTES + observed.len() as i64;
        rows.push((*datum, observed));
    }
    let (series_id, total): (i64, i64) = sqlx::query_as(
        "INSERT INTO metric_series (namespace, metric, dimensions, last_at, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET last_at = max(last_at, ?4), bytes = bytes + ?5
         RETURNING id, bytes",
    )
    .bind(&series.namespace)
    .bind(&series.metric)
    .bind(dimensions_text(series)?)
    .bind(data.iter().map(|datum| datum.at.0).max().unwrap_or_default())
    .bind(bytes)
    .fetch_one(&mut *tx)
    .await
    .map_err(store)?;
    for (datum, observed) in rows {
        sqlx::query(
            "INSERT INTO metric_data (series_id, at, count, sum, minimum, maximum, unit, observed)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(series_id)
        .bind(datum.at.0)
        .bind(datum.count)
        .bind(datum.sum)
        .bind(datum.minimum)
        .bind(datum.maximum)
        .bind(&datum.unit)
        .bind(observed)
        .execute(&mut *tx)
        .await
        .map_err(store)?;
    }
    if total > bound {
        trim(tx, series_id, total - bound + bound / 10).await.map_err(store)?;
    }
    Ok(())
}

/// Removes the oldest data of a series until `excess` bytes are gone.
async fn trim(tx: &mut SqliteConnection, series_id: i64, excess: i64) -> Result<(), sqlx::Error> {
    let mut gone = 0;
    let mut last = (i64::MIN, i64::MIN);
    {
        let mut rows = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT at, id, octet_length(observed) FROM metric_data INDEXED BY metric_data_by_series
             WHERE series_id = ? ORDER BY at, id",
        )
        .bind(series_id)
        .fetch(&mut *tx);
        while gone < excess {
            let Some((at, id, length)) = rows.try_next().await? else { break };
            gone += length + DATUM_BYTES;
            last = (at, id);
        }
    }
    sqlx::query("DELETE FROM metric_data WHERE series_id = ?1 AND at <= ?2 AND (at, id) <= (?2, ?3)")
        .bind(series_id)
        .bind(last.0)
        .bind(last.1)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE metric_series SET bytes = bytes - ? WHERE id = ?")
        .bind(gone)
        .bind(series_id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

fn datum(series: &Series, row: &SqliteRow) -> Result<Datum, MetricsError> {
    let observed: &str = row.try_get("observed").map_err(store)?;
    let values =
        if observed.is_empty() { Vec::new() } else { serde_json::from_str(observed).map_err(json)? };
    let number = |column: &str| row.try_get::<f64, _>(column).map_err(store);
    Ok(Datum {
        series: series.clone(),
        at: Timestamp(row.try_get("at").map_err(store)?),
        count: number("count")?,
        sum: number("sum")?,
        minimum: number("minimum")?,
        maximum: number("maximum")?,
        unit: row.try_get("unit").map_err(store)?,
        values,
    })
}

fn dimensions_text(series: &Series) -> Result<String, MetricsError> {
    serde_json::to_string(&series.dimensions).map_err(json)
}

fn store(cause: sqlx::Error) -> MetricsError {
    MetricsError(cause.to_string())
}

fn json(cause: serde_json::Error) -> MetricsError {
    MetricsError(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn metrics(folder: &tempfile::TempDir) -> SqliteMetrics {
        SqliteMetrics::new(Database::open(folder.path()).await.unwrap())
    }

    #[tokio::test]
    async fn passes_the_exam() {
        let folder = tempfile::tempdir().unwrap();
        strata_base::exams::metrics::all(&metrics(&folder).await).await;
    }

    #[tokio::test]
    async fn a_full_series_drops_its_oldest_data() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = metrics(&folder).await.with_series_bytes(6_400);
        let series = Series { namespace: "N".into(), metric: "M".into(), ..Series::default() };
        for minute in 0..150 {
            let datum =
                Datum { values: vec![], ..Datum::single(series.clone(), Timestamp(minute), 1.0, "None") };
            metrics.put(&[datum]).await.unwrap();
        }
        let kept = metrics.read(&series, Timestamp(0), Timestamp(1000)).await.unwrap();
        assert!((90..=100).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last().unwrap().at, Timestamp(149));
        assert_eq!(kept[0].at, Timestamp(150 - kept.len() as i64));
    }
}
