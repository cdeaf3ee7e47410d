-- What GitLab's API needs: visibility of projects, passwords, commits, triggers, and jobs that are
-- started by hand.

ALTER TABLE users ADD COLUMN password_hash TEXT;

ALTER TABLE projects ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private';
ALTER TABLE projects ADD COLUMN public_builds BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE projects ADD COLUMN builds_enabled BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE projects ADD COLUMN created_by BIGINT;

-- The build's own variables, sealed, and the trigger that started it.
ALTER TABLE builds ADD COLUMN variables TEXT;
ALTER TABLE builds ADD COLUMN trigger_id BIGINT;
CREATE INDEX builds_sha ON builds (project_id, sha, id);
CREATE INDEX builds_ref ON builds (project_id, git_ref, id);

-- Who created this attempt, and whether a user must start it by hand.
ALTER TABLE jobs ADD COLUMN created_by BIGINT;
ALTER TABLE jobs ADD COLUMN by_hand BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE jobs SET created_by = (SELECT created_by FROM builds WHERE builds.id = jobs.build_id);

-- The tokens themselves are derived from the farm's key.
CREATE TABLE triggers (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    description TEXT NOT NULL,
    created_by BIGINT REFERENCES users (id),
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX triggers_project ON triggers (project_id, id);

-- Metadata of commits. Each time is stored with its author's offset from UTC in seconds.
CREATE TABLE commits (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    sha TEXT NOT NULL,
    parents TEXT NOT NULL,
    message TEXT NOT NULL,
    author_name TEXT NOT NULL,
    author_email TEXT NOT NULL,
    authored_at BIGINT NOT NULL,
    authored_offset_s INTEGER NOT NULL,
    committer_name TEXT NOT NULL,
    committer_email TEXT NOT NULL,
    committed_at BIGINT NOT NULL,
    committed_offset_s INTEGER NOT NULL,
    PRIMARY KEY (project_id, sha)
);
