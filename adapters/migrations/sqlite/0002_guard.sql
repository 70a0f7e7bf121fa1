-- The guard: no row of the data changes in a transaction that does not carry the current token, whatever the code above
-- forgets. A transaction says here for whom it writes. SQLite has one writer, so nobody else sees the row; it goes before
-- the commit, and cannot be committed: it refers to what never is.
CREATE TABLE token (
    term INTEGER NOT NULL,
    holder INTEGER NOT NULL,
    never INTEGER NOT NULL DEFAULT 0 REFERENCES never (id) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE never (id INTEGER PRIMARY KEY CHECK (false)) STRICT;

CREATE VIEW current_token AS
    SELECT 1 FROM token JOIN fence ON fence.term = token.term AND fence.holder = token.holder
    WHERE fence.resource = 'leader';

CREATE TRIGGER guard_inbox_insert BEFORE INSERT ON inbox WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'INSERT on inbox without the current token');
END;
CREATE TRIGGER guard_inbox_update BEFORE UPDATE ON inbox WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on inbox without the current token');
END;
CREATE TRIGGER guard_inbox_delete BEFORE DELETE ON inbox WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on inbox without the current token');
END;

CREATE TRIGGER guard_items_insert BEFORE INSERT ON items WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'INSERT on items without the current token');
END;
CREATE TRIGGER guard_items_update BEFORE UPDATE ON items WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on items without the current token');
END;
CREATE TRIGGER guard_items_delete BEFORE DELETE ON items WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on items without the current token');
END;

CREATE TRIGGER guard_files_insert BEFORE INSERT ON files WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'INSERT on files without the current token');
END;
CREATE TRIGGER guard_files_update BEFORE UPDATE ON files WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on files without the current token');
END;
CREATE TRIGGER guard_files_delete BEFORE DELETE ON files WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on files without the current token');
END;

CREATE TRIGGER guard_file_ledger_insert BEFORE INSERT ON file_ledger WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'INSERT on file_ledger without the current token');
END;
CREATE TRIGGER guard_file_ledger_update BEFORE UPDATE ON file_ledger WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on file_ledger without the current token');
END;
CREATE TRIGGER guard_file_ledger_delete BEFORE DELETE ON file_ledger WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on file_ledger without the current token');
END;

CREATE TRIGGER guard_mails_insert BEFORE INSERT ON mails WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'INSERT on mails without the current token');
END;
CREATE TRIGGER guard_mails_update BEFORE UPDATE ON mails WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on mails without the current token');
END;
CREATE TRIGGER guard_mails_delete BEFORE DELETE ON mails WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on mails without the current token');
END;

-- The fence only rises.
CREATE TRIGGER guard_fence_update BEFORE UPDATE ON fence
WHEN NEW.resource <> OLD.resource OR NEW.term < OLD.term OR (NEW.term = OLD.term AND NEW.holder <> OLD.holder)
BEGIN
    SELECT RAISE(ABORT, 'UPDATE would lower the fence');
END;
CREATE TRIGGER guard_fence_delete BEFORE DELETE ON fence
BEGIN
    SELECT RAISE(ABORT, 'DELETE would lower the fence');
END;
