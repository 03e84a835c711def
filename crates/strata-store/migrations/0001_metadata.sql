-- Resources and their event logs. Documents are JSON text; times are milliseconds since 1970.
CREATE TABLE record (
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    arn      TEXT    NOT NULL,
    phase    TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    document TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;

-- One index an order that lists are asked for; the name settles ties and is the cursor.
CREATE INDEX record_created  ON record (kind, created, name);
CREATE INDEX record_modified ON record (kind, modified, name);
CREATE INDEX record_phase    ON record (kind, phase, name);

CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    what     TEXT    NOT NULL,
    FOREIGN KEY (kind, name) REFERENCES record (kind, name) ON DELETE CASCADE
) STRICT;

CREATE INDEX event_of_record ON event (kind, name, sequence);
