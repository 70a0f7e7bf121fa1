-- Files on the FTP server that were given up: no leader will ever take them as they are. One row for each path, for what
-- was there last.
CREATE TABLE dead_files (
    path TEXT COLLATE "C" PRIMARY KEY,
    size BIGINT NOT NULL,
    modified_at_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    given_up_at_ms BIGINT NOT NULL,
    term BIGINT NOT NULL
);

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON dead_files
    EXECUTE FUNCTION refuse_writes_without_current_token();
