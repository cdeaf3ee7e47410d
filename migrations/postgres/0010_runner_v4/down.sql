ALTER TABLE job_details DROP COLUMN trace_incomplete;
ALTER TABLE job_details DROP COLUMN graceful;
ALTER TABLE job_details DROP COLUMN system_id;
DROP TABLE runner_managers;
