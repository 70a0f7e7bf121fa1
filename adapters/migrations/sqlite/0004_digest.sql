-- Mails of one burst leave as one digest, named by the first of them; once together, they stay so, and a digest that is
-- sent again is the same.
ALTER TABLE mails ADD COLUMN digest INTEGER;
CREATE INDEX mails_of_digest ON mails (digest) WHERE digest IS NOT NULL;
