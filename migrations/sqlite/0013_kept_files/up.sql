-- Whether the runner leaves images as archives where a spec says so.
ALTER TABLE runners ADD COLUMN image_archives BOOLEAN NOT NULL DEFAULT FALSE;
