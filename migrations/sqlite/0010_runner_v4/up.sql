-- Runner protocol v4: several managers under one token, and jobs that their runners end gracefully.

-- The managers that share a runner's token, by the system id of each.
CREATE TABLE runner_managers (
    runner_id BIGINT NOT NULL REFERENCES runners (id) ON DELETE CASCADE,
    system_id TEXT NOT NULL,
    name TEXT,
    version TEXT,
    revision TEXT,
    platform TEXT,
    architecture TEXT,
    executor TEXT,
    created_at BIGINT NOT NULL,
    contact_at BIGINT NOT NULL,
    PRIMARY KEY (runner_id, system_id)
);

-- Which manager of its runner runs the job.
ALTER TABLE job_details ADD COLUMN system_id TEXT;
-- Whether that manager ends the job gracefully when it is canceled.
ALTER TABLE job_details ADD COLUMN graceful BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether the stored trace differs from what the runner reports to have sent.
ALTER TABLE job_details ADD COLUMN trace_incomplete BOOLEAN NOT NULL DEFAULT FALSE;
