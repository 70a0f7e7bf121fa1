-- Few mails are given up, and they are counted often.
CREATE INDEX mails_dead ON mails (id) WHERE state = 'dead';
