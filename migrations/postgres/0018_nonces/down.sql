ALTER TABLE projects DROP COLUMN runners_nonce;
ALTER TABLE triggers DROP COLUMN nonce;
ALTER TABLE jobs DROP COLUMN nonce;
