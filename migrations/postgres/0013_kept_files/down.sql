ALTER TABLE runners DROP COLUMN image_archives;
