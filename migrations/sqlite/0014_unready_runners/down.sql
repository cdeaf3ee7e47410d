ALTER TABLE runners DROP COLUMN unready;
