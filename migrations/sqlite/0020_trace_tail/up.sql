-- What follows the head of a trace that is longer than its head may be. Both are absent while the
-- head takes more.

-- How much text followed the head, in bytes, kept or not.
ALTER TABLE traces ADD COLUMN tail_length BIGINT;
-- Where in it the part begins that is kept: so many bytes are missing.
ALTER TABLE traces ADD COLUMN tail_start BIGINT;

-- The chunks that hold the kept part. They start at offsets behind the head.
CREATE TABLE trace_tail_chunks (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    blob_key TEXT NOT NULL,
    lines BIGINT,
    ends_line BOOLEAN,
    at BIGINT,
    line_times BIGINT,
    PRIMARY KEY (job_id, start)
);
