-- Lists: every filter finds its rows in the order of the list, however many rows have other values.
CREATE INDEX builds_state ON builds (project_id, state, id);
CREATE INDEX builds_pipeline ON builds (pipeline_id, id);
-- Also finds the newest build of a project.
CREATE INDEX builds_created ON builds (project_id, created_at, id);
CREATE INDEX jobs_state ON jobs (project_id, state, id);
