DROP TABLE artifact_upload_pieces;
DROP TABLE artifact_uploads;
DROP INDEX jobs_claim_request;
ALTER TABLE jobs DROP COLUMN claim_request;
