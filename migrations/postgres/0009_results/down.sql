ALTER TABLE job_details DROP COLUMN build_steps;
DELETE FROM artifacts WHERE kind = 'file';
ALTER TABLE artifacts DROP COLUMN details;
ALTER TABLE artifacts DROP COLUMN format;
ALTER TABLE artifacts DROP COLUMN file_type;
ALTER TABLE runners DROP COLUMN platforms;
