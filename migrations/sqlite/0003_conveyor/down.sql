DROP TABLE commit_statuses;
DROP TABLE hook_deliveries;
DROP TABLE hook_secrets;
DROP INDEX builds_sole;
ALTER TABLE builds DROP COLUMN sole;
