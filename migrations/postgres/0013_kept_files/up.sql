-- Whether the runner can store images as archives if a spec asks for it.
ALTER TABLE runners ADD COLUMN image_archives BOOLEAN NOT NULL DEFAULT FALSE;

-- When a build last used the file: a new build or a new attempt.
ALTER TABLE uploads ADD COLUMN last_used_at BIGINT;
-- Until now only the first use was recorded, so each file is kept for its full time once more from
-- now on.
UPDATE uploads SET last_used_at = (extract(epoch FROM now()) * 1000)::bigint WHERE used_at IS NOT NULL;
CREATE INDEX uploads_used ON uploads (last_used_at) WHERE last_used_at IS NOT NULL;

-- Which file a build uses, while the file exists.
CREATE TABLE upload_uses (
    build_id BIGINT PRIMARY KEY NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    upload_uuid TEXT NOT NULL REFERENCES uploads (uuid) ON DELETE CASCADE
);
CREATE INDEX upload_uses_upload ON upload_uses (upload_uuid);
INSERT INTO upload_uses (build_id, upload_uuid)
    SELECT build_id, MIN(uuid) FROM jobs JOIN uploads ON uuid = spec::json #>> '{package,source,upload}'
    WHERE spec LIKE '%"upload"%' GROUP BY build_id;
