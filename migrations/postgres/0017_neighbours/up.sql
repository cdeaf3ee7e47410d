-- How far the farm can tell where the sources of a build come from.
ALTER TABLE builds ADD COLUMN trust TEXT;
-- The trust levels that a runner is dedicated to, and what its operator should know about it.
ALTER TABLE runners ADD COLUMN trust TEXT;
ALTER TABLE runners ADD COLUMN notes TEXT;
