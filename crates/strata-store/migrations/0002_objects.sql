-- Objects: which buckets there are, which object a key names, and which files hold its bytes.
-- Keys are blobs, so that they sort and compare by their bytes. Times are milliseconds.

CREATE TABLE buckets (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT    NOT NULL UNIQUE,
    region  TEXT    NOT NULL,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE objects (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket        INTEGER NOT NULL REFERENCES buckets (id),
    key           BLOB    NOT NULL,
    size          INTEGER NOT NULL,
    etag          TEXT    NOT NULL,
    modified      INTEGER NOT NULL,
    checksums     TEXT    NOT NULL,     -- JSON: {"CRC32": "base64"}
    checksum_type TEXT,
    attributes    TEXT    NOT NULL,     -- JSON
    parts         TEXT,                 -- JSON list, where it was uploaded in parts
    UNIQUE (bucket, key)
) STRICT;

-- The files whose bytes, one after the other, are the object's. Copies share files.
CREATE TABLE pieces (
    object   INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    blob     BLOB    NOT NULL,
    size     INTEGER NOT NULL,
    PRIMARY KEY (object, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX pieces_by_blob ON pieces (blob);

CREATE TABLE uploads (
    id            TEXT    PRIMARY KEY,
    bucket        INTEGER NOT NULL REFERENCES buckets (id) ON DELETE CASCADE,
    key           BLOB    NOT NULL,
    started       INTEGER NOT NULL,
    attributes    TEXT    NOT NULL,
    algorithm     TEXT,                 -- of the finished object's checksum
    checksum_type TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_by_key ON uploads (bucket, key, id);

CREATE TABLE parts (
    upload    TEXT    NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number    INTEGER NOT NULL,
    blob      BLOB    NOT NULL,
    size      INTEGER NOT NULL,
    etag      TEXT    NOT NULL,
    modified  INTEGER NOT NULL,
    checksums TEXT    NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX parts_by_blob ON parts (blob);
