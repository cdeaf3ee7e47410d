DROP TABLE uploads;
DROP TABLE phase_entries;
ALTER TABLE trace_chunks DROP COLUMN at;
ALTER TABLE trace_chunks DROP COLUMN ends_line;
ALTER TABLE trace_chunks DROP COLUMN lines;
ALTER TABLE builds DROP COLUMN pull_login;
ALTER TABLE builds DROP COLUMN package;
ALTER TABLE projects DROP COLUMN read_only;
ALTER TABLE namespaces DROP COLUMN max_builds;
