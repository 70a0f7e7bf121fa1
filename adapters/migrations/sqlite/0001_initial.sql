-- One row per resource: who may write. Every write checks it in its own transaction.
CREATE TABLE fence (
    resource TEXT PRIMARY KEY,
    term INTEGER NOT NULL,
    holder INTEGER NOT NULL,
    url TEXT NOT NULL,
    raised_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages that have had their effect.
CREATE TABLE inbox (
    message_id TEXT PRIMARY KEY,
    body_hash TEXT NOT NULL,
    term INTEGER NOT NULL,
    stored_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE items (
    id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    url TEXT NOT NULL,
    title TEXT NOT NULL,
    fields TEXT NOT NULL,
    search_text TEXT NOT NULL,
    scraped_at_ms INTEGER NOT NULL,
    first_stored_at_ms INTEGER NOT NULL,
    stored_at_ms INTEGER NOT NULL,
    term INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX items_by_stored_at ON items (stored_at_ms, id);
CREATE INDEX items_by_site ON items (site, stored_at_ms, id);

CREATE TABLE files (
    sha256 TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    modified_at_ms INTEGER NOT NULL,
    stored_at_ms INTEGER NOT NULL,
    term INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX files_by_stored_at ON files (stored_at_ms, sha256);

-- Every place and time a file was fetched from, so that it is not fetched again.
CREATE TABLE file_ledger (
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified_at_ms INTEGER NOT NULL,
    sha256 TEXT NOT NULL REFERENCES files (sha256),
    stored_at_ms INTEGER NOT NULL,
    term INTEGER NOT NULL,
    PRIMARY KEY (path, size, modified_at_ms, sha256)
) STRICT, WITHOUT ROWID;

-- The outbox of mails. Times are in milliseconds since the Unix epoch, by the database's clock.
CREATE TABLE mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at_ms INTEGER NOT NULL,
    claimed_until_ms INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    settled_at_ms INTEGER,
    last_error TEXT,
    term INTEGER NOT NULL
) STRICT;
CREATE INDEX mails_waiting ON mails (due_at_ms, id) WHERE state = 'waiting';
