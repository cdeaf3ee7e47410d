-- Pipelines of several jobs that are addressed by namespace, and builds that were submitted with
-- their own jobs and sources.

-- The display name and the purpose.
ALTER TABLE pipelines ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE pipelines ADD COLUMN description TEXT;
-- The slug in the namespace, and the namespace.
ALTER TABLE pipelines ADD COLUMN namespace_id BIGINT REFERENCES namespaces (id) ON DELETE CASCADE;
ALTER TABLE pipelines ADD COLUMN wide_slug TEXT;
-- The repository as `owner/name` and the pipeline's slug inside it, for requests that name no
-- pipeline. NULL if unknown.
ALTER TABLE pipelines ADD COLUMN repo_name TEXT;
ALTER TABLE pipelines ADD COLUMN source_slug TEXT;
-- Whether users may start it by hand.
ALTER TABLE pipelines ADD COLUMN allow_manual BOOLEAN NOT NULL DEFAULT TRUE;
-- Whether its jobs come from the repository at the commit. `definition` is used if the repository
-- has none.
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
-- If several pipelines would get the same slug, all but the first have their ids appended.
UPDATE pipelines SET wide_slug = wide_slug || '-' || id
WHERE EXISTS (
    SELECT 1 FROM pipelines AS earlier
    WHERE earlier.namespace_id = pipelines.namespace_id
        AND earlier.wide_slug = pipelines.wide_slug
        AND earlier.id < pipelines.id
);
CREATE UNIQUE INDEX pipelines_wide ON pipelines (namespace_id, wide_slug);
CREATE INDEX pipelines_source ON pipelines (namespace_id, repo_name, source_slug);

-- What the requester submitted: a message, the kind of cause, and commit and branch as written in
-- the request, if they differ from `sha` and `git_ref`.
ALTER TABLE builds ADD COLUMN message TEXT;
ALTER TABLE builds ADD COLUMN cause TEXT;
ALTER TABLE builds ADD COLUMN asked_commit TEXT;
ALTER TABLE builds ADD COLUMN asked_branch TEXT;
-- The submitted sources: a blob with a gzipped tar archive, or the URL of one, with its digest.
ALTER TABLE builds ADD COLUMN source_key TEXT;
ALTER TABLE builds ADD COLUMN source_url TEXT;
ALTER TABLE builds ADD COLUMN source_sha256 TEXT;
-- Why the build failed as a whole.
ALTER TABLE builds ADD COLUMN error_code TEXT;
ALTER TABLE builds ADD COLUMN error_message TEXT;
-- Whether the build was canceled as a whole.
ALTER TABLE builds ADD COLUMN called_off BOOLEAN NOT NULL DEFAULT FALSE;
-- How long it may run, in seconds, and its deadline once it has started.
ALTER TABLE builds ADD COLUMN timeout_s INTEGER;
ALTER TABLE builds ADD COLUMN deadline_at BIGINT;
CREATE INDEX builds_deadline ON builds (deadline_at) WHERE finished_at IS NULL;

-- On which results of the needed jobs a job runs.
ALTER TABLE jobs ADD COLUMN run_when TEXT NOT NULL DEFAULT 'on_success';
UPDATE jobs SET run_when = 'manual' WHERE by_hand;
ALTER TABLE jobs DROP COLUMN by_hand;

-- Values that only some jobs have.
CREATE TABLE job_details (
    job_id BIGINT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    -- The key of its step in the submitted graph, and its display name there.
    step_key TEXT,
    label TEXT,
    -- When it is retried automatically, as JSON.
    retry TEXT,
    -- The exit code of the last command.
    exit_code INTEGER,
    error_code TEXT,
    -- For a canceled job: until when the farm waits for its runner to report that it stopped.
    stopping_until BIGINT
);
