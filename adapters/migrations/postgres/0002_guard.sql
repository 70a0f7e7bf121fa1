-- The guard: no row of the data changes in a transaction that does not carry the current token, whatever the code above
-- forgets. A transaction says in the setting `symphony.token`, as TERM:HOLDER and for itself alone, for whom it writes.
-- The guard holds the fence (FOR SHARE) until the transaction ends, so the token is still current when it commits.
CREATE FUNCTION refuse_writes_without_current_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM fence
        WHERE resource = 'leader' AND term || ':' || holder = current_setting('symphony.token', true) FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% on % without the current token', TG_OP, TG_TABLE_NAME USING ERRCODE = 'SY001';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON inbox
    EXECUTE FUNCTION refuse_writes_without_current_token();

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON items
    EXECUTE FUNCTION refuse_writes_without_current_token();

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON files
    EXECUTE FUNCTION refuse_writes_without_current_token();

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON file_ledger
    EXECUTE FUNCTION refuse_writes_without_current_token();

CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON mails
    EXECUTE FUNCTION refuse_writes_without_current_token();

-- The fence only rises.
CREATE FUNCTION refuse_lower_fences() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% would lower the fence', TG_OP USING ERRCODE = 'SY001';
END
$$;

CREATE TRIGGER guard_update BEFORE UPDATE ON fence FOR EACH ROW
    WHEN (NEW.resource <> OLD.resource OR NEW.term < OLD.term OR (NEW.term = OLD.term AND NEW.holder <> OLD.holder))
    EXECUTE FUNCTION refuse_lower_fences();

CREATE TRIGGER guard_delete BEFORE DELETE OR TRUNCATE ON fence
    EXECUTE FUNCTION refuse_lower_fences();
