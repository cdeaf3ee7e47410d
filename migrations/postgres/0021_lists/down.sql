DROP INDEX jobs_state;
DROP INDEX builds_created;
DROP INDEX builds_pipeline;
DROP INDEX builds_state;
