-- Files on the FTP server that were given up: no leader will ever take them as they are. One row for each path, for what
-- was there last.
CREATE TABLE dead_files (
    path TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    modified_at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    given_up_at_ms INTEGER NOT NULL,
    term INTEGER NOT NULL
) STRICT;

CREATE TRIGGER guard_dead_files_insert BEFORE INSERT ON dead_files WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'INSERT on dead_files without the current token');
END;
CREATE TRIGGER guard_dead_files_update BEFORE UPDATE ON dead_files WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on dead_files without the current token');
END;
CREATE TRIGGER guard_dead_files_delete BEFORE DELETE ON dead_files WHEN NOT EXISTS (SELECT * FROM current_token)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on dead_files without the current token');
END;
