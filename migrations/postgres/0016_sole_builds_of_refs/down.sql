-- All but the oldest unfinished build of a commit lose the mark, because the old index allows one.
UPDATE builds SET sole = FALSE WHERE sole AND finished_at IS NULL AND EXISTS (
    SELECT 1 FROM builds AS older WHERE older.project_id = builds.project_id AND older.sha = builds.sha
        AND older.sole AND older.finished_at IS NULL AND older.id < builds.id);
DROP INDEX builds_sole;
CREATE UNIQUE INDEX builds_sole ON builds (project_id, sha) WHERE sole AND finished_at IS NULL;
