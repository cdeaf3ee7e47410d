-- A trace whose lines have headers with times is stored without them. What the runner sent is
-- counted apart from the text; both are the same in older rows.
ALTER TABLE traces ADD COLUMN received_length BIGINT;
ALTER TABLE traces ADD COLUMN received_crc32 BIGINT;
-- The state of the reader that removes the headers; absent for a trace without headers.
ALTER TABLE traces ADD COLUMN reader TEXT;
-- How many times of lines follow the text in the blob; absent for a trace without headers.
ALTER TABLE trace_chunks ADD COLUMN line_times BIGINT;

-- Whether jobs get the value in a file, and the path of the file in the variable.
ALTER TABLE variables ADD COLUMN file BOOLEAN NOT NULL DEFAULT FALSE;
