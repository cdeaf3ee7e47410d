-- What is asked for or sent again after a lost answer or a cut: claims and uploads.

-- The id of the request that claimed the job, if its runner sends one.
ALTER TABLE jobs ADD COLUMN claim_request TEXT;
CREATE UNIQUE INDEX jobs_claim_request ON jobs (claim_request, runner_id)
    WHERE state = 'running' AND claim_request IS NOT NULL;

-- Files of jobs that runners upload in pieces. Once the file is complete it becomes an artifact and
-- has no pieces any more; its SHA-256 stays here until the job ends, for runners that ask again.
CREATE TABLE artifact_uploads (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    upload_id TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (job_id, upload_id)
);
CREATE INDEX artifact_uploads_changed ON artifact_uploads (changed_at);

CREATE TABLE artifact_upload_pieces (
    job_id BIGINT NOT NULL,
    upload_id TEXT NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    blob_key TEXT NOT NULL,
    PRIMARY KEY (job_id, upload_id, start),
    FOREIGN KEY (job_id, upload_id) REFERENCES artifact_uploads (job_id, upload_id)
        ON DELETE CASCADE
);
