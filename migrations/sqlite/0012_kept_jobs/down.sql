DROP INDEX jobs_leased;
CREATE INDEX jobs_leased ON jobs (lease_expires_at) WHERE state = 'running';
DROP INDEX jobs_kept;
ALTER TABLE jobs DROP COLUMN kept_until;
ALTER TABLE jobs DROP COLUMN kept_for_runner_id;
