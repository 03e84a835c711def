-- Log groups, their streams, and the lines. `bytes` counts what the lines weigh
-- (UTF-8 of the message and 26 bytes each, as CloudWatch Logs counts).

CREATE TABLE log_groups (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    bytes   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE log_streams (
    id       INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL REFERENCES log_groups (id) ON DELETE CASCADE,
    name     TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    first_at INTEGER,
    last_at  INTEGER,
    ingested INTEGER,
    UNIQUE (group_id, name)
) STRICT;

-- AUTOINCREMENT: a sequence number that page tokens and event ids carry is never given twice.
CREATE TABLE log_lines (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id  INTEGER NOT NULL,
    stream_id INTEGER NOT NULL REFERENCES log_streams (id) ON DELETE CASCADE,
    at        INTEGER NOT NULL,
    ingested  INTEGER NOT NULL,
    message   TEXT    NOT NULL
) STRICT;

-- Either index ends in the row's key, so both also give the order of arrival.
CREATE INDEX log_lines_by_stream ON log_lines (stream_id, at);
CREATE INDEX log_lines_by_group ON log_lines (group_id, at);
