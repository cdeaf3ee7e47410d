-- The runner protocol v4: several processes under one token, and jobs that their runners end.

-- The processes that share a runner's token, by the name that each has for its host.
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

-- Which process of its runner has the job.
ALTER TABLE job_details ADD COLUMN system_id TEXT;
-- Whether that one ends a job in its own way when it is canceled.
ALTER TABLE job_details ADD COLUMN graceful BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether the trace is not what the runner says that it sent.
ALTER TABLE job_details ADD COLUMN trace_incomplete BOOLEAN NOT NULL DEFAULT FALSE;
