-- Pipelines of several jobs that are known in a whole namespace, and builds that somebody handed in
-- with their own jobs and sources.

-- What people call it, and what it is for.
ALTER TABLE pipelines ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE pipelines ADD COLUMN description TEXT;
-- Its short name in the whole namespace, and the namespace.
ALTER TABLE pipelines ADD COLUMN namespace_id BIGINT REFERENCES namespaces (id) ON DELETE CASCADE;
ALTER TABLE pipelines ADD COLUMN wide_slug TEXT;
-- The repository as `owner/name`, and what the pipeline is called inside of it, for those who know
-- nothing else; null when nobody said so.
ALTER TABLE pipelines ADD COLUMN repo_name TEXT;
ALTER TABLE pipelines ADD COLUMN source_slug TEXT;
-- Whether people may have it run.
ALTER TABLE pipelines ADD COLUMN allow_manual BOOLEAN NOT NULL DEFAULT TRUE;
-- Whether its jobs come from the repository at the commit, with `definition` for where it has none.
ALTER TABLE pipelines ADD COLUMN from_repository BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE pipelines ADD COLUMN archived_at BIGINT;

UPDATE pipelines SET
    namespace_id = (SELECT namespace_id FROM projects WHERE projects.id = pipelines.project_id),
    title = slug,
    wide_slug = CASE
        WHEN slug = 'default' THEN (
            SELECT LOWER(REPLACE(REPLACE(name, '_', '-'), '.', '-'))
            FROM projects WHERE projects.id = pipelines.project_id
        )
        ELSE (
            SELECT LOWER(REPLACE(REPLACE(name, '_', '-'), '.', '-'))
            FROM projects WHERE projects.id = pipelines.project_id
        ) || '-' || slug
    END;
-- Of several that would have one name, all but the first are told apart by their ids.
UPDATE pipelines SET wide_slug = wide_slug || '-' || id
WHERE EXISTS (
    SELECT 1 FROM pipelines AS earlier
    WHERE earlier.namespace_id = pipelines.namespace_id
        AND earlier.wide_slug = pipelines.wide_slug
        AND earlier.id < pipelines.id
);
CREATE UNIQUE INDEX pipelines_wide ON pipelines (namespace_id, wide_slug);
CREATE INDEX pipelines_source ON pipelines (namespace_id, repo_name, source_slug);

-- What was said when it was asked for: why, by what kind of thing, and commit and branch in the
-- words of whoever asked, where they are not `sha` and `git_ref`.
ALTER TABLE builds ADD COLUMN message TEXT;
ALTER TABLE builds ADD COLUMN cause TEXT;
ALTER TABLE builds ADD COLUMN asked_commit TEXT;
ALTER TABLE builds ADD COLUMN asked_branch TEXT;
-- The sources that were handed in: a blob with a gzipped tar, or where one is, with its digest.
ALTER TABLE builds ADD COLUMN source_key TEXT;
ALTER TABLE builds ADD COLUMN source_url TEXT;
ALTER TABLE builds ADD COLUMN source_sha256 TEXT;
-- Why the build as a whole could not be.
ALTER TABLE builds ADD COLUMN error_code TEXT;
ALTER TABLE builds ADD COLUMN error_message TEXT;
-- Whether somebody called the whole build off.
ALTER TABLE builds ADD COLUMN called_off BOOLEAN NOT NULL DEFAULT FALSE;
-- How long it may run, in seconds, and until when it may once it has begun.
ALTER TABLE builds ADD COLUMN timeout_s INTEGER;
ALTER TABLE builds ADD COLUMN deadline_at BIGINT;
CREATE INDEX builds_deadline ON builds (deadline_at) WHERE finished_at IS NULL;

-- When a job runs, by what became of those that it needs.
ALTER TABLE jobs ADD COLUMN run_when TEXT NOT NULL DEFAULT 'on_success';
UPDATE jobs SET run_when = 'manual' WHERE by_hand;
ALTER TABLE jobs DROP COLUMN by_hand;

-- What is known of few jobs.
CREATE TABLE job_details (
    job_id BIGINT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    -- Its key in the graph that was handed in, and what it is called there.
    step_key TEXT,
    label TEXT,
    -- When it is tried again by itself, as JSON.
    retry TEXT,
    -- What the last command ended with.
    exit_code INTEGER,
    error_code TEXT,
    -- A canceled job whose runner has not said that it stopped: until when that is waited for.
    stopping_until BIGINT
);
