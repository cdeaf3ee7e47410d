DROP TABLE upload_uses;
DROP INDEX uploads_used;
ALTER TABLE uploads DROP COLUMN last_used_at;
ALTER TABLE runners DROP COLUMN image_archives;
