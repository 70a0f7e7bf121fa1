-- Keys are ordered by their bytes, as in SQLite, whatever the locale of the database.

-- One row per resource: who may write. Every write checks it in its own transaction.
CREATE TABLE fence (
    resource TEXT COLLATE "C" PRIMARY KEY,
    term BIGINT NOT NULL,
    holder BIGINT NOT NULL,
    url TEXT NOT NULL,
    raised_at_ms BIGINT NOT NULL
);

-- Messages that have had their effect.
CREATE TABLE inbox (
    message_id TEXT COLLATE "C" PRIMARY KEY,
    body_hash TEXT NOT NULL,
    term BIGINT NOT NULL,
    stored_at_ms BIGINT NOT NULL
);

CREATE TABLE items (
    id TEXT COLLATE "C" PRIMARY KEY,
    site TEXT COLLATE "C" NOT NULL,
    url TEXT NOT NULL,
    title TEXT NOT NULL,
    fields JSONB NOT NULL,
    search_text TEXT NOT NULL,
    scraped_at_ms BIGINT NOT NULL,
    first_stored_at_ms BIGINT NOT NULL,
    stored_at_ms BIGINT NOT NULL,
    term BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX items_by_stored_at ON items (stored_at_ms, id);
CREATE INDEX items_by_site ON items (site, stored_at_ms, id);

CREATE TABLE files (
    sha256 TEXT COLLATE "C" PRIMARY KEY,
    path TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    modified_at_ms BIGINT NOT NULL,
    stored_at_ms BIGINT NOT NULL,
    term BIGINT NOT NULL,
    content BYTEA NOT NULL
);
CREATE INDEX files_by_stored_at ON files (stored_at_ms, sha256);

-- Every place and time a file was fetched from, so that it is not fetched again.
CREATE TABLE file_ledger (
    path TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    modified_at_ms BIGINT NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL REFERENCES files (sha256),
    stored_at_ms BIGINT NOT NULL,
    term BIGINT NOT NULL,
    PRIMARY KEY (path, size, modified_at_ms, sha256)
);

-- The outbox of mails. Times are in milliseconds since the Unix epoch, by the database's clock.
CREATE TABLE mails (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key TEXT COLLATE "C" NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at_ms BIGINT NOT NULL,
    claimed_until_ms BIGINT NOT NULL DEFAULT 0,
    created_at_ms BIGINT NOT NULL,
    settled_at_ms BIGINT,
    last_error TEXT,
    term BIGINT NOT NULL
);
CREATE INDEX mails_waiting ON mails (due_at_ms, id) WHERE state = 'waiting';
