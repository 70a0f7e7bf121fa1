-- Whose the database is: two clusters would raise the fence above each other for ever.
ALTER TABLE fence ADD COLUMN cluster TEXT;
