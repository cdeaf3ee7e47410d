-- Details of the results of jobs, and files of several types.

-- Platforms a runner builds images for besides its own, separated by commas.
ALTER TABLE runners ADD COLUMN platforms TEXT;

-- For a file that is not the job's archive: what it is for, and how it is packed.
ALTER TABLE artifacts ADD COLUMN file_type TEXT NOT NULL DEFAULT '';
ALTER TABLE artifacts ADD COLUMN format TEXT NOT NULL DEFAULT '';
-- For an image: its platform and layers, as JSON.
ALTER TABLE artifacts ADD COLUMN details TEXT;

-- The steps of an image build with their times, as JSON.
ALTER TABLE job_details ADD COLUMN build_steps TEXT;
