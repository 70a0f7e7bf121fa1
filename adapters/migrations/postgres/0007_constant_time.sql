-- Few mails are given up, and they are counted often.
CREATE INDEX mails_dead ON mails (id) WHERE state = 'dead';

-- Not compressed, so that a part of a content is read without the rest.
ALTER TABLE files ALTER COLUMN content SET STORAGE EXTERNAL;
