-- The busy runner that a pending job is reserved for, and until when no other runner gets it.
ALTER TABLE jobs ADD COLUMN kept_for_runner_id BIGINT;
ALTER TABLE jobs ADD COLUMN kept_until BIGINT;
CREATE INDEX jobs_kept ON jobs (kept_until) WHERE state = 'pending' AND kept_until IS NOT NULL;

-- Finding the busy runners reads only this index.
DROP INDEX jobs_leased;
CREATE INDEX jobs_leased ON jobs (lease_expires_at, runner_id) WHERE state = 'running';
