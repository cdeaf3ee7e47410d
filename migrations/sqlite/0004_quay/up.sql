-- Builds of packages, files that are uploaded for them, and traces that are read by lines.

-- How many builds of a namespace may be unfinished before no more are taken through the door that
-- keeps to it; no limit when null.
ALTER TABLE namespaces ADD COLUMN max_builds INTEGER;

-- Whether builds of the project are looked at only: none is made, canceled or tried again.
ALTER TABLE projects ADD COLUMN read_only BOOLEAN NOT NULL DEFAULT FALSE;

-- How a build of a package was asked for, as JSON; null for builds of a commit.
ALTER TABLE builds ADD COLUMN package TEXT;
-- Registry, user name and password with which its base images are pulled, sealed.
ALTER TABLE builds ADD COLUMN pull_login TEXT;

-- How many line ends a chunk has, whether it ends with one, and when it came; null for chunks that
-- were stored before anybody counted.
ALTER TABLE trace_chunks ADD COLUMN lines BIGINT;
ALTER TABLE trace_chunks ADD COLUMN ends_line BOOLEAN;
ALTER TABLE trace_chunks ADD COLUMN at BIGINT;

-- When a running job entered which phase, and how long its trace was then. The one without a phase
-- says when the job was over, and with how much of a trace.
CREATE TABLE phase_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    phase TEXT,
    trace_length BIGINT NOT NULL,
    at BIGINT NOT NULL,
    base_image TEXT
);
CREATE INDEX phase_entries_job ON phase_entries (job_id);

-- Files that somebody uploads for a build. Bytes come once the place is there, until it expires or
-- a build uses them.
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
