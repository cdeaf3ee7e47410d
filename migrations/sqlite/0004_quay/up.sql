-- Builds of packages, uploads for them, and traces that are read by lines.

-- How many builds of a namespace may be unfinished at once, for the APIs that enforce this limit.
-- NULL for no limit.
ALTER TABLE namespaces ADD COLUMN max_builds INTEGER;

-- Whether builds of the project can be viewed, but not created, canceled or retried.
ALTER TABLE projects ADD COLUMN read_only BOOLEAN NOT NULL DEFAULT FALSE;

-- How a build of a package was requested, as JSON. NULL for builds of a commit.
ALTER TABLE builds ADD COLUMN package TEXT;
-- Registry, user name and password for pulling its base images, sealed.
ALTER TABLE builds ADD COLUMN pull_login TEXT;

-- How many line ends a chunk has, whether it ends with one, and when it arrived. NULL for chunks
-- that were stored before lines were counted.
ALTER TABLE trace_chunks ADD COLUMN lines BIGINT;
ALTER TABLE trace_chunks ADD COLUMN ends_line BOOLEAN;
ALTER TABLE trace_chunks ADD COLUMN at BIGINT;

-- When a running job entered each phase, and how long its trace was at that moment. The row without
-- a phase is the end of the job.
CREATE TABLE phase_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    phase TEXT,
    trace_length BIGINT NOT NULL,
    at BIGINT NOT NULL,
    base_image TEXT
);
CREATE INDEX phase_entries_job ON phase_entries (job_id);

-- Files that users upload for builds. The row is created first; the bytes may arrive until the row
-- expires or a build uses them.
CREATE TABLE uploads (
    uuid TEXT PRIMARY KEY NOT NULL,
    created_by BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    mime TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    blob_key TEXT,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT,
    uploaded_at BIGINT,
    used_at BIGINT,
    used_by BIGINT REFERENCES projects (id) ON DELETE SET NULL
);
CREATE INDEX uploads_unused ON uploads (expires_at) WHERE used_at IS NULL;
