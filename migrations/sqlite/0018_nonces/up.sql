-- Random values that tokens are derived from, because ids come again after a restore. Rows from
-- before this step have none: their tokens depend on the id alone and stay valid.
ALTER TABLE jobs ADD COLUMN nonce TEXT;
ALTER TABLE triggers ADD COLUMN nonce TEXT;
-- What the runners token of a project is derived from. A new value resets the token.
ALTER TABLE projects ADD COLUMN runners_nonce TEXT;
