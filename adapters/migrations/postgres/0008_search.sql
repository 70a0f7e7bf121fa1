-- What a search looks for is found by its letters in threes, and an item by the names of its fields. The extension is
-- part of PostgreSQL's own distribution, and trusted: the owner of the database may make it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX items_by_text ON items USING gin (search_text gin_trgm_ops);
CREATE INDEX items_by_field ON items USING gin (fields);
