DROP TABLE trace_tail_chunks;
ALTER TABLE traces DROP COLUMN tail_start;
ALTER TABLE traces DROP COLUMN tail_length;
