-- Where a message has been, for whoever asks what became of an item. Rows of before do not know.
ALTER TABLE inbox
    ADD COLUMN item_id TEXT COLLATE "C",
    ADD COLUMN scraped_at_ms BIGINT,
    ADD COLUMN queued_at_ms BIGINT,
    ADD COLUMN delivered_at_ms BIGINT;
CREATE INDEX inbox_by_item ON inbox (item_id, stored_at_ms) WHERE item_id IS NOT NULL;
