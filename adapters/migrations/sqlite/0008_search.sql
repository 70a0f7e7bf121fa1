-- What a search looks for is found by its letters in threes, and an item by the names of its fields, each on a line of its
-- own. The index refers to items by a number, which a table needs a column for: other row ids change when a file is
-- compacted.
CREATE TABLE numbered_items (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
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
INSERT INTO numbered_items (id, site, url, title, fields, search_text, scraped_at_ms, first_stored_at_ms, stored_at_ms,
    term, revision)
SELECT id, site, url, title, fields, search_text, scraped_at_ms, first_stored_at_ms, stored_at_ms, term, revision
FROM items ORDER BY rowid;
DROP TABLE items;
ALTER TABLE numbered_items RENAME TO items;
CREATE INDEX items_by_stored_at ON items (stored_at_ms, id);
CREATE INDEX items_by_site ON items (site, stored_at_ms, id);

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

CREATE VIRTUAL TABLE items_text USING fts5 (search_text, names, content = '', tokenize = 'trigram');
INSERT INTO items_text (rowid, search_text, names)
SELECT number, search_text, (SELECT char(10) || group_concat(key, char(10)) || char(10) FROM json_each(items.fields)) FROM items;

CREATE TRIGGER items_text_insert AFTER INSERT ON items
BEGIN
    INSERT INTO items_text (rowid, search_text, names)
    VALUES (NEW.number, NEW.search_text, (SELECT char(10) || group_concat(key, char(10)) || char(10) FROM json_each(NEW.fields)));
END;
CREATE TRIGGER items_text_update AFTER UPDATE ON items
WHEN NEW.search_text <> OLD.search_text OR NEW.fields <> OLD.fields OR NEW.number <> OLD.number
BEGIN
    INSERT INTO items_text (items_text, rowid, search_text, names)
    VALUES ('delete', OLD.number, OLD.search_text, (SELECT char(10) || group_concat(key, char(10)) || char(10) FROM json_each(OLD.fields)));
    INSERT INTO items_text (rowid, search_text, names)
    VALUES (NEW.number, NEW.search_text, (SELECT char(10) || group_concat(key, char(10)) || char(10) FROM json_each(NEW.fields)));
END;
CREATE TRIGGER items_text_delete AFTER DELETE ON items
BEGIN
    INSERT INTO items_text (items_text, rowid, search_text, names)
    VALUES ('delete', OLD.number, OLD.search_text, (SELECT char(10) || group_concat(key, char(10)) || char(10) FROM json_each(OLD.fields)));
END;
