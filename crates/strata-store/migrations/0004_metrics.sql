-- Metric series and their data. `dimensions` is a JSON object with sorted keys, so that
-- equal sets are equal texts. `bytes` counts what the data of a series weigh.

CREATE TABLE metric_series (
    id         INTEGER PRIMARY KEY,
    namespace  TEXT    NOT NULL,
    metric     TEXT    NOT NULL,
    dimensions TEXT    NOT NULL,
    last_at    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, metric, dimensions)
) STRICT;

CREATE TABLE metric_data (
    id         INTEGER PRIMARY KEY,
    series_id  INTEGER NOT NULL REFERENCES metric_series (id) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    count      REAL    NOT NULL,
    sum        REAL    NOT NULL,
    minimum    REAL    NOT NULL,
    maximum    REAL    NOT NULL,
    unit       TEXT    NOT NULL,
    -- [[value, count], ...]; an empty text where only the summary is known.
    observed   TEXT    NOT NULL
) STRICT;

CREATE INDEX metric_data_by_series ON metric_data (series_id, at);
