-- INSERT OR REPLACE takes a row away without a DELETE that a trigger hears of: the fence must not fall that way.
CREATE TRIGGER guard_fence_insert BEFORE INSERT ON fence
WHEN EXISTS (
    SELECT 1 FROM fence
    WHERE resource = NEW.resource AND (term > NEW.term OR (term = NEW.term AND holder <> NEW.holder))
)
BEGIN
    SELECT RAISE(ABORT, 'INSERT would lower the fence');
END;

-- What keeps a token from being committed is a foreign key, and each connection says for itself whether it heeds them;
-- it cannot change its mind inside a transaction.
CREATE TRIGGER guard_token_insert BEFORE INSERT ON token WHEN (SELECT foreign_keys FROM pragma_foreign_keys) IS NOT 1
BEGIN
    SELECT RAISE(ABORT, 'a token wants PRAGMA foreign_keys = ON');
END;
CREATE TRIGGER guard_never_insert BEFORE INSERT ON never
BEGIN
    SELECT RAISE(ABORT, 'never is empty');
END;
DELETE FROM token;
