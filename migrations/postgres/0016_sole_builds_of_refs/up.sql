-- At most one sole build of a commit is unfinished for each ref: a branch and a tag may be pushed at
-- the same commit, and each has tags of its own.
DROP INDEX builds_sole;
CREATE UNIQUE INDEX builds_sole ON builds (project_id, sha, COALESCE(git_ref, ''), ref_is_tag)
    WHERE sole AND finished_at IS NULL;
