-- Why a runner claims no jobs at the moment, in its own words.
ALTER TABLE runners ADD COLUMN unready TEXT;
