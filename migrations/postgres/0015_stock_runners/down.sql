ALTER TABLE variables DROP COLUMN file;
ALTER TABLE trace_chunks DROP COLUMN line_times;
ALTER TABLE traces DROP COLUMN reader;
ALTER TABLE traces DROP COLUMN received_crc32;
ALTER TABLE traces DROP COLUMN received_length;
